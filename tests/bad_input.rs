//! Bad input gets a clear error: where, what was found, what is allowed; and nothing is lost.

use std::fs;
use std::path::Path;
use tests::image_set::{FILES, ImageSet, compress, gzip};
use tests::json;
use tests::{Place, Ran};

fn place() -> Place {
    let place = Place::new();
    ImageSet::SMALL.write(&place.path().join("small"));
    place
}

fn data(place: &Place) -> Ran {
    place.run(&["data", "--data", "small"])
}

/// Changes the bytes of a file.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("the file is there");
    change(&mut content);
    fs::write(path, content).expect("the file can be written");
}

/// What is done to a file's bytes.
type Spoil = fn(&mut Vec<u8>);

#[test]
fn a_spoilt_file_is_named_with_the_byte_and_what_was_expected() {
    let [images, labels, _, test_labels] = FILES;
    let cases: [(&str, &str, Spoil, &[&str]); 13] = [
        ("images cut", images, |f| f.truncate(1000), &["ends at byte 1000", "promises 25616 bytes"]),
        ("labels cut", labels, |f| f.truncate(300), &["ends at byte 300", "promises 408 bytes"]),
        ("header cut", images, |f| f.truncate(10), &["ends at byte 10"]),
        ("nothing in it", labels, Vec::clear, &["ends at byte 0"]),
        ("more than promised", images, |f| f.push(0), &["goes on after byte 25616"]),
        ("wrong kind", images, |f| f[3] = 1, &["byte 0", "0x00000801", "0x00000803"]),
        ("no IDX file", labels, |f| f.splice(0..4, *b"PK\x03\x04").for_each(drop), &["byte 0", "0x00000801"]),
        ("no rows", images, |f| f[8..12].fill(0), &["rows at byte 8 is 0", "1..=65535"]),
        ("absurd count", images, |f| f[4..12].fill(0xff), &["byte 8 is 4294967295"]),
        ("lying count", images, |f| f[4..8].fill(0xff), &["ends at byte 25616"]),
        ("label beyond the classes", test_labels, |f| f[8 + 5] = 9, &["label 5 at byte 13 is 9", "0..4"]),
        ("one class only", labels, |f| f[8..].fill(2), &["every label", "is 2", "at least 2 classes"]),
        (
            "no example",
            labels,
            |f| {
                f.truncate(8);
                f[4..].fill(0);
            },
            &["no examples"],
        ),
    ];
    for (name, file, spoil, named) in cases {
        let place = place();
        edit(&place.path().join("small").join(file), spoil);
        let ran = data(&place);
        ran.assert_refused(name, 2, named);
        ran.assert_refused(name, 2, &[file]);
        assert_eq!(ran.stdout, "", "{name}: no half result");
    }
}

#[test]
fn a_spoilt_gzip_file_is_named_with_the_byte() {
    let cases: [(&str, Spoil, &[&str]); 4] = [
        ("cut", |f| f.truncate(f.len() / 2), &["gzip", "decompressed bytes"]),
        ("checksum wrong", |f| *f.iter_mut().nth_back(6).expect("a trailer") ^= 1, &["gzip"]),
        ("body wrong", |f| f[200..260].fill(0x55), &["byte"]),
        ("cut inside", |f| *f = gzip(&[0, 0, 8, 3, 0, 0]), &["ends at byte 6"]),
    ];
    for (name, spoil, named) in cases {
        let place = place();
        compress(&place.path().join("small"));
        assert_eq!(data(&place).status, Some(0), "compressed files are read");
        edit(&place.path().join("small/train-images-idx3-ubyte.gz"), spoil);
        data(&place).assert_refused(name, 2, named);
        data(&place).assert_refused(name, 2, &["train-images-idx3-ubyte.gz"]);
    }
}

#[test]
fn counts_that_differ_are_both_told() {
    let place = place();
    let labels = place.path().join("small").join(FILES[1]);
    edit(&labels, |f| {
        f.truncate(8 + 399);
        f[4..8].copy_from_slice(&399u32.to_be_bytes());
    });
    data(&place).assert_refused("a label fewer", 2, &[FILES[0], "400 images", FILES[1], "399 labels"]);
}

