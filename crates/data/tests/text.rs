//! Text as sequences of tokens: what is where, what is cut, and every way a file can be wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::path::{Path, PathBuf};

use batchwise_data::{Batches, Loader};
use batchwise_data::{
    DataError, Dataset, LastBatch, Order, PADDING, Row, RowsMut, Sequences, Splits, TextConfig, TokenDataset,
    TokenFileConfig, TokenWidth, Tokens, ValuesMut, gather_batch, open, read_text, read_tokens,
};
use candle_core::Device;
use proptest::prelude::*;

/// The whole of one part, row by row: inputs and targets without padding.
fn sequences(dataset: &dyn Dataset) -> Vec<(Vec<u32>, Vec<u32>)> {
    (0..dataset.len()).map(|index| sequence(dataset, index).unwrap()).collect()
}

fn sequence(dataset: &dyn Dataset, index: u64) -> Result<(Vec<u32>, Vec<u32>), DataError> {
    let len = dataset.length(index)?;
    let (mut inputs, mut targets) = (vec![7; len], vec![7; len]);
    let out = RowsMut { inputs: ValuesMut::U32(&mut inputs), targets: ValuesMut::U32(&mut targets) };
    dataset.gather(&[Row::new(index)], out)?;
    Ok((inputs, targets))
}

fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.txt");
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

fn read(content: impl AsRef<[u8]>, config: &TextConfig) -> Result<(TokenDataset, TokenDataset), DataError> {
    let (_dir, path) = file(content);
    read_text("small", &path, config)
}

fn characters(context: usize, test: f64) -> TextConfig {
    TextConfig { context, test: Some(test), ..TextConfig::default() }
}

#[test]
fn characters_are_cut_into_windows() {
    // Training text "abcabcabcd" (10), test text "ebcab" (5).
    let (train, test) = read("abcabcabcdebcab", &characters(3, 0.3)).unwrap();
    assert_eq!((train.len(), train.n_tokens(), test.len(), test.n_tokens()), (3, 10, 1, 5));
    assert_eq!(train.schema().n_outputs(), 5, "<unk>, a, b, c, d");
    assert!(!train.schema().uneven);
    let expected = [[1, 2, 3], [1, 2, 3], [1, 2, 3]].map(|inputs| inputs.to_vec());
    assert_eq!(sequences(&train).iter().map(|row| row.0.clone()).collect::<Vec<_>>(), expected);
    assert_eq!(sequences(&train)[2].1, [2, 3, 4]);
    // The training text holds no e.
    assert_eq!(sequences(&test), [(vec![0, 2, 3], vec![2, 3, 1])]);
    assert_eq!(train.text(2).unwrap(), "abcd");
    assert_eq!(test.text(0).unwrap(), "\u{fffd}bca");
    assert_eq!(
        (train.text(3), train.decode(&[4, 0, 99, PADDING])),
        (None, "d\u{fffd}\u{fffd}\u{fffd}".into())
    );
    assert!(matches!(train.label(0).unwrap_err(), DataError::NoClasses { .. }));
    assert!(matches!(train.length(3).unwrap_err(), DataError::IndexOutOfRange { .. }));
    assert_eq!(train.resident_bytes(), 20, "two bytes a token");
}

#[test]
fn letters_line_ends_and_rare_characters() {
    let (train, _) = read("Ab\r\nbé!Ab\r\nbé!", &characters(2, 0.5)).unwrap();
    assert_eq!(train.text(0).unwrap() + &train.text(1).unwrap(), "Ab\r\r\nb", "\\r\\n stays");
    let config = TextConfig { lower: true, vocabulary: Some(3), ..characters(2, 0.2) };
    let (train, _) = read("ABBaab CDabab", &config).unwrap();
    assert_eq!(train.schema().n_outputs(), 3);
    assert_eq!(train.text(0).unwrap() + &train.text(2).unwrap(), "abbab\u{fffd}");
}

#[test]
fn words_end_lines_with_a_token() {
    let config = TextConfig { tokens: Tokens::Words, ..characters(3, 0.3) };
    let text = " the cat <unk>\n\nthe  dog\tthe cat\nthe bird cat\n";
    let (train, test) = read(text, &config).unwrap();
    assert_eq!((train.n_tokens(), test.n_tokens()), (10, 4));
    // <unk> <eos> the cat dog
    assert_eq!(train.schema().n_outputs(), 5);
    let expected =
        [(vec![2, 3, 0], vec![3, 0, 1]), (vec![1, 1, 2], vec![1, 2, 4]), (vec![4, 2, 3], vec![2, 3, 1])];
    assert_eq!(sequences(&train), expected);
    assert_eq!(test.text(0).unwrap(), "the <unk> cat\n");
    let (train, _) = read(text, &TextConfig { vocabulary: Some(3), ..config }).unwrap();
    assert_eq!(train.schema().n_outputs(), 3);
    assert_eq!(sequences(&train)[2], (vec![0, 2, 0], vec![2, 0, 1]));
}

