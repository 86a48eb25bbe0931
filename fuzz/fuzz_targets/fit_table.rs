//! A table of measurements; the first byte chooses the kind.
#![no_main]

use batchwise_lab::fit::{Kind, Settings, Source, fit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, table @ ..] = input else { return };
    let kind = [Kind::Noise, Kind::Tradeoff, Kind::Speed, Kind::Memory, Kind::Ridge][usize::from(kind % 5)];
    let settings = Settings { memory_limit: Some(1 << 30), picture: true, ..Settings::default() };
    match fit(kind, vec![Source::of_bytes("fuzz", table.to_vec())], &settings) {
        Ok(answer) => assert!(answer.json.is_object() && answer.picture.is_some_and(|svg| !svg.contains("NaN"))),
        Err(error) => assert!(!error.found.is_empty() && !error.allowed.is_empty()),
    }
});
