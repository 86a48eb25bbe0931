//! A folder of IDX files whose training images are the input, plain or gzip.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

const TEST: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4];
const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 2, 0, 1];
const TEST_LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 1, 0];

fuzz_target!(|images: &[u8]| {
    let files = [
        ("train-images-idx3-ubyte", images),
        ("train-labels-idx1-ubyte", LABELS),
        ("t10k-images-idx3-ubyte", TEST),
        ("t10k-labels-idx1-ubyte", TEST_LABELS),
    ];
    common::open_files(&files, "", "");
});
