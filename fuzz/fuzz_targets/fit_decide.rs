//! JSON of any shape as the answers that a decision is made of.
#![no_main]

use batchwise_lab::fit::{Kind, Settings, Source, fit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let settings = Settings { memory_limit: Some(1 << 30), picture: true, ..Settings::default() };
    match fit(Kind::Decide, vec![Source::of_bytes("fuzz", input.to_vec())], &settings) {
        Ok(answer) => assert!(answer.json.is_object() && answer.picture.is_some_and(|svg| !svg.contains("NaN"))),
        Err(error) => assert!(!error.found.is_empty() && !error.allowed.is_empty()),
    }
});
