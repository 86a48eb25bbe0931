//! The glyphs as a data set.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::alphabet::GLYPHS;
use super::config::GlyphsConfig;
use super::draw::{Canvas, Pen};
use super::pose::{Pose, Segment, place_distractor};
use crate::dataset::{check_buffers, check_index, check_pixels};
use crate::images::hex;
use crate::stream::Stream;
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema};

/// Changes whenever any example of any configuration changes; part of the content hash.
pub const GENERATOR_VERSION: u32 = 1;

const DOMAIN: &[u8; 16] = b"batchwise/glyph1";
/// Training images that mean and deviation are taken over.
const N_FITTED: u64 = 1024;

/// Which part of a procedural data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model learns from.
    Train,
    /// What the model is judged by.
    Test,
}

/// One split of the built-in image set: grey images `[1, size, size]` of digits and letters.
///
/// Nothing is stored: an example is drawn anew whenever it is gathered, as a pure function of (seed, split, index)
/// and the look that [`GlyphsConfig`] sets.
#[derive(Clone, Debug)]
pub struct Glyphs {
    config: GlyphsConfig,
    split: Split,
    schema: Schema,
    normaliser: Normaliser,
    content_hash: String,
}

impl Glyphs {
    /// Makes one split; its inputs are normalised by the first 1024 training images.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] for a setting outside its range.
    pub fn new(config: &GlyphsConfig, split: Split) -> Result<Glyphs, DataError> {
        let start = Instant::now();
        config.validate()?;
        let schema = Schema::images("glyphs", [1, config.size, config.size], config.n_classes);
        let glyphs = Glyphs {
            config: config.clone(),
            split,
            schema,
            normaliser: fit_normaliser(config),
            content_hash: content_hash(config, split),
        };
        tracing::info!(
            name = "glyphs",
            ?split,
            len = glyphs.len(),
            seconds = start.elapsed().as_secs_f64(),
            "opened data set"
        );
        Ok(glyphs)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &GlyphsConfig {
        &self.config
    }

    /// Which split this is.
    pub fn split(&self) -> Split {
        self.split
    }
}

impl Dataset for Glyphs {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        match self.split {
            Split::Train => self.config.train_len,
            Split::Test => self.config.test_len,
        }
    }

    fn content_hash(&self) -> Result<String, DataError> {
        Ok(self.content_hash.clone())
    }

    fn resident_bytes(&self) -> u64 {
        0
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        let mut artist = Artist::new(&self.config);
        let mut pixels = vec![0; self.schema.input_len()];
        let values = out.inputs.f32()?.chunks_exact_mut(pixels.len()).zip(out.targets.u32()?);
        for (row, (input, target)) in rows.iter().zip(values) {
            check_index(&self.schema, row.index, self.len())?;
            *target = artist.draw(self.split, row.index, &mut pixels);
            self.normaliser.apply(&pixels, input);
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        check_index(&self.schema, index, self.len())?;
        let mut stream = example_stream(&self.config, self.split, index);
        Ok(Label::draw(&mut stream, &self.config, self.split).given)
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        check_index(&self.schema, index, self.len())?;
        check_pixels(&self.schema, pixels)?;
        Artist::new(&self.config).draw(self.split, index, pixels);
        Ok(())
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        Some(&self.normaliser)
    }
}

/// The class that is drawn and the class that the label claims.
struct Label {
    drawn: u32,
    given: u32,
}

impl Label {
    /// The first three words of an example's stream.
    fn draw(stream: &mut Stream, config: &GlyphsConfig, split: Split) -> Label {
        let n_classes = config.n_classes as u32;
        let noise = match split {
            Split::Train => config.label_noise,
            Split::Test => config.test_label_noise,
        };
        let drawn = stream.below(n_classes);
        let is_wrong = stream.unit() < noise;
        let other = (drawn + 1 + stream.below(n_classes - 1)) % n_classes;
        Label { drawn, given: if is_wrong { other } else { drawn } }
    }
}

/// Draws examples one after another in the same working memory.
struct Artist<'a> {
    config: &'a GlyphsConfig,
    canvas: Canvas,
    segments: Vec<Segment>,
    noise: Vec<u8>,
}

