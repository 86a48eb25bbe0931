//! Names that a server gives to files, which nobody has checked before us.

use std::collections::HashSet;

use super::MANIFEST;

/// Longer than any name that a file system takes.
const MAX_PART: usize = 255;
/// Longer than any sensible path.
const MAX_PATH: usize = 1024;
/// Names that are devices on Windows, with any extension.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Why a relative path with `/` between its parts is not safe to write on every system; `None` if it is.
pub(super) fn fault(path: &str) -> Option<String> {
    if path.is_empty() || path.len() > MAX_PATH {
        return Some(format!("a path has 1..={MAX_PATH} bytes, this has {}", path.len()));
    }
    path.split('/').find_map(part_fault)
}

fn part_fault(part: &str) -> Option<String> {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device| {
        stem.strip_prefix(device).is_some_and(|n: &str| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    let reason = if part.is_empty() {
        "it is absolute, or it has an empty part"
    } else if part == "." || part == ".." {
        "it leads out of its folder"
    } else if part.len() > MAX_PART {
        "a part of it is longer than 255 bytes"
    } else if part.chars().any(|c| c.is_control() || "\\:*?\"<>|".contains(c)) {
        "it has a control character or one of \\ : * ? \" < > |"
    } else if part.ends_with(' ') || part.ends_with('.') {
        "a part of it ends with a blank or a full stop"
    } else if RESERVED.contains(&stem.as_str()) || numbered("com") || numbered("lpt") {
        "it is the name of a device"
    } else if part.to_ascii_lowercase().ends_with(".part") || part.eq_ignore_ascii_case(MANIFEST) {
        "the cache uses this name itself"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

/// The first of `paths` that would meet another one on some file system: as the same name, or as the folder of another.
pub(super) fn clash<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let (mut files, mut folders) = (HashSet::new(), HashSet::new());
    for path in paths.clone() {
        let path = path.to_lowercase();
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    paths.into_iter().find(|path| {
        let path = path.to_lowercase();
        folders.contains(&path) || !files.insert(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_names_pass() {
        for name in [
            "a",
            "train.parquet",
            "data/train-00000-of-00001.parquet",
            "a b/ü.txt",
            ".hidden",
            "..a",
            "com10.txt",
            "parts/x",
        ] {
            assert_eq!(fault(name), None, "{name}");
        }
    }

    #[test]
    fn tricks_are_found() {
        let tricks = [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "./x",
            "a//b",
            "a/",
            "a\\b",
            "..\\x",
            "C:x",
            "C:/x",
            "a\0b",
            "a\nb",
            "con",
            "CON.txt",
            "aux.tar.gz",
            "a/nul",
            "com1.csv",
            "LPT9",
            "x.",
            "x ",
            "x.part",
            "a/X.PART",
            "batchwise-fetch.json",
            "a|b",
            "~/x:y",
        ];
        for name in tricks {
            assert!(fault(name).is_some(), "{name:?}");
        }
        assert!(fault(&"x".repeat(256)).is_some() && fault(&"x/".repeat(600)).is_some());
    }

    #[test]
    fn clashes_are_found() {
        let clash = |paths: &[&'static str]| clash(paths.iter().copied());
        assert_eq!(clash(&["a", "b/a", "b/c"]), None);
        assert_eq!(clash(&["a", "A"]), Some("A"));
        assert_eq!(clash(&["b/c/d", "b/C"]), Some("b/C"));
        assert_eq!(clash(&["b", "b/c"]), Some("b"));
    }

    proptest! {
        /// A name without fault stays below the folder that it is joined to.
        #[test]
        fn no_name_escapes(name in "[a./\\\\: \\x00]{0,12}|\\PC{0,20}") {
            if fault(&name).is_none() {
                let joined = std::path::Path::new("/root").join(&name);
                let parts = joined.components().collect::<Vec<_>>();
                prop_assert!(joined.starts_with("/root") && parts.len() == 2 + name.split('/').count());
                prop_assert!(parts[2..].iter().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
