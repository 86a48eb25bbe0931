//! A text file as characters: packed, or each line a sequence.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    common::open_files(&[("text.txt", text)], "text.txt", "context=3");
    common::open_files(&[], "text.txt", "context=3,sequences=lines");
});
