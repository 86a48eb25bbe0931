//! From line segments to the coverage of pixels.

use super::pose::Segment;

/// Farther than any pixel from any stroke.
const FAR: f32 = 1e9;

/// A stroke's width and softness, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    /// Full width between the points of half coverage.
    pub(super) width: f32,
    /// Width of the edge, over which coverage falls from 1 to 0.
    pub(super) blur: f32,
}

/// Working memory for one image, reused from image to image.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    size: usize,
    /// Squared distance of each pixel to the nearest segment, where it is near enough to matter.
    squared: Vec<f32>,
    /// What has been painted so far, 0 to 1.
    pub(super) paint: Vec<f32>,
}

impl Canvas {
    pub(super) fn new(size: usize) -> Canvas {
        Canvas { size, squared: vec![FAR; size * size], paint: vec![0.0; size * size] }
    }

    /// Fills the image with one shade.
    pub(super) fn clear(&mut self, shade: f32) {
        self.paint.fill(shade);
    }

    /// Paints all segments with one pen as one shape: where they overlap, nothing gets darker.
    pub(super) fn stroke(&mut self, segments: &[Segment], pen: Pen, shade: f32) {
        self.squared.fill(FAR);
        let reach = 0.5 * (pen.width + pen.blur);
        for segment in segments {
            self.measure(segment, reach);
        }
        let per_blur = 1.0 / pen.blur;
        for (paint, squared) in self.paint.iter_mut().zip(&self.squared) {
            let t = ((reach - squared.sqrt()) * per_blur).clamp(0.0, 1.0);
            // Smoothstep: flat at both ends, so that edges look like those of a camera.
            let coverage = t * t * (3.0 - 2.0 * t);
            *paint += coverage * (shade - *paint).max(0.0);
        }
    }

    /// Lowers the squared distances of the pixels within `reach` of the segment's bounding box.
    fn measure(&mut self, segment: &Segment, reach: f32) {
        let Segment { start, end } = segment;
        let step = [end[0] - start[0], end[1] - start[1]];
        let length_squared = step[0] * step[0] + step[1] * step[1];
        let per_length = if 0.0 < length_squared { 1.0 / length_squared } else { 0.0 };
        let columns = self.span(start[0], end[0], reach);
        let rows = self.span(start[1], end[1], reach);
        for row in rows {
            let y = row as f32 + 0.5 - start[1];
            let pixels = &mut self.squared[row * self.size..][..self.size];
            let first = columns.start;
            for (offset, squared) in pixels[columns.clone()].iter_mut().enumerate() {
                let x = (first + offset) as f32 + 0.5 - start[0];
                let along = ((x * step[0] + y * step[1]) * per_length).clamp(0.0, 1.0);
                let (dx, dy) = (x - along * step[0], y - along * step[1]);
                *squared = squared.min(dx * dx + dy * dy);
            }
        }
    }

    /// The pixels whose centres may lie within `reach` of `a..b`.
    fn span(&self, a: f32, b: f32, reach: f32) -> std::ops::Range<usize> {
        // A float becomes an integer by saturation, so points outside the image clip to its edges.
        let first = (a.min(b) - reach) as usize;
        let end = ((a.max(b) + reach + 1.0) as usize).min(self.size);
        first.min(end)..end
    }
}
