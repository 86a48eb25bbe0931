//! What the tests that cross crates share: the program under test, small data sets, JSON at a path.

#![warn(missing_docs)]

#[path = "support/image_set.rs"]
pub mod image_set;
#[path = "support/json.rs"]
pub mod json;
#[path = "support/processes.rs"]
pub mod processes;
#[path = "support/program.rs"]
pub mod program;

pub use program::{Place, Ran, root};
