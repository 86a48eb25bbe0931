//! Images in files of their own, decoded once into memory or each time they are gathered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::dataset::{check_buffers, check_index, check_pixels};
use crate::decode::{decode, read_bytes};
use crate::images::{hex, image_hasher};
use crate::pixels::PixelSums;
use crate::{At, DataError, Dataset, Normaliser, Row, RowsMut, Schema};

/// One image file and its class.
#[derive(Clone, Debug)]
pub(crate) struct ImageFile {
    pub(crate) path: PathBuf,
    pub(crate) label: u32,
}

/// Labelled image files.
#[derive(Debug)]
pub(crate) struct ImageFiles {
    schema: Schema,
    files: Vec<ImageFile>,
    decoder: Decoder,
    /// All images, one after another, where they are held in memory.
    pixels: Option<Vec<u8>>,
    normaliser: Arc<Normaliser>,
    content_hash: String,
}

/// How files become images of one shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder {
    pub(crate) shape: [usize; 3],
    /// Whether other sizes are resized rather than refused.
    pub(crate) resizes: bool,
}

impl Decoder {
    pub(crate) fn image_len(self) -> usize {
        self.shape.iter().product()
    }

    /// Decodes `bytes`, the content of `path`.
    fn decode(self, path: &Path, bytes: &[u8], pixels: &mut [u8]) -> Result<(), DataError> {
        let [n_channels, n_rows, n_columns] = self.shape;
        let size = self.resizes.then_some([n_rows, n_columns]);
        let image = decode(bytes, n_channels, size).map_err(|bad| bad.at(path))?;
        self.check_size(path, [image.shape[1], image.shape[2]])?;
        pixels.copy_from_slice(&image.pixels);
        Ok(())
    }

    /// Refuses an image of another size, unless it will be resized.
    pub(crate) fn check_size(self, path: &Path, [rows, columns]: [usize; 2]) -> Result<(), DataError> {
        let [_, n_rows, n_columns] = self.shape;
        if self.resizes || [rows, columns] == [n_rows, n_columns] {
            return Ok(());
        }
        Err(DataError::Format {
            path: path.to_owned(),
            at: At::File,
            what: "the size of the image".to_owned(),
            found: format!("{rows}x{columns}"),
            expected: format!("{n_rows}x{n_columns} as the first image, or any with the setting `size`"),
        })
    }
}

/// What one pass over all files gives.
pub(crate) struct Decoded {
    files: Vec<ImageFile>,
    decoder: Decoder,
    pixels: Option<Vec<u8>>,
    pub(crate) sums: PixelSums,
    /// SHA-256 of each file.
    digests: Vec<[u8; 32]>,
}

/// Decodes every file once, on all cores: each broken one is found now, and the sums of all pixels are exact. Keeps the
/// images where `keep` says so.
///
/// # Errors
///
/// That of the first broken file, in their order.
pub(crate) fn decode_all(files: Vec<ImageFile>, decoder: Decoder, keep: bool) -> Result<Decoded, DataError> {
    let image_len = decoder.image_len();
    let mut digests = vec![[0; 32]; files.len()];
    let mut pixels = keep.then(|| vec![0; files.len() * image_len]);
    let mut places: Vec<Option<&mut [u8]>> = match &mut pixels {
        Some(pixels) => pixels.chunks_exact_mut(image_len).map(Some).collect(),
        None => files.iter().map(|_| None).collect(),
    };
    // Handed out in order: when a file is found broken, all before it have been taken by somebody who will finish them.
    let work = Mutex::new(files.iter().zip(digests.iter_mut().zip(&mut places)).enumerate());
    let broken: Mutex<Option<(usize, DataError)>> = Mutex::new(None);
    let sums = Mutex::new(PixelSums::new(decoder.shape));
    let run = || {
        let mut own_sums = PixelSums::new(decoder.shape);
        let mut scratch = if keep { Vec::new() } else { vec![0; image_len] };
        loop {
            if lock(&broken).is_some() {
                return;
            }
            let Some((index, (file, (digest, place)))) = lock(&work).next() else { break };
            let pixels = place.as_deref_mut().unwrap_or(&mut scratch);
            let result = read_bytes(&file.path).and_then(|bytes| {
                *digest = Sha256::digest(&bytes).into();
                decoder.decode(&file.path, &bytes, pixels)
            });
            if let Err(error) = result {
                let mut broken = lock(&broken);
                if broken.as_ref().is_none_or(|(first, _)| index < *first) {
                    *broken = Some((index, error));
                }
                return;
            }
            own_sums.add(pixels);
        }
        lock(&sums).merge(&own_sums);
    };
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
    std::thread::scope(|scope| {
        (1..n_threads).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    if let Some((_, error)) = broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    drop(places);
    Ok(Decoded { files, decoder, pixels, sums, digests })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Decoded {
    pub(crate) fn into_dataset(self, schema: Schema, normaliser: Arc<Normaliser>) -> ImageFiles {
        let Decoded { files, decoder, pixels, digests, .. } = self;
        let mut hasher = image_hasher(&schema, files.len() as u64, &normaliser);
        for (file, digest) in files.iter().zip(&digests) {
            hasher.update(digest);
            hasher.update(file.label.to_le_bytes());
        }
        let content_hash = hex(&hasher.finalize());
        ImageFiles { schema, files, decoder, pixels, normaliser, content_hash }
    }
}

impl ImageFiles {
    /// The pixels of one image, in memory or decoded into `scratch`.
    fn image<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], DataError> {
        let image_len = self.decoder.image_len();
        if let Some(pixels) = &self.pixels {
            return Ok(&pixels[row * image_len..][..image_len]);
        }
        scratch.resize(image_len, 0);
        let path = &self.files[row].path;
        self.decoder.decode(path, &read_bytes(path)?, scratch)?;
        Ok(scratch)
    }
}

impl Dataset for ImageFiles {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.files.len() as u64
    }

    fn content_hash(&self) -> Result<String, DataError> {
        Ok(self.content_hash.clone())
    }

    fn resident_bytes(&self) -> u64 {
        let file = |file: &ImageFile| (size_of::<ImageFile>() + file.path.capacity()) as u64;
        let pixels = self.pixels.as_ref().map_or(0, |pixels| pixels.capacity() as u64);
        pixels + self.files.iter().map(file).sum::<u64>()
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        let mut scratch = Vec::new();
        let values = out.inputs.f32()?.chunks_exact_mut(self.decoder.image_len()).zip(out.targets.u32()?);
        for (row, (input, target)) in rows.iter().zip(values) {
            let row = check_index(&self.schema, row.index, self.len())?;
            self.normaliser.apply(self.image(row, &mut scratch)?, input);
            *target = self.files[row].label;
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        let row = check_index(&self.schema, index, self.len())?;
        Ok(self.files[row].label)
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        check_pixels(&self.schema, pixels)?;
        let row = check_index(&self.schema, index, self.len())?;
        pixels.copy_from_slice(self.image(row, &mut Vec::new())?);
        Ok(())
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        Some(&self.normaliser)
    }
}
