//! From a skeleton to line segments in pixels: wobble, bend, and an affine map.

use super::alphabet::Stroke;
use crate::stream::Stream;

/// A straight piece of a stroke, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) start: [f32; 2],
    pub(super) end: [f32; 2],
}

/// Straight pieces per quadratic curve.
const N_PIECES: u16 = 4;
/// Half the height of an undistorted glyph, as a fraction of the image.
const HALF_HEIGHT: f32 = 0.33;

/// How one glyph is distorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
    bend: [f32; 2],
    wobble: f32,
}

impl Pose {
    /// Draws a pose for an image of `size` pixels; `distortion` 0 gives the upright glyph in the middle.
    pub(super) fn draw(stream: &mut Stream, size: f32, distortion: f32) -> Pose {
        // The half-angle formulas give an exact rotation without a library's sine: 0.29 is tan(32 degrees / 2).
        let t = 0.29 * distortion * stream.signed();
        let (cosine, sine) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        let shear = 0.3 * distortion * stream.signed();
        let scale = HALF_HEIGHT * size * between_scales(stream, 0.65, 1.1, distortion);
        let aspect = between_scales(stream, 0.75, 1.25, distortion);
        let bend = [0.2 * distortion * stream.signed(), 0.2 * distortion * stream.signed()];
        let reach = 0.12 * size * distortion;
        let shift = [0.5 * size + reach * stream.signed(), 0.5 * size + reach * stream.signed()];
        let (wide, high) = (scale * aspect, scale);
        let matrix =
            [[cosine * wide, (cosine * shear - sine) * high], [sine * wide, (sine * shear + cosine) * high]];
        Pose { matrix, shift, bend, wobble: 0.1 * distortion }
    }

    /// Appends the segments of `strokes` to `segments`.
    pub(super) fn place(&self, stream: &mut Stream, strokes: &[Stroke], segments: &mut Vec<Segment>) {
        for stroke in strokes {
            let mut pen = None;
            let mut pulled: Option<[f32; 2]> = None;
            for knot in *stroke {
                let point =
                    self.map(knot.x + self.wobble * stream.signed(), knot.y + self.wobble * stream.signed());
                let Some(from) = pen else {
                    pen = Some(point);
                    continue;
                };
                match (pulled, knot.is_on) {
                    (None, true) => {
                        segments.push(Segment { start: from, end: point });
                        pen = Some(point);
                    }
                    (None, false) => pulled = Some(point),
                    (Some(control), is_on) => {
                        let to = if is_on { point } else { middle(control, point) };
                        add_curve(from, control, to, segments);
                        pen = Some(to);
                        pulled = (!is_on).then_some(point);
                    }
                }
            }
        }
    }

    fn map(&self, x: f32, y: f32) -> [f32; 2] {
        let (bent_x, bent_y) = (x + self.bend[0] * y * y, y + self.bend[1] * x * x);
        let [[a, b], [c, d]] = self.matrix;
        [a * bent_x + b * bent_y + self.shift[0], c * bent_x + d * bent_y + self.shift[1]]
    }
}

/// Appends a short curve that means nothing, somewhere in the image.
pub(super) fn place_distractor(stream: &mut Stream, size: f32, segments: &mut Vec<Segment>) {
    let from = [size * stream.unit(), size * stream.unit()];
    let step = [0.4 * size * stream.signed(), 0.4 * size * stream.signed()];
    let curl = [0.2 * size * stream.signed(), 0.2 * size * stream.signed()];
    let control = [from[0] + 0.5 * step[0] + curl[0], from[1] + 0.5 * step[1] + curl[1]];
    add_curve(from, control, [from[0] + step[0], from[1] + step[1]], segments);
}

/// Between two scales, which move towards 1 as distortion goes to 0.
fn between_scales(stream: &mut Stream, low: f32, high: f32, distortion: f32) -> f32 {
    let drawn = stream.between(low, high);
    // Beyond strength 1 a scale could reach zero: it is held at what strength 1 gives.
    1.0 + (drawn - 1.0) * distortion.min(1.0)
}

fn middle(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])]
}

fn add_curve(from: [f32; 2], control: [f32; 2], to: [f32; 2], segments: &mut Vec<Segment>) {
    let mut start = from;
    for piece in 1..=N_PIECES {
        let t = f32::from(piece) / f32::from(N_PIECES);
        let (a, b, c) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
        let end = [a * from[0] + b * control[0] + c * to[0], a * from[1] + b * control[1] + c * to[1]];
        segments.push(Segment { start, end });
        start = end;
    }
}
