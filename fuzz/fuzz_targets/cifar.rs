//! A folder of CIFAR-100 in binary form whose training file is the input.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|train: &[u8]| {
    common::open_files(&[("train.bin", train), ("test.bin", &[0; 3074])], "", "");
});
