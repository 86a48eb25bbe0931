//! Small dense symmetric matrices: what the two-line formulas of the models need, and no more.

use super::error::{OracleError, all_finite, length};

/// A small dense symmetric matrix of finite numbers: a Hessian, a covariance or a preconditioner.
///
/// Products cost d³: meant for teaching and tests, d up to some hundreds.
///
/// ```
/// use batchwise_estimate::oracle::Symmetric;
///
/// let h = Symmetric::from_rows(&[vec![2.0, 1.0], vec![1.0, 3.0]])?;
/// assert_eq!((h.dimension(), h.get(0, 1), h.get(0, 2)), (2, Some(1.0), None));
/// assert!(Symmetric::from_rows(&[vec![2.0, 1.0], vec![0.0, 3.0]]).is_err());
/// # Ok::<(), batchwise_estimate::oracle::OracleError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Symmetric {
    dimension: usize,
    values: Vec<f64>,
}

/// Two mirrored entries may differ by this share of the larger: the rounding of a product AᵀA.
const ROUNDING: f64 = 1e-9;

impl Symmetric {
    /// From its rows; mirrored entries that differ by rounding only are averaged.
    ///
    /// # Errors
    /// No row, rows of another length, an entry that is not finite, mirrored entries that differ.
    pub fn from_rows(rows: &[Vec<f64>]) -> Result<Self, OracleError> {
        let d = rows.len();
        if d == 0 {
            return Err(OracleError::Empty { what: "matrix" });
        }
        for row in rows {
            length("matrix row", row.len(), d)?;
            all_finite("matrix entry", row)?;
        }
        let mut values = vec![0.0; d * d];
        for (i, row) in rows.iter().enumerate() {
            for (j, &value) in row.iter().enumerate() {
                let mirror = rows[j][i];
                if (value / 2.0 - mirror / 2.0).abs() > ROUNDING / 2.0 * value.abs().max(mirror.abs()) {
                    return Err(OracleError::NotSymmetric { row: i, column: j, value, mirror });
                }
                values[i * d + j] = value / 2.0 + mirror / 2.0;
            }
        }
        Ok(Self { dimension: d, values })
    }

    /// The diagonal matrix of these entries.
    ///
    /// # Errors
    /// No entry, or one that is not finite.
    pub fn diagonal(entries: &[f64]) -> Result<Self, OracleError> {
        all_finite("diagonal entry", entries)?;
        let d = entries.len();
        let mut values = vec![0.0; d * d];
        for (i, &entry) in entries.iter().enumerate() {
            values[i * d + i] = entry;
        }
        Ok(Self { dimension: d, values })
    }

    /// The number of rows.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The entry of this row and column; `None` beyond the matrix.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> Option<f64> {
        (row < self.dimension && column < self.dimension).then(|| self.at(row, column))
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.dimension + column]
    }

    /// The sum of the diagonal.
    pub(super) fn trace(&self) -> f64 {
        (0..self.dimension).map(|i| self.at(i, i)).sum()
    }

    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.dimension..(i + 1) * self.dimension]
    }

    /// A·v.
    pub(super) fn times(&self, v: &[f64]) -> Vec<f64> {
        (0..self.dimension).map(|i| dot(self.row(i), v)).collect()
    }

    /// vᵀA v.
    pub(super) fn form(&self, v: &[f64]) -> f64 {
        dot(v, &self.times(v))
    }

    /// tr(A·B): the sum of the entrywise products.
    pub(super) fn trace_of_product(&self, other: &Self) -> f64 {
        dot(&self.values, &other.values)
    }

    /// The sandwich A B A, again symmetric.
    pub(super) fn around(&self, inner: &Self) -> Self {
        let d = self.dimension;
        // Row i of A B is B times row i of A, as B is symmetric; likewise from the right.
        let half: Vec<Vec<f64>> = (0..d).map(|i| inner.times(self.row(i))).collect();
        Self { dimension: d, values: half.iter().flat_map(|row| self.times(row)).collect() }
    }

    /// The lower factor C of A = C·Cᵀ, by rows (Cholesky).
    pub(super) fn cholesky(&self) -> Result<Vec<Vec<f64>>, OracleError> {
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(self.dimension);
        for i in 0..self.dimension {
            let mut row = Vec::with_capacity(i + 1);
            for j in 0..i {
                let rest = self.at(i, j) - dot(&row[..j], &factor[j][..j]);
                row.push(rest / factor[j][j]);
            }
            let pivot = self.at(i, i) - dot(&row, &row);
            if !(pivot.is_finite() && pivot > 0.0) {
                return Err(OracleError::NotPositiveDefinite { row: i, pivot });
            }
            row.push(pivot.sqrt());
            factor.push(row);
        }
        Ok(factor)
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Symmetric {
        Symmetric::from_rows(&[vec![4.0, 2.0, 0.5], vec![2.0, 3.0, -1.0], vec![0.5, -1.0, 2.0]]).unwrap()
    }

    #[test]
    fn the_factor_multiplies_back() {
        let a = example();
        let c = a.cholesky().unwrap();
        for i in 0..3 {
            for j in 0..=i {
                let product = dot(&c[i][..=j], &c[j][..=j]);
                assert!((product - a.at(i, j)).abs() < 1e-14, "{i} {j}");
            }
        }
        let flat = Symmetric::from_rows(&[vec![1.0, 1.0], vec![1.0, 1.0]]).unwrap();
        assert_eq!(flat.cholesky(), Err(OracleError::NotPositiveDefinite { row: 1, pivot: 0.0 }));
    }

    #[test]
    fn products_agree_with_sums_written_out() {
        let (a, b) = (example(), Symmetric::diagonal(&[1.0, -2.0, 3.0]).unwrap());
        let v = [1.0, -1.0, 2.0];
        assert_eq!(a.times(&v), [3.0, -3.0, 5.5]);
        assert_eq!(a.form(&v), 17.0);
        assert_eq!(a.trace_of_product(&b), 4.0 - 6.0 + 6.0);
        let sandwich = a.around(&b);
        for i in 0..3 {
            for j in 0..3 {
                let sum: f64 = (0..3).map(|k| a.at(i, k) * b.at(k, k) * a.at(k, j)).sum();
                assert!((sandwich.at(i, j) - sum).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn what_is_no_symmetric_matrix_is_named() {
        let ragged = Symmetric::from_rows(&[vec![1.0, 2.0], vec![2.0]]);
        assert_eq!(ragged, Err(OracleError::Length { what: "matrix row", found: 1, expected: 2 }));
        let skew = Symmetric::from_rows(&[vec![1.0, 2.0], vec![-2.0, 1.0]]);
        assert_eq!(skew, Err(OracleError::NotSymmetric { row: 0, column: 1, value: 2.0, mirror: -2.0 }));
        assert!(matches!(Symmetric::from_rows(&[vec![f64::NAN]]), Err(OracleError::BadEntry { .. })));
        assert_eq!(Symmetric::from_rows(&[]), Err(OracleError::Empty { what: "matrix" }));
        let huge = Symmetric::from_rows(&[vec![f64::MAX, -f64::MAX], vec![-f64::MAX, f64::MAX]]).unwrap();
        assert_eq!(huge.at(0, 1), -f64::MAX);
    }
}