#[test]
fn lines_and_paragraphs_are_sequences_of_their_own() {
    let text = "abcdefgh\nab\n\n \nc\nab\n";
    let config = TextConfig { sequences: Sequences::Lines, ..characters(3, 0.15) };
    let (train, test) = read(text, &config).unwrap();
    assert!(train.schema().uneven);
    let texts = |dataset: &TokenDataset| -> Vec<String> {
        (0..dataset.len()).map(|index| dataset.text(index).unwrap()).collect()
    };
    // A long line becomes several sequences that share one token; a blank line alone has no target.
    assert_eq!(texts(&train), ["abcd", "defg", "gh\n", "ab\n", " \n", "c\n"]);
    assert_eq!(texts(&test), ["ab\n"]);
    assert_eq!((train.length(0).unwrap(), train.length(2).unwrap()), (3, 2));

    // A batch is as wide as its longest sequence; the rest is padding.
    let order = Order::sequential(train.len()).unwrap();
    let batch = gather_batch(&train, &order, 1..6, &Device::Cpu).unwrap();
    assert_eq!((batch.inputs.dims(), batch.weight), (&[5, 3][..], 3 + 2 + 2 + 1 + 1));
    let targets = batch.targets.to_vec2::<u32>().unwrap();
    assert_eq!(targets[1][2], PADDING);
    assert_eq!(targets[4][1..], [PADDING; 2]);
    assert_eq!(batch.inputs.to_vec2::<u32>().unwrap()[4][1..], [0; 2]);
    assert_eq!(batch.mask.unwrap().to_vec2::<f32>().unwrap()[1], [1.0, 1.0, 0.0]);

    let config = TextConfig { sequences: Sequences::Paragraphs, ..characters(30, 0.4) };
    let (train, test) = read(text, &config).unwrap();
    assert_eq!((texts(&train), texts(&test)), (vec!["abcdefgh\nab\n".into()], vec!["c\nab\n".to_owned()]));
}

#[test]
fn folders_take_their_parts_from_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let open = |settings: &str| open(&format!("{}{settings}", dir.path().display()), None);
    write("train.txt", "abababab");
    write("test.txt", "bbbb");
    write("README.md", "no text");
    let Splits { train, test } = open(":context=2").unwrap();
    assert_eq!((train.len(), test.len(), test.text(0).unwrap()), (3, 1, "bbb".into()));
    write("valid.txt", "aaaaa");
    assert_eq!(open(":context=2").unwrap().test.text(0).unwrap(), "aaa");
    let error = open(":context=2,test=0.5").unwrap_err();
    assert!(error.to_string().contains("valid.txt"), "{error}");
    std::fs::remove_file(dir.path().join("train.txt")).unwrap();
    let Splits { train, test } = open(":context=2,packed=false").unwrap();
    assert_eq!((train.text(0).unwrap(), test.text(0).unwrap()), ("bbb".into(), "\u{fffd}".repeat(3)));
    assert_ne!(train.content_hash().unwrap(), test.content_hash().unwrap());
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let (_dir, path) = file("some text that is long enough");
    let error =
        |settings: &str| open(&format!("{}:{settings}", path.display()), None).unwrap_err().to_string();
    for (settings, part) in [
        ("context=0", "context is 0, allowed is 1..=1048576"),
        ("context=x", "context is x"),
        ("test=1", "test is 1, allowed is a fraction"),
        ("test=NaN", "test is NaN"),
        ("packed=maybe", "packed is maybe"),
        ("sequences=pages", "sequences is pages, allowed is lines or paragraphs"),
        ("packed=true,sequences=lines", "packed is true, allowed is false with `sequences`"),
        ("tokens=nowhere.json", "tokens is nowhere.json, allowed is characters, words"),
        ("vocabulary=2", "vocabulary is 2"),
        ("words=true", "has no setting `words`, allowed are: tokens, packed"),
        (
            "context=27,test=0.1",
            "small.txt`, as a whole: the number of tokens to train on is 26, allowed is at least 28",
        ),
    ] {
        let message = error(settings);
        assert!(message.contains(part), "{settings}: {message}");
    }
    let config = TextConfig { context: 0, ..TextConfig::default() };
    read_text("small", &path, &config).unwrap_err();
    let error = read_text("small", Path::new("/dev/null"), &TextConfig::default()).unwrap_err();
    assert!(matches!(error, DataError::UnknownFormat { .. }), "{error}");
}

