//! The report: the advice as one HTML file that explains itself, works offline and prints.
//!
//! Read `page` first, then in its order: `headline`, `figures`, `tables`, `origin`. A figure is drawn by a
//! `chart` on two `scale`s; every number passes through `text`.
#![warn(missing_docs)]

#[cfg(test)]
mod awkward;
pub(crate) mod chart;
pub mod course;
pub mod diff;
pub(crate) mod figure;
mod figures;
mod headline;
mod origin;
mod page;
#[cfg(test)]
mod sample;
pub(crate) mod scale;
pub(crate) mod sign;
pub mod sweep;
mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use crate::advice::Advice;

/// The report of an advice, as one HTML file without external resources or scripts.
///
/// Missing numbers are shown as missing; no advice, however degenerate, makes it fail.
#[must_use]
pub fn html(advice: &Advice) -> String {
    page::html(advice)
}
