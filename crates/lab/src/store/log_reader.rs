//! The new lines of a log, from where it was last read.

use crate::LabError;
use crate::trial::{Begin, LogLine, Measured};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

/// Rows that are handed over at once: their memory is bounded, however long the log.
const ROWS: usize = 8192;

/// How far a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) bad_lines: u64,
}

/// A line that goes to the table of metrics, with its number from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NumberedLine {
    pub(super) number: u64,
    pub(super) line: LogLine,
}

/// Reads what was appended to a log since it was last read.
pub(super) struct LogReader {
    file: BufReader<File>,
    path: PathBuf,
    /// Whether what was read before no longer counts, because the log was cut.
    pub(super) is_anew: bool,
    /// Where it stands.
    pub(super) position: Position,
    /// The first line, if it was met.
    pub(super) begin: Option<Begin>,
    /// Whether the last readable line is the end of a run, and what that says; none before a line was read.
    pub(super) end: Option<Option<Measured>>,
}

impl LogReader {
    /// Goes on at `from`, or at the start where the log is shorter than that.
    pub(super) fn open(path: PathBuf, from: Position) -> Result<Self, LabError> {
        let failed = |source| LabError::io("read", &path, source);
        let mut file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let is_anew = length < from.bytes;
        let position = if is_anew { Position::default() } else { from };
        file.seek(SeekFrom::Start(position.bytes)).map_err(failed)?;
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Self { file, path, is_anew, position, begin: None, end: None })
    }

    /// The next rows; none at the end of what is whole.
    pub(super) fn rows(&mut self) -> Result<Vec<NumberedLine>, LabError> {
        let mut rows = Vec::new();
        let mut bytes = Vec::new();
        while rows.len() < ROWS {
            bytes.clear();
            let n = self.file.read_until(b'\n', &mut bytes);
            let n = n.map_err(|source| LabError::io("read", &self.path, source))?;
            // A line without its end is still being written, or was cut off: it is read again next time.
            let Some((b'\n', text)) = bytes.split_last() else { break };
            self.position.bytes += n as u64;
            self.position.lines += 1;
            match serde_json::from_str(&String::from_utf8_lossy(text)) {
                Ok(line) => rows.extend(self.take(line)),
                Err(_) => self.position.bad_lines += 1,
            }
        }
        Ok(rows)
    }

    fn take(&mut self, line: LogLine) -> Option<NumberedLine> {
        self.end = Some(None);
        match line {
            LogLine::Begin(begin) => {
                self.begin.get_or_insert(begin);
                None
            }
            LogLine::End(measured) => {
                self.end = Some(Some(measured));
                None
            }
            LogLine::Text { .. } => None,
            line => Some(NumberedLine { number: self.position.lines, line }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_log_is_read_in_pieces_as_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let step = r#"{"line":"step","examples":3,"steps":1,"seconds":0.5}"#;
        let end = r#"{"line":"end","seconds":1.0,"wall_seconds":2.0}"#;
        fs::write(&path, format!("{step}\nnonsense\n{step}\n{{\"line\"")).unwrap();
        let mut reader = LogReader::open(path.clone(), Position::default()).unwrap();
        let numbers: Vec<u64> = reader.rows().unwrap().iter().map(|row| row.number).collect();
        assert_eq!((numbers, reader.end.clone()), (vec![1, 3], Some(None)));
        let position = reader.position;
        assert_eq!((position.lines, position.bad_lines), (3, 1));

        fs::write(&path, format!("{step}\nnonsense\n{step}\n{end}\n")).unwrap();
        let mut reader = LogReader::open(path.clone(), position).unwrap();
        assert_eq!(reader.rows().unwrap(), []);
        assert_eq!(reader.end.clone().flatten().map(|end| end.wall_seconds), Some(2.0));
        assert!(!reader.is_anew);

        fs::write(&path, format!("{step}\n")).unwrap();
        let mut reader = LogReader::open(path, reader.position).unwrap();
        assert!(reader.is_anew);
        assert_eq!(reader.rows().unwrap().len(), 1);
    }
}
