//! What can be typed after `runs`.

use batchwise_lab::store::export::What;
use batchwise_lab::trial::State;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RunsArguments {
    #[command(subcommand)]
    pub(in crate::cli) command: RunsCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum RunsCommand {
    /// List the trials of the folder, or of one sweep
    List(RunsList),
    /// Show a trial: its configuration, result, attempts and last evaluations; or a sweep with its trials
    Show {
        /// A trial, or a sweep
        #[arg(value_name = "TRIAL|SWEEP")]
        name: String,
    },
    /// Show in what trials differ: their configurations and what they brought
    Compare {
        /// Two trials or more
        #[arg(value_name = "TRIAL", num_args = 2.., required = true)]
        trials: Vec<String>,
    },
    /// Write trials, or every line of their logs, to a file for other programs
    Export(RunsExport),
    /// List what may be removed: trials without result that no sweep names, checkpoints of trials that are done, and files
    /// that were never finished; what was written to within the last hour is left alone
    Gc {
        /// Remove it
        #[arg(long)]
        yes: bool,
    },
    /// Let no further trial of a running sweep begin; those that can store where they are stop
    Pause {
        /// The sweep
        #[arg(value_name = "SWEEP")]
        sweep: String,
    },
    /// Let the trials of a paused sweep begin again
    Resume {
        /// The sweep
        #[arg(value_name = "SWEEP")]
        sweep: String,
    },
    /// Stop a running sweep, or give up one trial of it
    Cancel {
        /// The sweep
        #[arg(value_name = "SWEEP")]
        sweep: String,
        /// The trial
        #[arg(value_name = "TRIAL")]
        trial: Option<String>,
    },
    /// Let a trial of a running sweep come before all others
    First {
        /// The sweep
        #[arg(value_name = "SWEEP")]
        sweep: String,
        /// The trial
        #[arg(value_name = "TRIAL")]
        trial: String,
    },
    /// Make the store anew from the files of all trials and sweeps, whatever state it is in
    Rebuild,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RunsList {
    /// Only the trials of this sweep, in its order
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) sweep: Option<String>,
    /// Only trials that stand here
    #[arg(long, value_enum)]
    pub(in crate::cli) state: Option<StateName>,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RunsExport {
    /// Only the trials of this sweep [default: all]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) sweep: Option<String>,
    /// The file; its name ends in .csv, .jsonl or .parquet and says its form
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) to: PathBuf,
    /// What its rows are
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) what: ExportWhat,
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StateName {
    /// No result yet
    Waiting,
    /// With a result
    Done,
    /// Given up
    Failed,
    /// Given up by the user
    Cancelled,
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Waiting => Self::Waiting,
            StateName::Done => Self::Done,
            StateName::Failed => Self::Failed,
            StateName::Cancelled => Self::Cancelled,
        }
    }
}

/// What the rows of an exported file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum ExportWhat {
    /// A row for each trial: its configuration and what it brought
    #[default]
    Trials,
    /// A row for each step line and each evaluation of their logs
    Metrics,
}

impl From<ExportWhat> for What {
    fn from(what: ExportWhat) -> Self {
        match what {
            ExportWhat::Trials => Self::Trials,
            ExportWhat::Metrics => Self::Metrics,
        }
    }
}
