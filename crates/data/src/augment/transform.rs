//! Doing to the pixels of one image what was chosen.

use super::choice::{Choice, Rectangle};
use crate::stream::Stream;

/// Writes `image` of `[channels, rows, columns] = shape` into `out` as `choice` says; the bytes of an erased rectangle come
/// from `stream`.
pub(super) fn transform(
    image: &[u8],
    [_, n_rows, n_columns]: [usize; 3],
    choice: &Choice,
    stream: &mut Stream,
    out: &mut [u8],
) {
    let plane = n_rows * n_columns;
    for (image, out) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
        for (row, out) in out.chunks_exact_mut(n_columns).enumerate() {
            // The last transform is undone first: shift, then crop.
            let cropped = clamped(row, choice.shift.0, n_rows) as i64 + i64::from(choice.crop.0);
            match usize::try_from(cropped) {
                Ok(source) if source < n_rows => {
                    move_row(&image[source * n_columns..][..n_columns], choice, out);
                }
                _ => out.fill(0),
            }
            if choice.is_flipped {
                out.reverse();
            }
        }
    }
    if let Some(erased) = choice.erased {
        erase(out, plane, n_columns, erased, stream);
    }
}

/// One row, moved sideways: pixels from `crop` to the right, black where there are none, edges repeated by the shift.
fn move_row(row: &[u8], choice: &Choice, out: &mut [u8]) {
    let n_columns = row.len();
    let crop = choice.crop.1;
    // `out[k] = row[k + crop]` where that exists.
    let first = (-crop).max(0) as usize;
    let skipped = crop.max(0) as usize;
    let len = n_columns.saturating_sub(first.max(skipped));
    out.fill(0);
    if 0 < len {
        out[first..first + len].copy_from_slice(&row[skipped..skipped + len]);
    }
    // `out[k] = out[clamped(k + shift)]`.
    match choice.shift.1 {
        0 => {}
        shift if 0 < shift => {
            let by = (shift as usize).min(n_columns - 1);
            let edge = out[n_columns - 1];
            out.copy_within(by.., 0);
            out[n_columns - by..].fill(edge);
        }
        shift => {
            let by = (shift.unsigned_abs() as usize).min(n_columns - 1);
            let edge = out[0];
            out.copy_within(..n_columns - by, by);
            out[..by].fill(edge);
        }
    }
}

fn clamped(at: usize, offset: i32, n: usize) -> usize {
    at.saturating_add_signed(offset as isize).min(n - 1)
}

/// The same rectangle of every channel, row after row, with bytes of its own.
fn erase(out: &mut [u8], plane: usize, n_columns: usize, erased: Rectangle, stream: &mut Stream) {
    for out in out.chunks_exact_mut(plane) {
        for row in out.chunks_exact_mut(n_columns).skip(erased.top).take(erased.n_rows) {
            stream.bytes(&mut row[erased.left..][..erased.n_columns]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream() -> Stream {
        Stream::new(b"transform test\0\0", 0, 0, 0)
    }

    /// One transform after another, each on a whole image of its own, pixel by pixel.
    fn twin(image: &[u8], shape: [usize; 3], choice: &Choice) -> Vec<u8> {
        let [n_channels, n_rows, n_columns] = shape;
        let each = |source: &dyn Fn(usize, i64, i64) -> u8| -> Vec<u8> {
            let mut out = Vec::new();
            for channel in 0..n_channels {
                for row in 0..n_rows as i64 {
                    out.extend((0..n_columns as i64).map(|column| source(channel, row, column)));
                }
            }
            out
        };
        let at = |image: &[u8], channel: usize, row: i64, column: i64| {
            image[(channel * n_rows + row as usize) * n_columns + column as usize]
        };
        let (last_row, last_column) = (n_rows as i64 - 1, n_columns as i64 - 1);
        let cropped = each(&|channel, row, column| {
            let (row, column) = (row + i64::from(choice.crop.0), column + i64::from(choice.crop.1));
            let is_inside = (0..=last_row).contains(&row) && (0..=last_column).contains(&column);
            if is_inside { at(image, channel, row, column) } else { 0 }
        });
        let shifted = each(&|channel, row, column| {
            let row = (row + i64::from(choice.shift.0)).clamp(0, last_row);
            let column = (column + i64::from(choice.shift.1)).clamp(0, last_column);
            at(&cropped, channel, row, column)
        });
        let mut flipped = each(&|channel, row, column| {
            let column = if choice.is_flipped { last_column - column } else { column };
            at(&shifted, channel, row, column)
        });
        let mut stream = stream();
        if let Some(erased) = choice.erased {
            for channel in 0..n_channels {
                for row in erased.top..erased.top + erased.n_rows {
                    let mut bytes = vec![0; erased.n_columns];
                    stream.bytes(&mut bytes);
                    for (k, byte) in bytes.into_iter().enumerate() {
                        flipped[(channel * n_rows + row) * n_columns + erased.left + k] = byte;
                    }
                }
            }
        }
        flipped
    }

    proptest! {
        #[test]
        fn equals_the_plain_twin(
            n_channels in 1usize..4,
            n_rows in 1usize..9,
            n_columns in 1usize..9,
            crop in (-9i32..=9, -9i32..=9),
            shift in (-9i32..=9, -9i32..=9),
            is_flipped in any::<bool>(),
            erased in proptest::option::of((0usize..9, 0usize..9, 1usize..9, 1usize..9)),
            first in any::<u8>(),
        ) {
            let shape = [n_channels, n_rows, n_columns];
            let erased = erased.map(|(top, left, rows, columns)| {
                let (top, left) = (top % n_rows, left % n_columns);
                Rectangle { top, left, n_rows: rows.min(n_rows - top), n_columns: columns.min(n_columns - left) }
            });
            let choice = Choice { crop, shift, is_flipped, erased };
            let image: Vec<u8> =
                (0..n_channels * n_rows * n_columns).map(|k| first.wrapping_add(k as u8) | 1).collect();
            let mut out = vec![255; image.len()];
            transform(&image, shape, &choice, &mut stream(), &mut out);
            prop_assert_eq!(out, twin(&image, shape, &choice));
        }
    }
}
