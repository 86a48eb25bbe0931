//! The names of files in a store.

use std::fmt;

const EXTENSION: &str = ".safetensors";
const TEMPORARY: &str = ".tmp";

/// The name of a checkpoint. The order is that of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Counts the checkpoints of a store from 1, so that the newest is the one written last, also where a run went back
    /// to an older one.
    pub(super) serial: u64,
    /// For who looks into the folder; the manifest has them too.
    pub(super) examples: u64,
    pub(super) is_best: bool,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let best = if self.is_best { "-best" } else { "" };
        write!(f, "checkpoint-{:06}-{}{best}{EXTENSION}", self.serial, self.examples)
    }
}

impl Name {
    /// The name until the file is whole.
    pub(super) fn temporary(&self) -> String {
        format!("{self}{TEMPORARY}")
    }

    /// Names of other files are none; a temporary name is the second kind.
    pub(super) fn parse(file_name: &str) -> Option<(Self, bool)> {
        let (whole, is_temporary) = match file_name.strip_suffix(TEMPORARY) {
            Some(whole) => (whole, true),
            None => (file_name, false),
        };
        let middle = whole.strip_prefix("checkpoint-")?.strip_suffix(EXTENSION)?;
        let (middle, is_best) = match middle.strip_suffix("-best") {
            Some(middle) => (middle, true),
            None => (middle, false),
        };
        let (serial, examples) = middle.split_once('-')?;
        let name = Self { serial: serial.parse().ok()?, examples: examples.parse().ok()?, is_best };
        // Only what this program would write, so that nothing else is ever removed.
        (name.to_string() == whole).then_some((name, is_temporary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_read_back(serial: u64, examples: u64, is_best: bool) {
            let name = Name { serial, examples, is_best };
            prop_assert_eq!(Name::parse(&name.to_string()), Some((name, false)));
            prop_assert_eq!(Name::parse(&name.temporary()), Some((name, true)));
        }
    }

    #[test]
    fn other_files_have_no_name_here() {
        for other in [
            "",
            "lock",
            "checkpoint-1-5.safetensors",
            "checkpoint-+00001-5.safetensors",
            "checkpoint-000001-05.safetensors",
            "checkpoint-000001-5.safetensors.bak",
            "checkpoint-000001-5-best-best.safetensors",
            "checkpoint-99999999999999999999-5.safetensors",
            "model.safetensors",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
