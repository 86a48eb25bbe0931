//! What can be typed after `report`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct ReportArguments {
    /// Name of a sweep: its report.html and answer.json are written into its folder
    #[arg(value_name = "SWEEP", required = true)]
    pub(in crate::cli) sweep: Option<String>,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<ReportCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ReportCommand {
    /// Two sweeps side by side: what differs in plan, and what changed in the results beyond the noise
    Diff(DiffArguments),
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct DiffArguments {
    /// A sweep by name, or the answer.json of one
    #[arg(value_name = "A")]
    pub(in crate::cli) first: String,
    /// Another one; changes are from A to B
    #[arg(value_name = "B")]
    pub(in crate::cli) second: String,
    /// Also write the comparison as a page to this file
    #[arg(long, value_name = "FILE.html")]
    pub(in crate::cli) to: Option<PathBuf>,
}
