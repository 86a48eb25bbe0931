//! The folder that results go to: nothing is overwritten by accident, nothing is half written.

use crate::LabError;
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder for one command's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    folder: PathBuf,
}

impl Output {
    /// Opens `folder`, creating it; one that holds files is refused unless `force`.
    ///
    /// # Errors
    /// A folder that holds results, or that cannot be created or written.
    pub fn create(folder: &Path, force: bool) -> Result<Self, LabError> {
        create_folder(folder)?;
        let mut entries = fs::read_dir(folder).map_err(|source| LabError::io("read", folder, source))?;
        if !force && entries.next().is_some() {
            return Err(LabError::Input(format!(
                "{} holds files already: give another folder by --out, or --force to overwrite",
                folder.display()
            )));
        }
        let output = Self { folder: folder.to_owned() };
        // Found out now, not after an hour of measuring.
        output.write("writable", b"")?;
        let probe = output.path("writable");
        fs::remove_file(&probe).map_err(|source| LabError::io("remove", &probe, source))?;
        Ok(output)
    }

    /// A new folder `parent/name-N` with the first N that is free.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn numbered(parent: &Path, name: &str) -> Result<Self, LabError> {
        create_folder(parent)?;
        for number in 1u32.. {
            let folder = parent.join(format!("{name}-{number}"));
            // Creating is the test: two commands at once must not share a folder.
            match fs::create_dir(&folder) {
                Ok(()) => return Self::create(&folder, false),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(source) => return Err(LabError::io("create", &folder, source)),
            }
        }
        Err(LabError::Input(format!("no free number for {name} in {}", parent.display())))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file whole or not at all, see [`write_whole`].
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, LabError> {
        let path = self.path(name);
        write_whole(&path, content)?;
        Ok(path)
    }

    /// Writes a value as indented JSON.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<PathBuf, LabError> {
        let mut text =
            serde_json::to_string_pretty(value).map_err(|error| LabError::protocol(error.to_string()))?;
        text.push('\n');
        self.write(name, text.as_bytes())
    }
}

/// A folder that cannot be is the user's to change.
fn create_folder(folder: &Path) -> Result<(), LabError> {
    fs::create_dir_all(folder).map_err(|error| {
        LabError::Input(format!("cannot create {}: {error}; give another folder by --out", folder.display()))
    })
}

/// Writes a file whole: under another name first, then renamed, so that a full disk or a kill leaves the old
/// file or none, never half of one.
///
/// # Errors
/// What the system says, with the path.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), LabError> {
    write_whole_by(path, |file| file.write_all(content).map_err(|source| LabError::io("write", path, source)))
}

/// As [`write_whole`], the content written by `write`, piece by piece where it is large.
///
/// # Errors
/// What `write` says; what the system says, with the path.
pub fn write_whole_by(
    path: &Path,
    write: impl FnOnce(&mut fs::File) -> Result<(), LabError>,
) -> Result<(), LabError> {
    let failed = |source| LabError::io("write", path, source);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = fs::File::create(&partial).map_err(failed).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all().map_err(failed)
    });
    if let Err(error) = written {
        // The disk is full, perhaps: what was written is of no use.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    fs::rename(&partial, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_not_overwritten_without_force() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let output = Output::create(&folder, false).unwrap();
        assert!(Output::create(&folder, false).is_ok(), "an empty folder is free");
        output.write_json("x.json", &[1, 2]).unwrap();
        let error = Output::create(&folder, false).unwrap_err();
        assert!(
            error.kind() == crate::process::FailureKind::Input && error.to_string().contains("--force"),
            "{error}"
        );
        Output::create(&folder, true).unwrap().write("x.json", b"3").unwrap();
        assert_eq!(fs::read(folder.join("x.json")).unwrap(), b"3");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no partial file stays");
    }

    #[test]
    fn numbers_go_up() {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..4 {
            let output = Output::numbered(dir.path(), "run").unwrap();
            assert_eq!(output.folder(), dir.path().join(format!("run-{number}")));
        }
    }

    #[test]
    fn a_path_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = Output::create(&file.join("sub"), false).unwrap_err().to_string();
        assert!(error.contains("cannot create") && error.contains("file/sub"), "{error}");
    }
}
