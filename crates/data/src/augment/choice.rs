//! What happens to one image, drawn from its stream of random numbers.

use super::config::AugmentConfig;
use crate::stream::Stream;

/// Areas of an erased rectangle, as fractions of the image (Zhong et al. 2020, section 5.2).
const LEAST_AREA: f32 = 0.02;
const MOST_AREA: f32 = 0.4;
/// Its least aspect; the greatest is one over it.
const LEAST_ASPECT: f32 = 0.3;
/// So many rectangles are tried until one fits into the image; the paper tries for ever.
const MAX_TRIES: usize = 100;

/// What happens to one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Rows down and columns right, from where pixels of the padded image are taken.
    pub(super) crop: (i32, i32),
    /// The same for the image with repeated edges.
    pub(super) shift: (i32, i32),
    pub(super) is_flipped: bool,
    pub(super) erased: Option<Rectangle>,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) n_rows: usize,
    pub(super) n_columns: usize,
}

impl Choice {
    /// Draws; what is switched off takes no random numbers.
    pub(super) fn draw(
        stream: &mut Stream,
        config: &AugmentConfig,
        n_rows: usize,
        n_columns: usize,
    ) -> Choice {
        let crop = (offset(stream, config.crop), offset(stream, config.crop));
        let shift = (offset(stream, config.shift), offset(stream, config.shift));
        let is_flipped = config.flip && stream.below(2) == 1;
        let is_erased = 0.0 < config.erase && stream.unit() < config.erase;
        let erased = if is_erased { rectangle(stream, n_rows, n_columns) } else { None };
        Choice { crop, shift, is_flipped, erased }
    }
}

/// Uniform over -most to most.
fn offset(stream: &mut Stream, most: u32) -> i32 {
    match most {
        0 => 0,
        // `AugmentConfig::check` bounds it by the sides of an image.
        most => stream.below(2 * most + 1) as i32 - most as i32,
    }
}

/// Algorithm 1 of Zhong et al. 2020.
fn rectangle(stream: &mut Stream, n_rows: usize, n_columns: usize) -> Option<Rectangle> {
    let area = (n_rows * n_columns) as f32;
    let mut tries = (0..MAX_TRIES).map(|_| {
        let erased = stream.between(LEAST_AREA, MOST_AREA) * area;
        let aspect = stream.between(LEAST_ASPECT, 1.0 / LEAST_ASPECT);
        let side = |length: f32| (length.sqrt() as usize).max(1);
        Rectangle {
            n_rows: side(erased * aspect),
            n_columns: side(erased / aspect),
            top: stream.below(n_rows as u32) as usize,
            left: stream.below(n_columns as u32) as usize,
        }
    });
    tries.find(|tried| tried.top + tried.n_rows <= n_rows && tried.left + tried.n_columns <= n_columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: AugmentConfig = AugmentConfig { crop: 2, shift: 1, flip: true, erase: 0.25, mixup: 0.0 };
    const N: u64 = 40_000;

    fn choices(config: &AugmentConfig) -> Vec<Choice> {
        let stream = |index| Stream::new(b"choice test\0\0\0\0\0", 3, 5, index);
        (0..N).map(|index| Choice::draw(&mut stream(index), config, 32, 32)).collect()
    }

    /// Whether `count` of N is within five deviations of the probability.
    #[track_caller]
    fn check_share(count: usize, probability: f64) {
        let n = N as f64;
        let deviation = (n * probability * (1.0 - probability)).sqrt();
        assert!(
            (count as f64 - n * probability).abs() < 5.0 * deviation,
            "{count} of {N}, not {probability}"
        );
    }

    #[test]
    fn each_choice_has_its_share() {
        let choices = choices(&ALL);
        check_share(choices.iter().filter(|choice| choice.is_flipped).count(), 0.5);
        check_share(choices.iter().filter(|choice| choice.erased.is_some()).count(), 0.25);
        for down in -2..=2 {
            for right in -2..=2 {
                let count = choices.iter().filter(|choice| choice.crop == (down, right)).count();
                check_share(count, 1.0 / 25.0);
            }
        }
        for down in -1..=1 {
            for right in -1..=1 {
                // Independent of the flip.
                let hits = choices.iter().filter(|choice| choice.shift == (down, right) && choice.is_flipped);
                check_share(hits.count(), 1.0 / 18.0);
            }
        }
    }

    #[test]
    fn rectangles_fit_and_have_the_areas_of_the_paper() {
        let rectangles: Vec<Rectangle> = choices(&AugmentConfig { erase: 1.0, ..ALL })
            .into_iter()
            .filter_map(|choice| choice.erased)
            .collect();
        assert_eq!(rectangles.len() as u64, N);
        for Rectangle { top, left, n_rows, n_columns } in &rectangles {
            assert!(top + n_rows <= 32 && left + n_columns <= 32);
            assert!(*n_rows * *n_columns <= 410);
        }
        // Taller and wider alike, and no corner is spared.
        let taller = rectangles.iter().filter(|r| r.n_columns < r.n_rows).count();
        assert!(taller * 5 > 2 * N as usize);
        assert!(rectangles.iter().any(|r| r.top == 0 && r.left == 0));
        assert!(rectangles.iter().any(|r| r.top + r.n_rows == 32 && r.left + r.n_columns == 32));
    }

    #[test]
    fn nothing_asked_nothing_done() {
        assert!(choices(&AugmentConfig::default()).iter().all(|choice| *choice == Choice::default()));
    }
}