#[test]
fn what_is_no_text_names_the_byte_and_the_line() {
    for (content, place) in [
        (&b"ab\ncd\xffe\n"[..], "byte 5: text in line 2 is the byte 0xff"),
        (b"\xfe\xffa\0b", "byte 0: text in line 1 is the byte 0xfe"),
        (b"abcdefg\n\nh\xc3", "byte 10: text in line 3 is the byte 0xc3"),
    ] {
        for tokens in [Tokens::Characters, Tokens::Words] {
            let message =
                read(content, &TextConfig { tokens, ..characters(1, 0.5) }).unwrap_err().to_string();
            assert!(message.contains(place) && message.contains("small.txt"), "{message}");
        }
    }
    assert!(matches!(read("", &TextConfig::default()).unwrap_err(), DataError::Empty { .. }));
    let lines = TextConfig { sequences: Sequences::Lines, ..characters(3, 0.5) };
    let message = read("\n\n\n\n", &lines).unwrap_err().to_string();
    assert!(message.contains("the number of sequences to train on is 0"), "{message}");
    let (dir, path) = file("abcdef");
    std::fs::remove_file(&path).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("small.txt", &path).unwrap();
    assert!(matches!(read_text("loop", &path, &lines).unwrap_err(), DataError::UnknownFormat { .. }));
    drop(dir);
}

#[test]
fn hashes_name_what_is_gathered() {
    let text = "the cat and the dog\nthe dog and the cat\n".repeat(3);
    let base = characters(4, 0.3);
    let variants = [
        base.clone(),
        TextConfig { context: 5, ..base.clone() },
        TextConfig { test: Some(0.2), ..base.clone() },
        TextConfig { vocabulary: Some(6), ..base.clone() },
        TextConfig { sequences: Sequences::Lines, ..base.clone() },
        TextConfig { tokens: Tokens::Words, ..base.clone() },
    ];
    let hash = |text: &str, config| read(text, config).unwrap().0.content_hash().unwrap();
    let mut hashes: Vec<String> = variants.iter().map(|config| hash(&text, config)).collect();
    hashes.push(hash(&text.replace("dog", "dig"), &base));
    hashes.push(hash(&text.replace('d', "D"), &base));
    for (at, one) in hashes.iter().enumerate() {
        assert!(!hashes[..at].contains(one), "variant {at}");
    }
    assert_eq!(hashes[0], hash(&text, &base));
    assert_eq!(hashes[0].len(), 64);
}

#[test]
fn wrong_buffers_are_errors() {
    let even = read("abcabcabcabc", &characters(2, 0.3)).unwrap().0;
    let uneven = read("abc\nabcdef\nab", &TextConfig { sequences: Sequences::Lines, ..characters(9, 0.15) })
        .unwrap()
        .0;
    let gather = |dataset: &TokenDataset, n_inputs, n_targets| {
        let (mut inputs, mut targets) = (vec![0; n_inputs], vec![0; n_targets]);
        let out = RowsMut { inputs: ValuesMut::U32(&mut inputs), targets: ValuesMut::U32(&mut targets) };
        dataset.gather(&[Row::new(0), Row::new(1)], out)
    };
    gather(&even, 4, 4).unwrap();
    gather(&uneven, 12, 12).unwrap();
    gather(&uneven, 40, 40).unwrap();
    for (dataset, n_inputs, n_targets) in
        [(&even, 5, 4), (&even, 4, 3), (&even, 6, 6), (&uneven, 10, 10), (&uneven, 13, 13), (&uneven, 12, 14)]
    {
        let error = gather(dataset, n_inputs, n_targets).unwrap_err();
        assert!(matches!(error, DataError::BufferLength { .. }), "{error}");
    }
    let mut wrong = [0.0; 2];
    let out = RowsMut { inputs: ValuesMut::F32(&mut wrong), targets: ValuesMut::U32(&mut [0; 2]) };
    assert!(matches!(even.gather(&[Row::new(0)], out).unwrap_err(), DataError::BufferType { .. }));
    let out = RowsMut { inputs: ValuesMut::U32(&mut []), targets: ValuesMut::U32(&mut []) };
    uneven.gather(&[], out).unwrap();
}

