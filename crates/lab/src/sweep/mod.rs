//! Many trials with one question: their folder, and what they say together.

pub mod answer;
pub mod difference;
mod file;
pub(crate) mod tables;
pub(crate) mod words;
pub mod written;

pub use answer::{Reading, SweepAnswer, answer};
pub use difference::{Difference, difference};
pub use file::{Bracket, Root, SweepFile};
pub use words::{Section, headline, words};
