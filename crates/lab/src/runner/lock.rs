//! One runner for one root.

use crate::LabError;
use crate::provenance::now;
use crate::sweep::Root;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Who holds a root, as its lock file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    /// Seconds since 1970.
    since: u64,
    sweep: String,
}

/// Held by the runner that works on a root; the system lets go of it when the process ends, however it does.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closing it lets go.
    _file: File,
}

impl Lock {
    /// Takes the lock; where another runner holds it, waits or says who.
    ///
    /// # Errors
    /// Another runner, unless this one waits; a file that cannot be written.
    pub(super) fn take(
        root: &Root,
        sweep: &str,
        wait: bool,
        on_wait: &mut dyn FnMut(String),
    ) -> Result<Self, LabError> {
        let path = root.folder().join("runner.lock");
        let io = |source| LabError::io("lock", &path, source);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
        let mut has_waited = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            let mut text = String::new();
            let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
            let holder = match serde_json::from_str::<Holder>(&text) {
                Ok(Holder { pid, host, since, sweep }) => {
                    let seconds = now().saturating_sub(since);
                    format!("the sweep `{sweep}` (process {pid} on {host}, for {seconds} s)")
                }
                Err(_) => "another runner".to_owned(),
            };
            let folder = root.folder().display();
            if crate::process::is_cancelled() {
                return Err(LabError::Cancelled);
            }
            if !wait {
                return Err(LabError::Input(format!(
                    "{folder} is held by {holder}: wait for it (--wait), or give another folder by --out"
                )));
            }
            if !has_waited {
                on_wait(format!("waiting: {folder} is held by {holder}"));
                has_waited = true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let holder = Holder {
            pid: std::process::id(),
            host: sysinfo::System::host_name().unwrap_or_default(),
            since: now(),
            sweep: sweep.to_owned(),
        };
        let text = serde_json::to_string(&holder).map_err(|error| LabError::protocol(error.to_string()))?;
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(Self { _file: file })
    }
}