#[test]
fn ready_made_tokens_are_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train.bin");
    let tokens: Vec<u32> = (0..100).map(|i| i * i % 70_000).collect();
    let narrow: Vec<u8> = tokens.iter().flat_map(|token| (*token as u16).to_le_bytes()).collect();
    let wide: Vec<u8> = tokens.iter().flat_map(|token| (token + 65_536).to_le_bytes()).collect();
    let config = TokenFileConfig { context: 4, test: Some(0.25), ..TokenFileConfig::default() };
    for (bytes, width, more) in [(&narrow, TokenWidth::U16, 0), (&wide, TokenWidth::U32, 65_536)] {
        std::fs::write(&path, bytes).unwrap();
        let config = TokenFileConfig { width, ..config.clone() };
        let (train, test) = read_tokens("ids", &path, &config).unwrap();
        assert_eq!((train.len(), train.n_tokens(), test.len(), test.n_tokens()), (18, 75, 6, 25));
        assert_eq!((train.schema().n_outputs(), train.resident_bytes()), (9_802 + more as usize, 0));
        let row = |range: std::ops::Range<usize>| -> Vec<u32> {
            tokens[range].iter().map(|token| token + more).collect()
        };
        assert_eq!(sequence(&train, 17).unwrap(), (row(68..72), row(69..73)));
        assert_eq!(sequence(&test, 0).unwrap(), (row(75..79), row(76..80)));
        assert_eq!(train.text(0), None);
        assert_ne!(train.content_hash().unwrap(), test.content_hash().unwrap());
    }

    // A token beyond the vocabulary is found when it is gathered.
    std::fs::write(&path, &narrow).unwrap();
    let small = TokenFileConfig { vocabulary: Some(100), ..config.clone() };
    let (train, _) = read_tokens("ids", &path, &small).unwrap();
    sequence(&train, 0).unwrap();
    let message = sequence(&train, 2).unwrap_err().to_string();
    assert!(message.contains("train.bin`, byte 20: a token is 100, allowed is 0..100"), "{message}");
    // So is a file that was cut.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(40).unwrap();
    assert!(sequence(&train, 0).unwrap_err().to_string().contains("byte 40"));

    std::fs::write(&path, &narrow[..199]).unwrap();
    let message = read_tokens("ids", &path, &config).unwrap_err().to_string();
    assert!(message.contains("byte 198") && message.contains("multiple of the 2 bytes"), "{message}");
    std::fs::write(&path, [0xff; 400]).unwrap();
    let wide = TokenFileConfig { width: TokenWidth::U32, ..config.clone() };
    let message = read_tokens("ids", &path, &wide).unwrap_err().to_string();
    assert!(message.contains("is `dtype` right?"), "{message}");
    std::fs::write(&path, []).unwrap();
    assert!(matches!(read_tokens("ids", &path, &config).unwrap_err(), DataError::Empty { .. }));

    // As nanoGPT lays them out.
    std::fs::write(&path, &narrow).unwrap();
    std::fs::write(dir.path().join("val.bin"), &narrow[..40]).unwrap();
    let spec = |settings: &str| format!("{}:{settings}", dir.path().display());
    let splits = open(&spec("context=4,dtype=u16,vocabulary=9900"), None).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (24, 4));
    assert_eq!(splits.train.schema().n_outputs(), 9_900);
    open(&spec("context=4,test=0.5"), None).unwrap_err();
    assert!(open(&spec("dtype=u8"), None).unwrap_err().to_string().contains("allowed is u16 or u32"));
}

/// A tokenizer of words and letters; `{}` is put into its model.
fn tokenizer_json(model: &str) -> String {
    let model = format!(
        r#"{{"type":"BPE","unk_token":"?","vocab":{{"?":0,"a":1,"b":2,"ab":3," ":4}},"merges":["a b"]{model}}}"#
    );
    format!(
        r#"{{"version":"1.0","truncation":{{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}},
        "padding":{{"strategy":{{"Fixed":9}},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"?"}},
        "added_tokens":[{{"id":7,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],
        "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":{{"type":"Fuse"}},"model":{model}}}"#
    )
}

fn with_tokenizer(json: impl AsRef<[u8]>, text: &str) -> Result<(TokenDataset, TokenDataset), DataError> {
    let (dir, path) = file(text);
    let tokenizer = dir.path().join("tokenizer.json");
    std::fs::write(&tokenizer, json).unwrap();
    read_text("small", &path, &TextConfig { tokens: Tokens::File(tokenizer), ..characters(2, 0.4) })
}

