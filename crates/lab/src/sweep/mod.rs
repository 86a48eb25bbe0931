//! Many trials with one question: their folder, and what they say together.

pub mod answer;
mod file;

pub use answer::{Reading, SweepAnswer, answer};
pub use file::{Bracket, Root, SweepFile};
