//! A safetensors file with the tensors `inputs` and `targets`.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|tensors: &[u8]| {
    common::open_files(&[("tensors.safetensors", tensors)], "tensors.safetensors", "");
});