#[test]
fn a_missing_data_set_says_where_it_was_looked_for() {
    let place = place();
    let ran = place.run(&["advise", "--data", "mnits", "--data-dir", "."]);
    ran.assert_refused("a name", 2, &["`mnits` not found", "./mnits", "`glyphs`", "`small`"]);
    let ran = place.run(&["train", "--data", "no/where", "--data-dir", "here"]);
    ran.assert_refused("a folder", 2, &["`no/where` not found", "looked in: `no/where`", "hint:"]);
    fs::remove_file(place.path().join("small").join(FILES[3])).expect("the file can go");
    data(&place).assert_refused("a file", 2, &["`small` holds none of the files", FILES[3]]);
    assert!(!place.path().join("batchwise-out").exists(), "nothing is written before the data is open");
}

#[test]
fn wrong_settings_of_the_built_in_set_are_named_with_what_is_allowed() {
    let cases: [(&str, &[&str]); 3] = [
        ("glyphs:classes=0", &["classes is 0", "2..="]),
        ("glyphs:colour=3", &["colour", "classes", "label_noise"]),
        ("glyphs:label_noise=x", &["label_noise is x", "a number"]),
    ];
    for (name, named) in cases {
        Place::new().run(&["data", "--data", name]).assert_refused(name, 2, named);
    }
}

/// The size after `takes ` in a message, in bytes, and a little more for its rounding.
fn needed_bytes(message: &str) -> u64 {
    let after = message.split("takes ").nth(1).expect("the message says what is needed");
    let mut words = after.split([' ', ';']);
    let number: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    let unit = match words.next() {
        Some("KiB") => 1024.0,
        Some("MiB") => 1024.0 * 1024.0,
        unit => panic!("an unexpected unit {unit:?}"),
    };
    ((number + 0.005) * unit) as u64 + 1
}

#[test]
fn too_little_memory_says_what_is_needed_and_that_is_enough() {
    let place = place();
    let cases: [&[&str]; 3] = [&["memory"], &["train", "--batch", "8"], &["train", "--batch", "256"]];
    for case in cases {
        let run = |memory: &str| {
            let common = ["--data", "small", "--model", "mlp", "--quiet", "--memory", memory];
            place.run(&[case, &common].concat())
        };
        let ran = run("100KiB");
        ran.assert_refused("100 KiB", 2, &["--memory 100.00 KiB", "takes", "iB; allow"]);
        let needed = needed_bytes(&ran.stderr);
        let ran = run(&needed.to_string());
        assert_eq!(ran.status, Some(0), "{case:?} with the {needed} bytes it asked for: {}", ran.stderr);
    }
    let ran = place.run(&["advise", "--data", "small", "--model", "mlp", "--memory", "1"]);
    ran.assert_refused("1 byte", 2, &["--memory 1 B"]);
}

#[test]
fn nonsense_values_are_refused_with_what_is_allowed() {
    let place = place();
    let cases: [(&str, &[&str]); 13] = [
        ("train --memory lots", &["--memory", "`lots`", "2GiB"]),
        ("train --memory 0", &["--memory", "2GiB"]),
        ("train --device tpu", &["`tpu`", "cuda:N"]),
        ("train --device cuda:x", &["`cuda:x`", "cuda:N"]),
        ("train --model vit", &["`vit`", "cnn", "mlp"]),
        ("train --lr nan", &["--lr", "nan", "finite"]),
        ("train --lr inf", &["--lr", "inf", "finite"]),
        ("train --lr=-0.1", &["--lr", "-0.1"]),
        ("noise --lr 0", &["--lr", "positive"]),
        ("noise --lr nan", &["--lr", "NaN"]),
        ("train --batch 0", &["--batch", "0"]),
        ("train --micro-batch 0", &["--micro-batch", "0"]),
        ("advise --max-batch 0", &["--max-batch", "0"]),
    ];
    for (line, named) in cases {
        let arguments: Vec<&str> = line.split(' ').chain(["--data", "small"]).collect();
        place.run(&arguments).assert_refused(line, 2, named);
    }
    assert!(!place.path().join("batchwise-out").exists(), "nothing is written on wrong input");
}

#[test]
fn a_negative_learning_rate_after_a_space_is_a_value_too() {
    let ran = place().run(&["train", "--data", "small", "--lr", "-0.1"]);
    ran.assert_refused("--lr -0.1", 2, &["--lr", "-0.1", "negative"]);
}