#[test]
fn tokenizer_files_encode_line_by_line() {
    let (train, test) = with_tokenizer(tokenizer_json(""), "abba a\nab b\nabab\n").unwrap();
    // Neither truncated nor padded, and no special tokens: ab b a _ a ? ab _ b ? | ab ab ?
    assert_eq!((train.n_tokens(), test.n_tokens()), (10, 3));
    assert_eq!(train.schema().n_outputs(), 6);
    assert_eq!(sequences(&train)[..2], [(vec![3, 2], vec![2, 1]), (vec![1, 4], vec![4, 1])]);
    assert_eq!(train.text(0).unwrap(), "abba");
    assert_eq!(train.decode(&[3, 9_999, 2]), "abb");

    // Ready-made tokens are shown by the tokenizer that made them.
    let dir = tempfile::tempdir().unwrap();
    let (tokenizer, bin) = (dir.path().join("tokenizer.json"), dir.path().join("ids.bin"));
    std::fs::write(&tokenizer, tokenizer_json("")).unwrap();
    std::fs::write(&bin, [3u16, 2, 1, 4, 3, 3, 1].map(u16::to_le_bytes).concat()).unwrap();
    let spec = format!("{}:tokens={},context=2,test=0.5", bin.display(), tokenizer.display());
    let splits = open(&spec, None).unwrap();
    assert_eq!(
        (splits.train.text(0).unwrap(), splits.test.text(0).unwrap()),
        ("abba".into(), " abab".into())
    );
    assert_eq!(splits.train.schema().n_outputs(), 6);

    let message = with_tokenizer(tokenizer_json(r#","dropout":0.1"#), "abab").unwrap_err().to_string();
    assert!(message.contains("`dropout` is 0.1"), "{message}");
    let message = with_tokenizer("{}", "abab").unwrap_err().to_string();
    assert!(message.contains("tokenizer.json") && message.contains("tokenizer is unusable"), "{message}");
    let message = with_tokenizer(tokenizer_json("").replace("\" \":4", "\" \":4000000000"), "abab");
    assert!(message.unwrap_err().to_string().contains("the number of tokens is 4000000001"));
    let (_dir, path) = file("text of some length");
    let config = TextConfig { tokens: Tokens::File(path.clone()), vocabulary: Some(9), ..characters(2, 0.4) };
    assert!(read_text("small", &path, &config).unwrap_err().to_string().contains("vocabulary is 9"));
}

/// Changes of a good file: each bit flipped, cut everywhere, and random chunks moved.
fn spoiled(good: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let flips = (0..good.len()).flat_map(move |at| {
        (0..8).map(move |bit| {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            bytes
        })
    });
    let cuts = (0..good.len()).map(|len| good[..len].to_vec());
    let mut state = 1u64;
    let splices = (0..300).map(move |_| {
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n.max(1)
        };
        let (from, to) = (below(good.len()), below(good.len()));
        let len = below(good.len() - from.max(to));
        let mut bytes = good.to_vec();
        bytes.copy_within(from..from + len, to);
        bytes
    });
    flips.chain(cuts).chain(splices)
}

/// Opens, gathers and shows all; an error names the file.
fn exercise(read: Result<(TokenDataset, TokenDataset), DataError>, file: &str) {
    let touch = |(train, test): (TokenDataset, TokenDataset)| {
        for dataset in [train, test] {
            dataset.content_hash()?;
            for index in 0..dataset.len() {
                sequence(&dataset, index)?;
                dataset.text(index);
            }
        }
        Ok(())
    };
    if let Err::<(), DataError>(error) = read.and_then(touch) {
        assert!(error.to_string().contains(file), "the message names the file: {error}");
    }
}

#[test]
fn random_bytes_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (text, bin) = (dir.path().join("input.txt"), dir.path().join("input.bin"));
    let good = "the cät\r\n\nand the dög\n sat\u{2003}here 🦀\n";
    for bytes in spoiled(good.as_bytes()) {
        std::fs::write(&text, &bytes).unwrap();
        for tokens in [Tokens::Characters, Tokens::Words] {
            for sequences in [Sequences::Packed, Sequences::Lines, Sequences::Paragraphs] {
                let config = TextConfig { tokens: tokens.clone(), sequences, ..characters(3, 0.4) };
                exercise(read_text("fuzz", &text, &config), "input.txt");
            }
        }
        std::fs::write(&bin, &bytes).unwrap();
        for (width, vocabulary) in
            [(TokenWidth::U16, Some(30_000)), (TokenWidth::U16, None), (TokenWidth::U32, None)]
        {
            let config = TokenFileConfig { context: 3, test: Some(0.4), width, vocabulary, tokenizer: None };
            exercise(read_tokens("fuzz", &bin, &config), "input.bin");
        }
    }
}

