//! What an audit found, as data and as text.

use super::causes::{self, KnownCause};
use super::judge::{Outcome, Probe};
use candle_core::{DType, Result};
use std::fmt;

/// The audit of one loss or layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was audited.
    pub subject: String,
    /// f64, or f32 where a variable or the loss is f32: then less can be decided.
    pub dtype: DType,
    /// The loss at the place of the audit.
    pub loss: f64,
    /// Standard deviation of its rounding noise.
    pub noise: f64,
    /// How often the loss was computed.
    pub n_evaluations: usize,
    /// By variable, in the order they were given.
    pub checks: Vec<Check>,
}

/// The audit of one variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its dtype.
    pub dtype: DType,
    /// Its place in the order of the backward pass, counted from the loss; none outside the graph.
    pub order: Option<usize>,
    /// What was concluded.
    pub outcome: Outcome,
    /// The comparisons it rests on.
    pub probes: Vec<Probe>,
}

impl Report {
    /// Whether each variable has a right gradient. What is not decided is not right.
    pub fn is_right(&self) -> bool {
        self.checks.iter().all(|check| check.outcome.is_right())
    }

    /// The variables whose gradient is wrong, scaled, not finite, or missing although the loss depends on them.
    pub fn faults(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome.is_fault())
    }

    /// The variables that got no gradient, whatever the reason.
    pub fn without_gradient(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Cut { .. } | Outcome::Unused))
    }

    /// The layers of the faults: the names up to the last dot, in the order of the checks, none twice.
    pub fn faulty_layers(&self) -> Vec<&str> {
        let mut layers = Vec::new();
        for check in self.faults() {
            let layer = check.name.rsplit_once('.').map_or(check.name.as_str(), |(layer, _)| layer);
            if !layers.contains(&layer) {
                layers.push(layer);
            }
        }
        layers
    }

    /// The check of this variable.
    pub fn get(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// The candle defects that show as the faults do.
    pub fn causes(&self) -> Vec<&'static KnownCause> {
        causes::diagnose(self)
    }

    /// Where the gradient goes wrong on its way from the loss: the last variable before the first fault whose
    /// gradient is right, and the first fault, or none where the gradient just ends there. The operation to blame
    /// lies between the two in a model that is a chain. None where nothing is wrong, or nothing is right before it.
    pub fn boundary(&self) -> Option<(&Check, Option<&Check>)> {
        let mut reached: Vec<&Check> = self.checks.iter().filter(|check| check.order.is_some()).collect();
        reached.sort_by_key(|check| check.order);
        match reached.iter().position(|check| check.outcome.is_fault()) {
            Some(0) => None,
            Some(first) => Some((reached[first - 1], Some(reached[first]))),
            None => self.faults().next().and(reached.last()).map(|last| (*last, None)),
        }
    }

    /// Fails with the report as text unless [`Report::is_right`]: the line to end a test with.
    ///
    /// # Errors
    /// A gradient that is not right, or not decided.
    pub fn ensure_right(&self) -> Result<()> {
        if self.is_right() { Ok(()) } else { candle_core::bail!("{self}") }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = if self.dtype == DType::F64 { "f64" } else { "f32" };
        writeln!(
            f,
            "Gradients of {} = {:.6} in {dtype}, by {} evaluations",
            self.subject, self.loss, self.n_evaluations
        )?;
        let rows = self.checks.iter().map(|check| {
            let shape: Vec<String> = check.shape.iter().map(ToString::to_string).collect();
            vec![format!("  {}", check.name), shape.join("×"), check.outcome.to_string()]
        });
        f.write_str(&align(&rows.collect::<Vec<_>>()))?;
        let n = |is: &dyn Fn(&Outcome) -> bool| self.checks.iter().filter(|check| is(&check.outcome)).count();
        let (n_right, n_fault) = (n(&Outcome::is_right), n(&Outcome::is_fault));
        write!(f, "{n_right} of {} right, {n_fault} at fault", self.checks.len())?;
        match self.checks.len() - n_right - n_fault {
            0 => writeln!(f, ".")?,
            rest => writeln!(f, ", {rest} open.")?,
        }
        match self.boundary() {
            Some((right, Some(wrong))) => writeln!(
                f,
                "From the loss down, the gradient is right to `{}` and at fault from `{}`: look at what lies between.",
                right.name, wrong.name
            )?,
            Some((right, None)) => writeln!(
                f,
                "From the loss down, the gradient ends at `{}`: look at what computes the input of its layer.",
                right.name
            )?,
            None => {}
        }
        let causes = self.causes();
        if !causes.is_empty() {
            writeln!(f, "\nKnown to show like this in candle {}:", causes::CANDLE_VERSION)?;
        }
        causes.iter().try_for_each(|cause| writeln!(f, "{cause}"))
    }
}

/// Columns aligned to the left, two spaces apart.
pub(super) fn align(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
