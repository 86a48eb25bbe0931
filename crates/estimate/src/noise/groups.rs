//! Noise scales of parameter groups (layers) beside the total, from the same micro-batches.
//!
//! Squared norms add over disjoint groups of parameters, so 𝒢 and 𝒮 do, measurement by measurement:
//! φ = Σ𝒮_l/Σ𝒢_l = Σ_l ω_l φ_l with ω_l = 𝒢_l/Σ𝒢 (theory §2). Noise scales themselves are never averaged. A group has
//! fewer effective dimensions than the whole, so its ‖G_l‖² is often not separated from 0 where the total's is; its
//! lower bound still stands. The error of the total is taken from the K sums, because the groups of one measurement
//! share their examples and are correlated.
//!
//! ```
//! use batchwise_estimate::noise::{Groups, Measurement};
//!
//! let mut groups = Groups::new(["body", "head"])?;
//! for wobble in [-0.1, 0.0, 0.1, 0.02, -0.02] {
//!     let part = |g2: f64, phi: f64| Measurement { g2: g2 * (1.0 + wobble), tr_sigma: g2 * phi };
//!     groups.push(&[part(3.0, 100.0), part(1.0, 500.0)])?;
//! }
//! let estimate = groups.estimate(0.95)?;
//! // (3·100 + 1·500)/4, not the mean 300 of the two noise scales.
//! assert!((estimate.total.phi.value().ok_or("not measured")? - 200.0).abs() < 1e-9);
//! assert!((estimate.groups[0].omega.ok_or("not measured")? - 0.75).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{Measurement, NoiseError, NoiseEstimate, add, estimate};

/// K measurements of several named groups of parameters; each row is of the same micro-batches at the same θ.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    names: Vec<String>,
    rows: Vec<Vec<Measurement>>,
}

/// The noise of one group.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct GroupEstimate {
    /// Its name.
    pub name: String,
    /// ω_l = 𝒢_l/Σ𝒢 of the means, the weight of φ_l in the total. `None` where the total's noise scale has no point
    /// estimate. May be negative or above 1, because 𝒢_l may be negative.
    pub omega: Option<f64>,
    /// Its parts and its noise scale.
    pub estimate: NoiseEstimate,
}

/// The noise of every group and of all parameters together.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct GroupedEstimate {
    /// In the order of the names.
    pub groups: Vec<GroupEstimate>,
    /// Of the sums.
    pub total: NoiseEstimate,
}

impl Groups {
    /// No measurement yet of the groups of these names.
    ///
    /// # Errors
    /// An empty name, or one that comes twice.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, NoiseError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let mut seen = std::collections::HashSet::new();
        if let Some(index) = names.iter().position(|name| name.is_empty() || !seen.insert(name)) {
            return Err(NoiseError::BadGroupName { index, name: names[index].clone() });
        }
        Ok(Self { names, rows: Vec::new() })
    }

    /// Adds one measurement: a pair of parts for each group, in the order of the names.
    ///
    /// # Errors
    /// Another number of pairs than of names; a pair that is not finite (its position in the row is named).
    pub fn push(&mut self, row: &[Measurement]) -> Result<(), NoiseError> {
        if row.len() != self.names.len() {
            return Err(NoiseError::WrongGroupCount { found: row.len(), expected: self.names.len() });
        }
        if let Some(index) = row.iter().position(|m| !m.is_finite()) {
            return Err(NoiseError::BadMeasurement { index });
        }
        self.rows.push(row.to_vec());
        Ok(())
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// K.
    #[must_use]
    pub fn n_measurements(&self) -> usize {
        self.rows.len()
    }

    /// Each measurement summed over the groups.
    #[must_use]
    pub fn totals(&self) -> Vec<Measurement> {
        self.rows.iter().map(|row| add(row)).collect()
    }

    /// The noise of each group and of the total, with intervals of the given `confidence`.
    ///
    /// # Errors
    /// No group or no measurement; a confidence outside (0, 1); sums beyond the range of f64.
    pub fn estimate(&self, confidence: f64) -> Result<GroupedEstimate, NoiseError> {
        if self.names.is_empty() {
            return Err(NoiseError::NoMeasurements);
        }
        let total = estimate(&self.totals(), confidence)?;
        let groups = self
            .names
            .iter()
            .enumerate()
            .map(|(l, name)| {
                let of_group: Vec<Measurement> = self.rows.iter().map(|row| row[l]).collect();
                let estimate = estimate(&of_group, confidence)?;
                let omega =
                    total.phi.value().map(|_| estimate.g2 / total.g2).filter(|omega| omega.is_finite());
                Ok(GroupEstimate { name: name.clone(), omega, estimate })
            })
            .collect::<Result<_, NoiseError>>()?;
        Ok(GroupedEstimate { groups, total })
    }
}
