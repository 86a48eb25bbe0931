//! A text file as words: packed, or each paragraph a sequence.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    common::open_files(&[("text.txt", text)], "text.txt", "tokens=words,context=3,vocabulary=5,lower=true");
    common::open_files(&[], "text.txt", "tokens=words,context=3,sequences=paragraphs");
});
