//! The real texts, where this machine has them: counts that others have published.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};

use batchwise_data::{Dataset, TextConfig, Tokens, open, read_text};

/// The folder of a real data set, or `None` after saying so.
fn real(name: &str) -> Option<PathBuf> {
    let from_environment = std::env::var_os("BATCHWISE_SHARED").map(PathBuf::from);
    let shared =
        from_environment.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let dir = Some(shared.join("data").join(name)).filter(|dir| dir.is_dir());
    if dir.is_none() {
        eprintln!("SKIPPED: no shared/data/{name} folder, set BATCHWISE_SHARED");
    }
    dir
}

#[test]
fn tiny_shakespeare_by_characters() {
    let Some(dir) = real("tinyshakespeare") else { return };
    // nanoGPT's data/shakespeare_char/prepare.py: 1,115,394 characters, 65 distinct, 1,003,854 and 111,540 of them for
    // training and validation.
    let splits = open("tinyshakespeare:context=256", dir.parent()).unwrap();
    assert_eq!(splits.train.schema().n_outputs(), 65 + 1, "and <unk>");
    assert_eq!((splits.train.len(), splits.test.len()), (1_003_853 / 256, 111_539 / 256));
    assert_eq!(splits.train.resident_bytes() + splits.test.resident_bytes(), 2 * 1_115_394);
    let text = std::fs::read_to_string(dir.join("input.txt")).unwrap();
    assert_eq!(splits.train.text(0).unwrap(), text[..257]);
    assert_eq!(splits.train.text(100).unwrap(), text[25_600..25_857]);
    assert_eq!(splits.test.text(0).unwrap(), text[1_003_854..][..257]);
    let alone = read_text("text", &dir.join("input.txt"), &TextConfig::default()).unwrap();
    assert_eq!((alone.0.n_tokens(), alone.1.n_tokens()), (1_003_854, 111_540));
}

#[test]
fn wikitext_2_by_words() {
    let Some(dir) = real("wikitext-2") else { return };
    let config = TextConfig { tokens: Tokens::Words, ..TextConfig::default() };
    let (train, test) = read_text("wikitext-2", &dir, &config).unwrap();
    // The counts of the set's own test and validation texts (Merity et al. 2016, table 1).
    assert_eq!((train.n_tokens(), test.n_tokens()), (245_569, 217_646));
    let words = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().flat_map(|line| line.split_whitespace().chain(["<eos>"])).map(str::to_owned).collect()
    };
    let words = words(&dir.join("test.txt"));
    let distinct: std::collections::HashSet<&String> = words.iter().collect();
    assert_eq!(train.schema().n_outputs(), distinct.len(), "<unk> and <eos> are words of the text");
    let shown = words[640..705].join(" ").replace("<eos>", "\n");
    let squeezed = |text: &str| text.split(' ').collect::<String>();
    assert_eq!(squeezed(&train.text(10).unwrap()), squeezed(&shown));
}
