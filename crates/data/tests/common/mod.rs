//! What several test files need: a small data set that may fail, and IDX files.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;
use std::path::Path;

use batchwise_data::{DataError, Dataset, Row, RowsMut, Schema, ValuesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Row i is `[i, i + 0.25]` with class `i % 3`; optional misbehaviour at one row.
pub(crate) struct Counting {
    pub(crate) schema: Schema,
    pub(crate) len: u64,
    pub(crate) fails_at: Option<u64>,
    pub(crate) panics_at: Option<u64>,
}

impl Counting {
    pub(crate) fn new(len: u64) -> Counting {
        let schema = Schema::classes("counting", &[2], 3);
        Counting { schema, len, fails_at: None, panics_at: None }
    }
}

impl Dataset for Counting {
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn len(&self) -> u64 {
        self.len
    }
    fn content_hash(&self) -> Result<String, DataError> {
        Ok("00".to_owned())
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        let (inputs, targets) = (out.inputs.f32()?, out.targets.u32()?);
        for (k, Row { index, .. }) in rows.iter().enumerate() {
            if Some(*index) == self.fails_at {
                return Err(DataError::NoPixels { name: format!("row {index}") });
            }
            assert_ne!(Some(*index), self.panics_at, "row {index} is cursed");
            inputs[2 * k] = *index as f32;
            inputs[2 * k + 1] = *index as f32 + 0.25;
            targets[k] = self.label(*index)?;
        }
        Ok(())
    }
    fn label(&self, index: u64) -> Result<u32, DataError> {
        Ok((index % 3) as u32)
    }
}

/// The inputs and class numbers of some examples.
pub(crate) fn gather(dataset: &dyn Dataset, indices: &[u64]) -> Result<(Vec<f32>, Vec<u32>), DataError> {
    let mut inputs = vec![f32::NAN; indices.len() * dataset.schema().input_len()];
    let mut targets = vec![u32::MAX; indices.len()];
    gather_into(dataset, indices, &mut inputs, &mut targets)?;
    Ok((inputs, targets))
}

/// As [`gather`], into buffers that may have the wrong lengths.
pub(crate) fn gather_into(
    dataset: &dyn Dataset,
    indices: &[u64],
    inputs: &mut [f32],
    targets: &mut [u32],
) -> Result<(), DataError> {
    let rows: Vec<Row> = indices.iter().map(|index| Row::new(*index)).collect();
    dataset.gather(&rows, RowsMut { inputs: ValuesMut::F32(inputs), targets: ValuesMut::U32(targets) })
}

pub(crate) fn image_bytes(n: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0x803, n, rows, columns] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(pixels);
    bytes
}

pub(crate) fn label_bytes(labels: &[u8]) -> Vec<u8> {
    let mut bytes = 0x801u32.to_be_bytes().to_vec();
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) const TRAIN_LABELS: [u8; 4] = [0, 2, 1, 2];
pub(crate) const TEST_LABELS: [u8; 2] = [2, 0];

/// Four training and two test images of 2x3 pixels.
pub(crate) fn write_folder(dir: &Path) {
    let pixels: Vec<u8> = (0..24).map(|i| (i * 11) as u8).collect();
    std::fs::write(dir.join("train-images-idx3-ubyte"), image_bytes(4, 2, 3, &pixels)).unwrap();
    std::fs::write(dir.join("train-labels-idx1-ubyte"), label_bytes(&TRAIN_LABELS)).unwrap();
    std::fs::write(dir.join("t10k-images-idx3-ubyte"), image_bytes(2, 2, 3, &pixels[3..15])).unwrap();
    std::fs::write(dir.join("t10k-labels-idx1-ubyte"), label_bytes(&TEST_LABELS)).unwrap();
}

/// Calls `check` with damaged twins of a good file: cut, with bits flipped, with pieces moved and bytes replaced.
/// About `n` of each kind; every length and every bit of a file that is short enough.
pub(crate) fn broken_twins(good: &[u8], n: usize, mut check: impl FnMut(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(state) * n as u128) >> 64) as usize
    };
    let step = (good.len() / n).max(1);
    (0..good.len()).step_by(step).for_each(|len| check(&good[..len]));
    let n_bits = 8 * good.len();
    for k in 0..n.min(n_bits) {
        let bit = if n_bits <= n { k } else { below(n_bits) };
        let mut twin = good.to_vec();
        twin[bit / 8] ^= 1 << (bit % 8);
        check(&twin);
    }
    for _ in 0..n {
        let mut twin = good.to_vec();
        for _ in 0..=below(3) {
            let len = 1 + below(16.min(twin.len()));
            let from = below(twin.len() - len + 1);
            let to = below(twin.len() + 1);
            match below(3) {
                0 => {
                    let piece = twin[from..from + len].to_vec();
                    twin.splice(to..to, piece);
                }
                1 => twin[from..from + len].fill(below(256) as u8),
                _ if len < twin.len() => drop(twin.drain(from..from + len)),
                _ => {}
            }
        }
        check(&twin);
    }
}