#[test]
fn a_device_that_this_build_lacks_names_its_feature() {
    // With a GPU's feature built in there is nothing to lack.
    let devices = place().run(&["devices"]).stdout;
    for device in ["cuda", "metal"] {
        if devices.contains("Not in this build") && devices.contains(device) {
            let ran = place().run(&["train", "--data", "small", "--device", &format!("{device}:0")]);
            ran.assert_refused(device, 2, &[&format!("`{device}:0`"), &format!("feature `{device}`")]);
        }
    }
}

/// Names and bytes of the files in a folder and in those below it.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let mut content: Vec<_> = entries
        .flat_map(|entry| {
            if entry.path().is_dir() {
                return content(&entry.path());
            }
            let bytes = fs::read(entry.path()).expect("the file is readable");
            vec![(entry.file_name().to_string_lossy().into_owned(), bytes)]
        })
        .collect();
    content.sort();
    content
}

#[test]
fn results_are_not_overwritten_without_force() {
    let place = place();
    let folder = place.path().join("out");
    let run = |arguments: &[&str]| {
        place.run(&[arguments, &["--data", "small", "--model", "mlp", "--quiet", "--out", "out"]].concat())
    };
    assert_eq!(run(&["train"]).status, Some(0));
    let before = content(&folder);
    assert!(before.iter().any(|(name, _)| name == "train.json"));
    for command in ["train", "advise", "memory", "speed", "noise"] {
        run(&[command, "--seed", "2"]).assert_refused(command, 2, &["out", "holds files already", "--force"]);
        assert_eq!(content(&folder), before, "{command} changed the results");
    }
    assert_eq!(run(&["train", "--seed", "2", "--force"]).status, Some(0));
    assert_ne!(content(&folder), before, "--force overwrites");
}

#[test]
fn an_output_folder_that_cannot_be_is_wrong_input() {
    let place = place();
    fs::write(place.path().join("file"), "kept").expect("a file can be written");
    for out in ["file/out", "file"] {
        for command in ["train", "advise", "memory"] {
            let ran = place.run(&[command, "--data", "small", "--model", "mlp", "--quiet", "--out", out]);
            ran.assert_refused(&format!("{command} --out {out}"), 2, &[out]);
        }
    }
    assert_eq!(place.read("file"), "kept");
}

#[test]
fn a_data_set_too_small_for_the_noise_gives_no_advice() {
    for train in [8, 40] {
        let place = Place::new();
        ImageSet { train, test: 8, random_labels: 0 }.write(&place.path().join("tiny"));
        for command in ["noise", "advise"] {
            let ran = place.run(&[command, "--data", "tiny", "--model", "mlp", "--quiet"]);
            ran.assert_refused(&format!("{command}, {train} examples"), 3, &["no advice can be given: "]);
        }
    }
}

#[test]
fn diverging_training_is_told_and_never_averaged_in() {
    let place = place();
    let ran = place.run(&[
        "train", "--data", "small", "--model", "mlp", "--lr", "1e20", "--json", "--quiet", "--out", "out",
    ]);
    ran.assert_refused("--lr 1e20", 3, &["diverged", "smaller learning rate"]);
    let names = json::assert_all_parse(&place.path().join("out"));
    assert!(names.contains(&"train.json".to_owned()), "the result is kept: {names:?}");
    let result = json::read(&place.path().join("out/train.json"));
    assert!(json::text(&result, "/diverged").contains("diverged"));
    for field in ["/train_loss", "/test_loss", "/test_accuracy"] {
        assert!(json::at(&result, field).is_null(), "{field} is {}", json::at(&result, field));
    }
    for name in names.iter().filter(|name| name.contains(".json")) {
        // The reason is in words and may name NaN; no value may be it.
        for token in [": NaN", ":NaN", ": inf", ":inf", "Infinity"] {
            assert!(!place.read(&format!("out/{name}")).contains(token), "{name} holds {token}");
        }
    }
    let printed = json::parse("standard output", &ran.stdout);
    assert_eq!(printed, result, "what is printed is what is kept");
    let ran = place.run(&["noise", "--data", "small", "--model", "mlp", "--lr", "1e20", "--quiet"]);
    ran.assert_refused("noise --lr 1e20", 3, &["no advice can be given", "diverged"]);
}
