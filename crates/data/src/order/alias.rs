//! Drawing by weight in O(1): Walker's alias method, with Vose's way to build the table.

use crate::DataError;

use super::draws;

/// For each example how much of its column is its own, and whose the rest is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AliasTable {
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    /// A fraction of 2^64.
    own: u64,
    other: u64,
}

impl AliasTable {
    /// # Errors
    ///
    /// [`DataError::Setting`] unless weights are finite, at least 0, and not all 0.
    pub(super) fn new(weights: &[f64]) -> Result<AliasTable, DataError> {
        check(weights)?;
        let heaviest =
            (0..weights.len()).fold(0, |best, i| if weights[best] < weights[i] { i } else { best });
        let greatest = weights[heaviest];
        // Relative to the greatest, so that no sum overflows.
        let sum: f64 = weights.iter().map(|weight| weight / greatest).sum();
        let n = weights.len() as f64;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / greatest / sum * n).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..shares.len()).partition(|i| shares[*i] < 1.0);
        let whole = |i: usize| Column { own: u64::MAX, other: i as u64 };
        let mut columns: Vec<Column> = (0..shares.len()).map(whole).collect();
        while let (Some(few), Some(many)) = (small.pop(), large.last().copied()) {
            // The cast saturates.
            columns[few] = Column { own: (shares[few] * 2f64.powi(64)) as u64, other: many as u64 };
            shares[many] -= 1.0 - shares[few];
            if shares[many] < 1.0 {
                large.pop();
                small.push(many);
            }
        }
        // What rounding left over is whole, save an example that must never be drawn.
        for (column, weight) in columns.iter_mut().zip(weights) {
            if *weight == 0.0 && column.own != 0 {
                *column = Column { own: 0, other: heaviest as u64 };
            }
        }
        Ok(AliasTable { columns })
    }

    pub(super) fn len(&self) -> u64 {
        self.columns.len() as u64
    }

    /// The example that 64 random bits choose.
    pub(super) fn draw(&self, bits: u64) -> u64 {
        let (index, fraction) = draws::below(bits, self.len());
        let Column { own, other } = self.columns[index as usize];
        if fraction < own { index } else { other }
    }
}

fn check(weights: &[f64]) -> Result<(), DataError> {
    let allowed = "finite, at least 0".to_owned();
    if let Some(index) = weights.iter().position(|weight| !(0.0..f64::INFINITY).contains(weight)) {
        let found = format!("{} at example {index}", weights[index]);
        return Err(DataError::Setting { field: "a weight of the order", found, allowed });
    }
    if weights.iter().all(|weight| *weight == 0.0) {
        let found = format!("0 for each of {} examples", weights.len());
        return Err(DataError::Setting {
            field: "the weights of the order",
            found,
            allowed: "not all 0".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The probability of each example, read off the table.
    fn probabilities(table: &AliasTable) -> Vec<f64> {
        let mut probabilities = vec![0.0; table.columns.len()];
        let n = table.columns.len() as f64;
        for (i, Column { own, other }) in table.columns.iter().enumerate() {
            let own = *own as f64 / 2f64.powi(64);
            probabilities[i] += own / n;
            probabilities[*other as usize] += (1.0 - own) / n;
        }
        probabilities
    }

    proptest! {
        #[test]
        fn the_table_holds_the_weights(
            weights in proptest::collection::vec(prop_oneof![Just(0.0), 0.0..1.0, 0.0..1e9, Just(f64::MAX)], 1..200),
        ) {
            prop_assume!(weights.iter().any(|weight| 0.0 < *weight));
            let table = AliasTable::new(&weights).unwrap();
            let greatest = weights.iter().copied().fold(0.0, f64::max);
            let sum: f64 = weights.iter().map(|weight| weight / greatest).sum();
            for (found, weight) in probabilities(&table).into_iter().zip(&weights) {
                prop_assert!((found - weight / greatest / sum).abs() < 1e-12);
                prop_assert!(*weight != 0.0 || found == 0.0);
            }
        }

        #[test]
        fn what_weighs_nothing_is_never_drawn(zeros in 1usize..50, bits: u64) {
            let mut weights = vec![0.0; zeros];
            weights.insert(zeros / 2, 1e-300);
            let table = AliasTable::new(&weights).unwrap();
            for bits in [bits, 0, u64::MAX] {
                prop_assert_eq!(table.draw(bits), zeros as u64 / 2);
            }
        }
    }
}
