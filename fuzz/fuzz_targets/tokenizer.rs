//! A tokenizer file, on a short text.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;

fuzz_target!(|tokenizer: &[u8]| {
    common::dependency_may_panic();
    // The setting is a path, which must not move with the folder of the files.
    let path: PathBuf = std::env::temp_dir().join(format!("batchwise-fuzz-{}.json", std::process::id()));
    std::fs::write(&path, tokenizer).expect("a file can be written");
    let text: &[u8] = b"a short text\nof a few lines\nfor a tokenizer\n";
    common::open_files(&[("text.txt", text)], "text.txt", &format!("context=2,tokens={}", path.display()));
});