impl<'a> Artist<'a> {
    fn new(config: &'a GlyphsConfig) -> Artist<'a> {
        let n_pixels = config.size * config.size;
        Artist { config, canvas: Canvas::new(config.size), segments: Vec::new(), noise: vec![0; n_pixels] }
    }

    /// Draws one example into `pixels` and returns its label.
    fn draw(&mut self, split: Split, index: u64, pixels: &mut [u8]) -> u32 {
        let config = self.config;
        let size = config.size as f32;
        let mut stream = example_stream(config, split, index);
        let label = Label::draw(&mut stream, config, split);

        self.canvas.clear(0.15 * config.clutter * stream.unit());
        self.draw_clutter(&mut stream, size);
        self.segments.clear();
        let pose = Pose::draw(&mut stream, size, config.distortion);
        pose.place(&mut stream, GLYPHS[label.drawn as usize], &mut self.segments);
        let (pen, shade) = (self.pen(&mut stream, size), stream.between(0.5, 1.0));
        self.canvas.stroke(&self.segments, pen, shade);

        self.expose(&mut stream, pixels);
        label.given
    }

    fn draw_clutter(&mut self, stream: &mut Stream, size: f32) {
        // The cast is exact enough: clutter is 0 to 2, and the same everywhere.
        let n_most = (4.0 * self.config.clutter + 0.5) as u32;
        for _ in 0..stream.below(n_most + 1) {
            self.segments.clear();
            place_distractor(stream, size, &mut self.segments);
            let (pen, shade) = (self.pen(stream, size), stream.between(0.3, 0.9));
            self.canvas.stroke(&self.segments, pen, shade);
        }
    }

    fn pen(&self, stream: &mut Stream, size: f32) -> Pen {
        let scale = size / 28.0;
        let (thin, thick) = self.config.stroke;
        let width = scale * stream.between(thin, thick);
        Pen { width, blur: scale * self.config.blur * stream.between(0.7, 1.5) }
    }

    /// Adds pixel noise and rounds to bytes.
    fn expose(&mut self, stream: &mut Stream, pixels: &mut [u8]) {
        let strength = self.config.clutter * stream.between(0.03, 0.22);
        stream.bytes(&mut self.noise);
        for ((pixel, paint), noise) in pixels.iter_mut().zip(&self.canvas.paint).zip(&self.noise) {
            let grain = strength * (f32::from(*noise) * (2.0 / 255.0) - 1.0);
            // The cast saturates at 0 and 255.
            *pixel = ((paint + grain) * 255.0 + 0.5) as u8;
        }
    }
}

fn example_stream(config: &GlyphsConfig, split: Split, index: u64) -> Stream {
    let key = match split {
        Split::Train => 0,
        Split::Test => 1,
    };
    Stream::new(DOMAIN, config.seed, key, index)
}

fn fit_normaliser(config: &GlyphsConfig) -> Normaliser {
    let n_fitted = N_FITTED.min(config.train_len);
    let n_pixels = config.size * config.size;
    let mut pixels = vec![0; n_fitted as usize * n_pixels];
    let mut artist = Artist::new(config);
    for (index, image) in (0..n_fitted).zip(pixels.chunks_exact_mut(n_pixels)) {
        artist.draw(Split::Train, index, image);
    }
    Normaliser::fit(&pixels, [1, config.size, config.size])
}

fn content_hash(config: &GlyphsConfig, split: Split) -> String {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(GENERATOR_VERSION.to_le_bytes());
    config.add_to_hash(&mut hasher);
    hasher.update([split as u8]);
    hex(&hasher.finalize())
}