#[test]
fn random_tokenizers_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let (text, tokenizer) = (dir.path().join("input.txt"), dir.path().join("input.json"));
    std::fs::write(&text, "abba <s> a\nab b\nabab\n").unwrap();
    let config = TextConfig { tokens: Tokens::File(tokenizer.clone()), ..characters(2, 0.4) };
    for (n, bytes) in spoiled(tokenizer_json("").as_bytes()).enumerate() {
        // Each file costs a tokenizer; every third will do.
        if n % 3 == 0 {
            std::fs::write(&tokenizer, &bytes).unwrap();
            exercise(read_text("fuzz", &text, &config), "input.");
        }
    }
}

proptest! {
    /// Packed windows tile the stream: a plain twin cuts the same.
    #[test]
    fn windows_tile_the_stream(text in "[a-e\u{e9}\n]{2,200}", context in 1usize..20, test in 0.05f64..0.95) {
        let at = (text.len() as f64 * (1.0 - test)).floor() as usize;
        let at = (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
        let parts = [&text[..at], &text[at..]];
        let mut known: Vec<char> = parts[0].chars().collect();
        known.sort();
        known.dedup();
        let id = |c: char| known.binary_search(&c).map_or(0, |at| at as u32 + 1);
        let streams = parts.map(|part| part.chars().map(id).collect::<Vec<u32>>());
        let read = read(&text, &characters(context, test));
        if streams.iter().any(|stream| stream.len() <= context) {
            prop_assert!(read.is_err());
            return Ok(());
        }
        let (train, test) = read.unwrap();
        for (dataset, stream) in [&train, &test].into_iter().zip(&streams) {
            prop_assert_eq!(dataset.schema().n_outputs(), known.len() + 1);
            let mut twin = Vec::new();
            let mut start = 0;
            while start + context < stream.len() {
                twin.push((stream[start..start + context].to_vec(), stream[start + 1..=start + context].to_vec()));
                start += context;
            }
            prop_assert_eq!(sequences(dataset), twin);
        }
    }

    /// Each line's tokens but the first are targets exactly once, in order.
    #[test]
    fn lines_lose_no_target(text in "[a-c \n]{1,120}", context in 1usize..9) {
        let config = TextConfig { sequences: Sequences::Lines, ..characters(context, 0.3) };
        let Ok((train, test)) = read(&text, &config) else { return Ok(()) };
        let shown = |dataset: &TokenDataset| {
            sequences(dataset).iter().map(|(_, targets)| dataset.decode(targets)).collect::<String>()
        };
        let expected: String = text.split_inclusive('\n').flat_map(|line| line.chars().skip(1)).collect();
        let found = shown(&train) + &shown(&test);
        // The test part may hold what the training part does not.
        prop_assert_eq!(found.chars().count(), expected.chars().count());
        prop_assert!(found.chars().zip(expected.chars()).all(|(a, b)| a == b || a == char::REPLACEMENT_CHARACTER));
    }
}

#[test]
fn threads_gather_the_same_bits() {
    let text: String =
        (0..400).map(|i| if i % 17 == 0 { '\n' } else { (b'a' + (i * i % 23) as u8) as char }).collect();
    let config = TextConfig { sequences: Sequences::Lines, ..characters(8, 0.2) };
    let train = std::sync::Arc::new(read(&text, &config).unwrap().0);
    let order = Order::new(3, train.len()).unwrap();
    let mut loader = Loader::new(train.clone(), order.clone(), Device::Cpu).unwrap();
    for batch in loader.iter(Batches::new(&order, 0..order.len(), 5, LastBatch::Keep).unwrap()) {
        let batch = batch.unwrap();
        let twin = gather_batch(train.as_ref(), &order, batch.positions.clone(), &Device::Cpu).unwrap();
        assert_eq!(batch.inputs.to_vec2::<u32>().unwrap(), twin.inputs.to_vec2::<u32>().unwrap());
        assert_eq!(batch.targets.to_vec2::<u32>().unwrap(), twin.targets.to_vec2::<u32>().unwrap());
        assert_eq!(batch.weight, twin.weight);
    }
}
