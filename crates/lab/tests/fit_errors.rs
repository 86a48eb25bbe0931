//! `fit`: wrong input is named by file, line and column, with what was found and what is allowed.

mod fit_support;

use batchwise_lab::fit::{Kind, Settings, Source, fit};
use fit_support::{answer, answer_with};

/// (kind, file, line, column, what the message says)
type Case = (Kind, &'static str, Option<u64>, Option<&'static str>, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (kind, text, line, column, parts) in cases {
        let error = answer(*kind, *text).expect_err(text);
        let message = error.to_string();
        assert!(message.starts_with("measured.csv"), "{message}");
        assert_eq!(error.line, *line, "{text:?}: {message}");
        assert_eq!(error.column.as_deref(), *column, "{text:?}: {message}");
        for part in *parts {
            assert!(message.contains(part), "{text:?}: `{part}` is not in: {message}");
        }
    }
}

#[test]
fn every_kind_refuses_what_is_no_table() {
    for kind in Kind::ALL {
        for text in ["", "\n\n", "# only a comment\n", "\u{feff}"] {
            if kind == Kind::Decide && text.starts_with('#') {
                continue; // JSON has no comments.
            }
            let error = answer(kind, text).expect_err(text);
            assert!(
                error.found.contains("empty") || error.found.contains("no row"),
                "{}: {error}",
                kind.name()
            );
        }
        for bytes in [
            &b"\xff\xfeb\0a\0"[..],
            b"a,b\n\x80\n",
            b"\0\0\0",
            b"\x89PNG\r\n\x1a\n",
            b"{",
            b"[",
            b"]",
            b"\"",
            b"1 2 3\n",
        ] {
            let error = answer(kind, bytes).expect_err("no table");
            assert!(!error.found.is_empty() && !error.allowed.is_empty(), "{}: {error}", kind.name());
        }
    }
}

#[test]
fn the_form_of_the_file() {
    check(&[
        (Kind::Speed, "batch,seconds\n", None, None, &["no row"]),
        (Kind::Speed, "8,0.1\n16,0.2\n", Some(1), None, &["no header", "batch, seconds"]),
        (Kind::Speed, "batch,when\n8,0.1\n", Some(1), None, &["no column `seconds`", "batch, when"]),
        (Kind::Speed, "batch,time\n8,0.1\n", Some(1), None, &["no unit", "--unit"]),
        (Kind::Speed, "batch,seconds,ms\n8,1,1\n", Some(1), None, &["both `seconds` and `ms`"]),
        (Kind::Speed, "batch,batch,seconds\n8,8,1\n", Some(1), None, &["both `batch` and `batch`"]),
        (Kind::Speed, "batch,seconds\n8\n", Some(2), None, &["1 field", "the header has 2"]),
        (Kind::Speed, "batch,seconds\n8,1,2\n", Some(2), None, &["3 fields"]),
        (Kind::Speed, "batch,seconds\n8,\"1\n16,2\n", Some(2), Some("2"), &["never closed"]),
        (Kind::Speed, "batch,seconds\n8,\"1\"2\n", Some(2), Some("2"), &["follows a closing quote"]),
        (Kind::Speed, "batch;seconds\n8;0,5\n", Some(2), Some("2 (seconds)"), &["`0,5`", "decimal point"]),
        (Kind::Speed, "batch,seconds\n8,0.5s\n", Some(2), Some("2 (seconds)"), &["`0.5s`", "unit"]),
        (Kind::Speed, "{\"batch\": 8, \"seconds\": [1]}\n", Some(1), Some("seconds"), &["`a list`"]),
        (
            Kind::Speed,
            "{\"batch\": 8, \"seconds\": 1}\n{\"batch\": 8}\n",
            Some(2),
            Some("seconds"),
            &["empty field"],
        ),
        (
            Kind::Speed,
            "{\"batch\": 8, \"seconds\": 1}\n{\"batch\": 8, \"ms\": 1}\n",
            Some(2),
            None,
            &["one unit"],
        ),
        (Kind::Speed, "{\"batch\": 8, \"batch\": 9}\n", Some(1), Some("24"), &["stands twice"]),
    ]);
}

