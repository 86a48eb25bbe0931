//! A file of ready-made tokens, of two bytes and of four.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|tokens: &[u8]| {
    common::open_files(&[("tokens.bin", tokens)], "tokens.bin", "dtype=u16,context=3");
    common::open_files(&[], "tokens.bin", "dtype=u32,context=3,vocabulary=100");
});
