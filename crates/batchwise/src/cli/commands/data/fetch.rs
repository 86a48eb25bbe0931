//! `data fetch`: a data set from the hub.

use crate::cli::Options;
use crate::cli::arguments::FetchArguments;
use batchwise_lab::LabError;

#[cfg(not(feature = "fetch"))]
pub(super) fn run(_: &Options, arguments: &FetchArguments) -> Result<(), LabError> {
    let FetchArguments { name, .. } = arguments;
    Err(LabError::Input(format!("cannot fetch `{name}`: this build has no `fetch` (a cargo feature)")))
}

#[cfg(feature = "fetch")]
pub(super) use with_fetch::run;

#[cfg(feature = "fetch")]
mod with_fetch {
    use super::{FetchArguments, LabError, Options};
    use crate::cli::commands::data::data_dir;
    use crate::cli::show;
    use batchwise_data::fetch::{FetchError, Fetched, FetchedFile, Progress, Request, fetch};
    use batchwise_lab::{bytes, process};
    use indicatif::ProgressBar;
    use serde::Serialize;
    use std::collections::HashMap;

    #[derive(Serialize)]
    struct Report<'a> {
        dir: String,
        commit: &'a str,
        downloaded: usize,
        moved_to: Option<&'a str>,
        files: &'a [FetchedFile],
    }

    pub(in super::super) fn run(options: &Options, arguments: &FetchArguments) -> Result<(), LabError> {
        let mut request = Request::new(&arguments.name, &data_dir(options)?).map_err(failure)?;
        request.revision.clone_from(&arguments.revision);
        request.update = arguments.update;
        request.include.clone_from(&arguments.include);
        if arguments.folder.is_some() {
            request.folder.clone_from(&arguments.folder);
        }
        let bar = show::bar(options, "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}");
        let mut done = Done::default();
        let result = fetch(&request, &mut |progress| {
            done.on(&bar, options.quiet, progress);
            if process::is_cancelled() {
                bar.finish_and_clear();
                // What has arrived is kept: the next call goes on from there.
                std::process::exit(130);
            }
        });
        bar.finish_and_clear();
        let fetched = result.map_err(failure)?;
        let Fetched { dir, commit, files, n_downloaded, moved_to } = &fetched;
        if options.json {
            let dir = dir.display().to_string();
            show::json(&Report {
                dir,
                commit,
                downloaded: *n_downloaded,
                moved_to: moved_to.as_deref(),
                files,
            });
            return Ok(());
        }
        let size = bytes::human(files.iter().map(|file| file.bytes).sum());
        show::line(&format!("{}: {size}, commit {commit}", dir.display()));
        show::line(&match n_downloaded {
            0 => "All files were there and have their checksums.".to_owned(),
            1 => "1 file was fetched; all have their checksums.".to_owned(),
            n => format!("{n} files were fetched; all have their checksums."),
        });
        Ok(())
    }

    /// Bytes of each file that are there.
    #[derive(Default)]
    struct Done {
        files: HashMap<String, u64>,
        sum: u64,
    }

    impl Done {
        fn on(&mut self, bar: &ProgressBar, is_quiet: bool, progress: Progress<'_>) {
            let note = |text: String| {
                if !is_quiet {
                    bar.suspend(|| show::error_line(&text));
                }
            };
            match progress {
                Progress::Plan { bytes, .. } => bar.set_length(bytes.max(1)),
                Progress::Bytes { file, done, .. } => {
                    bar.set_message(file.to_owned());
                    self.set(bar, file, done);
                }
                Progress::File { file } => self.set(bar, &file.path, file.bytes),
                Progress::Waiting { lock } => {
                    note(format!(
                        "another process fetches this data set ({}): waiting for it",
                        lock.display()
                    ));
                }
                Progress::Moved { revision, kept, newest } => note(format!(
                    "`{revision}` has moved to {newest}; {kept} is kept, --update follows the branch"
                )),
                Progress::Damaged { damage } => note(format!(
                    "`{}` is {}, it was fetched as {}: fetching it again",
                    damage.path, damage.found, damage.expected
                )),
                Progress::Retry { url, reason, attempt, wait } => {
                    note(format!("{url}: {reason}; try {attempt} follows in {wait:?}"));
                }
                _ => (),
            }
        }

        fn set(&mut self, bar: &ProgressBar, file: &str, done: u64) {
            let before = self.files.insert(file.to_owned(), done).unwrap_or(0);
            self.sum = (self.sum - before).saturating_add(done);
            bar.set_position(self.sum);
        }
    }

    /// What the user can change is wrong input; the network, the server and the disk are not.
    fn failure(error: FetchError) -> LabError {
        let text = error.to_string();
        match error {
            FetchError::Unreachable { .. } | FetchError::Status { status: 429 | 500.., .. } => {
                LabError::Fetch(text)
            }
            FetchError::Read { .. } | FetchError::Write { .. } => LabError::Fetch(text),
            FetchError::Checksum { .. } | FetchError::Size { .. } | FetchError::Listing { .. } => {
                LabError::Fetch(text)
            }
            _ => LabError::Input(text),
        }
    }
}
