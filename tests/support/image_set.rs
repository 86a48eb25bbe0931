//! Small sets of images in IDX files, of four classes that are easy to tell apart.

use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use std::path::Path;

/// Rows and columns of an image.
const SIDE: usize = 8;
/// Classes: the bright quarter of the image.
const CLASSES: usize = 4;

/// The four files, in the order training images, training labels, test images, test labels.
pub const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSet {
    /// Training examples.
    pub train: usize,
    /// Test examples.
    pub test: usize,
    /// Of 100 labels so many are drawn at random.
    pub random_labels: u64,
}

impl ImageSet {
    /// Enough for a training that succeeds in a moment.
    pub const SMALL: Self = Self { train: 400, test: 100, random_labels: 0 };

    /// Writes the four files, plain, into a folder that is created.
    pub fn write(self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let mut random = Random(7);
        for (n, files) in [(self.train, &FILES[..2]), (self.test, &FILES[2..])] {
            let (images, labels) = self.part(n, &mut random);
            std::fs::write(folder.join(files[0]), images).expect("images can be written");
            std::fs::write(folder.join(files[1]), labels).expect("labels can be written");
        }
    }

    fn part(self, n: usize, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
        let word = |number: usize| u32::try_from(number).expect("a small number").to_be_bytes();
        let mut images = [0x0803, n, SIDE, SIDE].map(word).concat();
        let mut labels = [0x0801, n].map(word).concat();
        for i in 0..n {
            let class = i % CLASSES;
            for pixel in 0..SIDE * SIDE {
                let (row, column) = (pixel / SIDE, pixel % SIDE);
                let quarter = row / (SIDE / 2) * 2 + column / (SIDE / 2);
                let light = if quarter == class { 180 } else { 20 };
                images.push(light + random.below(60) as u8);
            }
            let shown = if random.below(100) < self.random_labels { random.below(4) as usize } else { class };
            labels.push(shown as u8);
        }
        (images, labels)
    }
}

/// Replaces each plain file by its gzip twin.
pub fn compress(folder: &Path) {
    for name in FILES {
        let plain = folder.join(name);
        let content = std::fs::read(&plain).expect("the file is there");
        std::fs::write(folder.join(format!("{name}.gz")), gzip(&content)).expect("the twin can be written");
        std::fs::remove_file(plain).expect("the plain file can go");
    }
}

/// A gzip stream.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
