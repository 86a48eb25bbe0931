//! Plans: a declared set of trials, read from TOML or put together from flags.
//!
//! [`PlanFile`] is what stands in the file; [`Plan`] what it means, checked; [`Plan::generate`] the trials it asks for,
//! given what is known of those that ran. The last is a pure function, so a sweep that was interrupted goes on where it
//! was, and in whatever order trials end, the same are asked for.

mod bracket;
mod checked;
mod error;
mod file;
mod generate;
mod grid;
mod sample;

pub use bracket::Score;
pub use checked::{Budget, First, Grid, Limits, Plan, Prune, Rates, Rule, RungUnit, TrainerPlan, Values};
pub use error::PlanError;
pub use file::{
    BatchFile, LimitsFile, LrFile, ParameterFile, PlanFile, PruneFile, RunFile, SampleFile, SeedsFile,
    TrainerFile,
};
pub use generate::{Generated, World};

/// The JSON schema of a plan.
pub const SCHEMA: &str = include_str!("plan.schema.json");