#[test]
fn numbers_out_of_range() {
    check(&[
        (Kind::Speed, "batch,seconds\n8,nan\n", Some(2), Some("2 (seconds)"), &["`nan`", "finite"]),
        (Kind::Speed, "batch,seconds\n8,inf\n", Some(2), Some("2 (seconds)"), &["`inf`"]),
        (Kind::Speed, "batch,seconds\n8,1e400\n", Some(2), Some("2 (seconds)"), &["`1e400`"]),
        (Kind::Speed, "batch,seconds\n8,0\n", Some(2), Some("2 (seconds)"), &["above 0"]),
        (Kind::Speed, "batch,seconds\n8,-1\n", Some(2), Some("2 (seconds)"), &["`-1`", "above 0"]),
        (Kind::Speed, "batch,seconds\n8,1e300\n", Some(2), Some("2 (seconds)"), &["unit right"]),
        (Kind::Speed, "batch,seconds\n0,1\n", Some(2), Some("1 (batch)"), &["whole number of at least 1"]),
        (Kind::Speed, "batch,seconds\n8.5,1\n", Some(2), Some("1 (batch)"), &["`8.5`", "whole"]),
        (Kind::Speed, "batch,seconds\n1e30,1\n", Some(2), Some("1 (batch)"), &["`1e30`"]),
        (Kind::Memory, "batch,bytes\n8,-5\n", Some(2), Some("2 (bytes)"), &["`-5`"]),
        (Kind::Memory, "batch,gib\n8,1e12\n", Some(2), Some("2 (gib)"), &["unit right"]),
        (Kind::Tradeoff, "batch,steps\n8,0\n", Some(2), Some("2 (steps)"), &["above 0"]),
        (Kind::Tradeoff, "batch,steps,after\n8,,-1\n", Some(2), Some("3 (after)"), &["above 0"]),
        (Kind::Ridge, "batch,lr,loss\n8,0,1\n", Some(2), Some("2 (lr)"), &["above 0"]),
        (Kind::Ridge, "batch,lr,seed,loss\n8,0.1,x,1\n", Some(2), Some("3 (seed)"), &["`x`"]),
    ]);
}

#[test]
fn noise_rows_must_make_whole_measurements() {
    const HEAD: &str = "measurement,micro_batch,weight,norm2\n";
    let case = |rows: &'static str, line, column, parts| -> Case {
        (Kind::Noise, Box::leak(format!("{HEAD}{rows}").into_boxed_str()), line, column, parts)
    };
    check(&[
        case("1,0,4,2\n1,1,4,2\n", Some(2), None, &["no row whose micro_batch is `all`"]),
        case("1,0,4,2\n1,1,4,2\n1,all,8,1\n1,ALL,8,1\n", Some(5), None, &["second `all`", "line 4"]),
        case("1,0,4,2\n1,all,4,1\n", Some(2), None, &["1 micro-batch", "at least 2"]),
        case("1,all,4,1\n", Some(2), None, &["0 micro-batches"]),
        case("1,0,4,2\n1,0,4,2\n1,all,8,1\n", Some(3), None, &["again, as in line 2"]),
        case("1,0,4,2\n1,1,4,2\n1,all,12,1\n", Some(4), None, &["weight 12", "have 8", "missing"]),
        case("1,0,4,-2\n", Some(2), Some("4 (norm2)"), &["`-2`", "at least 0"]),
        case("1,0,0,2\n", Some(2), Some("3 (weight)"), &["above 0"]),
        case("1,0,4,inf\n", Some(2), Some("4 (norm2)"), &["`inf`"]),
        case(",0,4,1\n", Some(2), Some("1 (measurement)"), &["empty field"]),
        case("1,,4,1\n", Some(2), Some("2 (micro_batch)"), &["`all`"]),
        (
            Kind::Noise,
            "measurement,micro_batch,weight,norm\n1,0,4,2\n",
            Some(1),
            None,
            &["no column `norm2`"],
        ),
        (
            Kind::Noise,
            "measurement,group,micro_batch,weight,norm2\n1,a,0,4,2\n1,a,1,4,2\n1,a,all,8,1\n1,b,0,4,2\n1,b,1,4,2\n1,b,all,,1\n2,a,0,4,2\n2,a,1,4,2\n2,a,all,,1\n",
            Some(8),
            None,
            &["measurement `2` has no row of group `b`"],
        ),
        (Kind::Noise, "batch,micro_batch,micro_norm2,batch_norm2\n8,8,2,1\n", Some(2), None, &["2 or more"]),
        (Kind::Noise, "batch,micro_batch,micro_norm2,batch_norm2\n8,3,2,1\n", Some(2), None, &["equal"]),
        (Kind::Noise, "batch,micro_batch,micro_norm2\n8,4,2\n", Some(1), None, &["`batch_norm2`"]),
    ]);
}

#[test]
fn a_run_stands_once() {
    check(&[
        (Kind::Tradeoff, "batch,seed,steps\n8,1,100\n8,1,101\n", Some(3), None, &["again, as in line 2"]),
        (Kind::Ridge, "batch,lr,seed,loss\n8,0.1,1,2\n8,1e-1,1,3\n", Some(3), None, &["again, as in line 2"]),
        (
            Kind::Tradeoff,
            "batch,steps,examples\n8,100,900\n",
            Some(2),
            None,
            &["100 steps of 8", "900 examples"],
        ),
    ]);
}

