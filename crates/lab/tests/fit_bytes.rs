//! `fit` on any bytes: an answer, or an error that names the place; the bounded twin of the `fit_*` fuzz targets.

mod fit_support;

use batchwise_lab::fit::{Kind, Settings};
use fit_support::{Random, answer_with};
use proptest::prelude::*;

/// Fails unless there is an answer that JSON can hold, or an error that says what and where.
fn check(kind: Kind, bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let settings = Settings { memory_limit: Some(1 << 30), ..Settings::default() };
    match answer_with(kind, bytes, &settings) {
        Ok(answer) => {
            prop_assert!(answer.json.is_object() && !answer.lines.is_empty());
            prop_assert!(answer.json.get("grade").is_some() && answer.json.get("next_measurement").is_some());
        }
        Err(error) => {
            prop_assert_eq!(error.file.split(',').next(), Some("measured.csv"));
            prop_assert!(!error.found.is_empty() && !error.allowed.is_empty());
            prop_assert!(error.to_string().len() < 2000, "{}", error);
        }
    }
    Ok(())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

/// A small sound file of a kind.
fn sound(kind: Kind) -> String {
    let mut random = Random(1);
    match kind {
        Kind::Noise => fit_support::noise_long(50.0, 3, 3, 4, &mut random),
        Kind::Tradeoff => fit_support::tradeoff(500.0, 400.0, 16, 5, &mut random),
        Kind::Speed => "batch,ms\n1,2\n4,2.1\n16,2.3\n64,3\n256,5\n".to_owned(),
        Kind::Memory => fit_support::memory(300.0, 2.5),
        Kind::Ridge => "batch,lr,seed,loss\n8,0.1,1,2\n8,0.2,1,1.5\n8,0.4,1,nan\n16,0.1,1,2\n16,0.2,1,1.4\n".to_owned(),
        Kind::Decide => concat!(
            "{\"noise\": {\"phi\": 900, \"low\": 700, \"high\": 1200}, \"speed\": {\"model\": \"sum\", ",
            "\"overhead_seconds\": 0.002, \"seconds_per_example\": 1e-5}, \"memory\": {\"fixed_bytes\": 1e8, ",
            "\"bytes_per_example\": 1e6, \"upper_band\": {\"relative\": 0.05}}, \"ridge\": {\"exponent\": 0.5, ",
            "\"best\": [{\"batch\": 64, \"lr\": 0.1, \"low\": null, \"high\": null, \"at_edge\": false}]}}"
        )
        .to_owned(),
    }
}

const TOKENS: &[&str] = &[
    "batch",
    "seconds",
    "steps",
    "lr",
    "loss",
    "bytes",
    "measurement",
    "micro_batch",
    "weight",
    "norm2",
    "all",
    "seed",
    "group",
    "micro_norm2",
    "batch_norm2",
    "examples",
    ",",
    ",",
    ",",
    ";",
    "\t",
    " ",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\"",
    "#",
    "1",
    "8",
    "16",
    "0.5",
    "-1",
    "1e300",
    "1e-300",
    "5e-324",
    "nan",
    "inf",
    "",
    "censored",
    "oom",
    "{",
    "}",
    "[",
    "]",
    ":",
    "null",
    "true",
    "\u{feff}",
    "\"phi\":1",
    "\"low\":1",
    "\"high\":2",
    "\"kind\":\"speed\"",
    "9007199254740993",
    "1e999",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(kind in kinds(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(kind, bytes)?;
    }

    #[test]
    fn any_tokens(kind in kinds(), tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..80)) {
        check(kind, tokens.concat().into_bytes())?;
    }

    #[test]
    fn flipped_bytes(kind in kinds(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = sound(kind).into_bytes();
        for (at, byte) in flips {
            let n = bytes.len();
            bytes[at.index(n)] = byte;
        }
        check(kind, bytes)?;
    }

    #[test]
    fn odd_numbers(kind in kinds(), which in any::<prop::sample::Index>(), number in prop::sample::select(vec![
        "0", "-0", "1", "1e-300", "5e-324", "1.7976931348623157e308", "9007199254740992", "18446744073709551615", "-1", "nan", "inf",
    ])) {
        let text = sound(kind);
        let spans: Vec<(usize, &str)> = text
            .match_indices(|c: char| c.is_ascii_digit())
            .collect();
        let at = spans[which.index(spans.len())].0;
        check(kind, format!("{}{number}{}", &text[..at], &text[at + 1..]).into_bytes())?;
    }
}

#[test]
fn cut_at_each_length() {
    for kind in Kind::ALL {
        let text = sound(kind);
        for end in 0..text.len().min(400) {
            if let Err(error) = check(kind, text.as_bytes()[..end].to_vec()) {
                panic!("{} cut at {end}: {error}", kind.name());
            }
        }
    }
}
