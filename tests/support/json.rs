//! Reading results: each value is found or the test fails with its path.

use serde_json::Value;
use std::path::Path;

/// Parses a text.
pub fn parse(what: &str, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{what} is no JSON ({error}): {text}"))
}

/// Parses a file.
pub fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path);
    parse(&path.display().to_string(), &text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The value at a path such as `/memory/peak_bytes`.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or_else(|| panic!("{path} is missing in {value}"))
}

/// The whole number at a path.
pub fn whole(value: &Value, path: &str) -> u64 {
    at(value, path).as_u64().unwrap_or_else(|| panic!("{path} is no whole number: {}", at(value, path)))
}

/// The number at a path.
pub fn number(value: &Value, path: &str) -> f64 {
    at(value, path).as_f64().unwrap_or_else(|| panic!("{path} is no number: {}", at(value, path)))
}

/// The text at a path, which must not be empty.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    let text = at(value, path).as_str().unwrap_or_else(|| panic!("{path} is no text: {}", at(value, path)));
    assert!(!text.is_empty(), "{path} is empty");
    text
}

/// The list at a path, which must not be empty.
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    let list = at(value, path).as_array().unwrap_or_else(|| panic!("{path} is no list: {}", at(value, path)));
    assert!(!list.is_empty(), "{path} is empty");
    list
}

/// Fails unless two numbers agree to a relative error.
pub fn assert_close(what: &str, a: f64, b: f64, relative: f64) {
    let error = (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE);
    assert!(error <= relative, "{what}: {a} and {b} differ by {error:.1e}, allowed is {relative:.0e}");
}

/// Every JSON file in a folder, and every line of its JSON lines, parses; returns their names.
pub fn assert_all_parse(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.ends_with(".partial"), "half a file stays: {name}");
        if name.ends_with(".json") {
            read(&entry.path());
        } else if name.ends_with(".jsonl") {
            let text = std::fs::read_to_string(entry.path()).expect("the file is readable");
            for line in text.lines() {
                parse(&name, line);
            }
        }
        names.push(name);
    }
    names.sort();
    names
}
