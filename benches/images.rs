//! Images of noise, and how fast this machine copies memory.

use batchwise_data::{DataError, Dataset, open};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Bytes in one image of [`synthetic_images`].
pub const N_FEATURES: usize = 784;

/// `n` images of 28×28 random bytes with ten classes, in memory.
///
/// # Errors
/// A temporary folder that cannot be written.
pub fn synthetic_images(n: usize) -> Result<Arc<dyn Dataset>, DataError> {
    open_images(n, true)
}

/// The same in plain files, which are mapped; their names are gone already.
///
/// # Errors
/// As [`synthetic_images`].
pub fn mapped_images(n: usize) -> Result<Arc<dyn Dataset>, DataError> {
    open_images(n, false)
}

fn open_images(n: usize, in_memory: bool) -> Result<Arc<dyn Dataset>, DataError> {
    let dir = TemporaryFolder(std::env::temp_dir().join(format!("batchwise-bench-{}", std::process::id())));
    write_idx(&dir.0, n, in_memory).map_err(|source| DataError::Read {
        path: dir.0.clone(),
        offset: 0,
        source,
    })?;
    Ok(open(&dir.0.display().to_string(), None)?.train)
}

struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is in a folder that the system cleans.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The four files of an IDX folder; as gzip, without compression, they are read into memory.
fn write_idx(dir: &Path, n: usize, gzip: bool) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (part, n) in [("train", n), ("t10k", 10)] {
        let mut images = vec![0, 0, 8, 3];
        [n, 28, 28].iter().for_each(|dim| images.extend((*dim as u32).to_be_bytes()));
        images.extend(
            (0..n * N_FEATURES).map(|i| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8),
        );
        let mut labels = vec![0, 0, 8, 1];
        labels.extend((n as u32).to_be_bytes());
        labels.extend((0..n).map(|i| (i % 10) as u8));
        for (name, content) in [("images-idx3", images), ("labels-idx1", labels)] {
            let path = dir.join(format!("{part}-{name}-ubyte"));
            if !gzip {
                std::fs::write(path, content)?;
                continue;
            }
            let file = std::fs::File::create(dir.join(format!("{part}-{name}-ubyte.gz")))?;
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::none());
            encoder.write_all(&content)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

/// Bytes per second, read plus written, of copying between buffers that no cache holds; the best of some tries.
pub fn copy_rate(n_threads: usize) -> f64 {
    const LEN: usize = 1 << 27;
    let source = vec![1u8; LEN];
    let mut target = vec![2u8; LEN];
    let part = LEN / n_threads;
    (0..8)
        .map(|_| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for (from, to) in source.chunks(part).zip(target.chunks_mut(part)) {
                    scope.spawn(|| to.copy_from_slice(from));
                }
            });
            std::hint::black_box(&mut target);
            2.0 * LEN as f64 / start.elapsed().as_secs_f64()
        })
        .fold(0.0, f64::max)
}

/// Rows per second that a copy rate allows: a byte read and an f32 written for each value.
pub fn single_pass_rows(copy_rate: f64) -> f64 {
    copy_rate / (5 * N_FEATURES) as f64
}
