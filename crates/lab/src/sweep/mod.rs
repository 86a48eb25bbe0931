//! Many trials with one question: their folder, and what they say together.

mod file;

pub use file::{Bracket, Root, SweepFile};