#[test]
fn decide_refuses_what_it_cannot_read() {
    for (text, parts) in [
        ("7", &["found `7`"][..]),
        ("[]", &["empty list"]),
        ("[1]", &["a list that holds `1`"]),
        ("{}", &["the keys ``"]),
        ("{\"a\": 1}", &["`a`"]),
        ("{\"kind\": \"decide\"}", &["the kind", "tradeoff"]),
        ("{\"kind\": 3}", &["the kind `3`"]),
        ("{\"noise\": 3, \"speed\": {}}", &["`noise` is `3`"]),
        ("{\"phi\": 1, \"b_crit\": 2}", &["noise and tradeoff"]),
        ("{\"phi\": 1}", &["key low", "missing", "interval"]),
        ("{\"phi\": \"1\", \"low\": 0, \"high\": 2}", &["key phi", "the text `1`"]),
        ("{\"phi\": 1, \"low\": 2, \"high\": 3}", &["low ≤ value ≤ high"]),
        ("{\"phi\": -1, \"low\": null, \"high\": null}", &["found -1"]),
        (
            "{\"b_crit\": 1, \"low\": 1, \"high\": null, \"fit\": {\"b_crit\": 3}}",
            &["key fit", "this version"],
        ),
        ("{\"model\": \"sum\", \"overhead_seconds\": -1, \"seconds_per_example\": 1}", &["found -1"]),
        (
            "{\"model\": \"tree\", \"overhead_seconds\": 1, \"seconds_per_example\": 1}",
            &["`tree`", "overlap"],
        ),
        (
            "{\"model\": \"overlap\", \"overhead_seconds\": 1, \"seconds_per_example\": 1}",
            &["gamma", "between 1 and 10"],
        ),
        ("{\"model\": \"curve\", \"overhead_seconds\": 1, \"seconds_per_example\": 1}", &["points"]),
        ("{\"overhead_seconds\": null, \"points\": [{\"batch\": 8}]}", &["points[0]"]),
        (
            "{\"overhead_seconds\": null, \"points\": [{\"batch\": 8, \"seconds\": 1}, {\"batch\": 8, \"seconds\": 1}]}",
            &["points[1]", "again"],
        ),
        ("{\"fixed_bytes\": 1, \"bytes_per_example\": 1, \"upper_band\": -3}", &["upper_band"]),
        ("{\"exponent\": 1, \"best\": [{\"lr\": 8}]}", &["best[0]"]),
        ("{\"exponent\": 1, \"best\": 3}", &["best", "a list or null"]),
        ("{\"phi\": NaN}", &["no JSON"]),
        ("{\"phi\": 1e999}", &["no JSON", "out of range"]),
    ] {
        let error = answer(Kind::Decide, text).expect_err(text).to_string();
        for part in parts {
            assert!(error.contains(part), "{text}: `{part}` is not in: {error}");
        }
    }
    let deep = "[".repeat(100_000);
    assert!(answer(Kind::Decide, deep).unwrap_err().found.contains("recursion"));
}

#[test]
fn decide_refuses_contradictions() {
    let source = |name: &str, text: &str| Source::of_bytes(name, text.as_bytes().to_vec());
    let noise = |phi: f64, unit: &str| {
        format!("{{\"phi\": {phi}, \"low\": 1, \"high\": 1000, \"unit\": \"{unit}\"}}")
    };
    let both = vec![source("a.json", &noise(10.0, "examples")), source("b.json", &noise(20.0, "examples"))];
    let error = fit(Kind::Decide, both, &Settings::default()).unwrap_err().to_string();
    assert!(error.starts_with("b.json, noise") && error.contains("a.json, noise"), "{error}");
    let same = vec![source("a.json", &noise(10.0, "examples")), source("b.json", &noise(10.0, "examples"))];
    assert!(fit(Kind::Decide, same, &Settings::default()).is_ok(), "twice the same is no contradiction");
    let tradeoff = "{\"b_crit\": 400, \"low\": 300, \"high\": 500, \"unit\": \"tokens\"}";
    let units = vec![source("a.json", &noise(10.0, "sequences")), source("b.json", tradeoff)];
    let error = fit(Kind::Decide, units, &Settings::default()).unwrap_err().to_string();
    assert!(error.contains("sequence") && error.contains("token"), "{error}");
}

#[test]
fn units_of_the_flag_are_checked() {
    let unit = |unit: &str| Settings { column_unit: Some(unit.to_owned()), ..Settings::default() };
    let text = "batch,time\n8,100\n";
    assert!(answer_with(Kind::Speed, text, &unit("ms")).is_ok());
    let error = answer_with(Kind::Speed, text, &unit("fortnight")).unwrap_err().to_string();
    assert!(error.contains("fortnight") && error.contains("ms"), "{error}");
    let error = answer_with(Kind::Speed, "batch,time_ms\n8,100\n", &unit("s")).unwrap_err().to_string();
    assert!(error.contains("time_ms") && error.contains("--unit s"), "{error}");
}
