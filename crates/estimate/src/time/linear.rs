//! Robust fits of ln t on the logarithm of a sum of at most three terms, each coefficient at least 0.
//!
//! The sum, the stairs and the two slopes are of this form as they stand; the overlap of a given γ is after raising
//! times and batches to the power γ. Gauss–Newton on the log residuals, where every step is a small non-negative
//! least-squares problem solved by going through the sets of terms that are not 0 (Lawson and Hanson 1974, ch. 23).

use crate::robust::{HUBER, huber};

/// Values of the terms at one point; the unused ones are 0.
pub(super) type Row = [f64; 3];

/// Rounds of Gauss–Newton, each with up to five halvings; four suffice for errors of a few per cent.
const ROUNDS: usize = 12;

/// A fit and its cost: the sum of Huber's loss over the points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear {
    pub(super) coefficients: Row,
    pub(super) cost: f64,
}

/// Least Huber cost of ln(t) − ln(Σ k·x) in units of `sd` (one per point), all k ≥ 0; `None` if no fit is finite.
pub(super) fn fit(rows: &[Row], seconds: &[f64], sd: &[f64]) -> Option<Linear> {
    let mut tops = [0.0_f64; 3];
    for row in rows {
        (0..3).for_each(|j| tops[j] = tops[j].max(row[j]));
    }
    // Columns of largest value 1 keep the small systems well scaled.
    let scaled: Vec<Row> = rows
        .iter()
        .map(|row| std::array::from_fn(|j| if tops[j] > 0.0 { row[j] / tops[j] } else { 0.0 }))
        .collect();
    // Terms that are 0 everywhere come last.
    let terms = tops.iter().rposition(|top| *top > 0.0)? + 1;
    let logs: Vec<f64> = seconds.iter().map(|t| t.ln()).collect();
    let cost = |k: &Row| {
        let cost: f64 =
            scaled.iter().zip(&logs).zip(sd).map(|((row, t), s)| huber((t - value(k, row).ln()) / s)).sum();
        if cost.is_finite() { cost } else { f64::INFINITY }
    };
    // Relative least squares, whose residuals (1 − f/t) an outlier upwards hardly moves.
    let mut normal = Normal::default();
    for ((row, t), s) in scaled.iter().zip(seconds).zip(sd) {
        normal.add(&row.map(|x| x / t), 1.0, 1.0 / (s * s));
    }
    let mut at = normal.solve(terms)?;
    let mut least = cost(&at);
    for _ in 0..ROUNDS {
        let mut normal = Normal::default();
        for ((row, t), s) in scaled.iter().zip(seconds).zip(sd) {
            let fitted = value(&at, row);
            let residual = (t / fitted).ln();
            let z = (residual / s).abs();
            let weight = if z <= HUBER { 1.0 } else { HUBER / z } / (s * s);
            normal.add(&row.map(|x| x / fitted), 1.0 + residual, weight);
        }
        let Some(aim) = normal.solve(terms) else { break };
        let mut step = 1.0;
        let mut next = aim;
        let mut reached = cost(&next);
        while reached > least && step > 0.04 {
            step /= 2.0;
            next = std::array::from_fn(|j| at[j] + step * (aim[j] - at[j]));
            reached = cost(&next);
        }
        if reached > least || !reached.is_finite() {
            break;
        }
        let gained = least - reached;
        (at, least) = (next, reached);
        if gained <= 1e-8 * least {
            break;
        }
    }
    let coefficients = std::array::from_fn(|j| if tops[j] > 0.0 { at[j] / tops[j] } else { 0.0 });
    (least.is_finite() && coefficients.iter().all(|k: &f64| k.is_finite()))
        .then_some(Linear { coefficients, cost: least })
}

fn value(k: &Row, row: &Row) -> f64 {
    k[0] * row[0] + k[1] * row[1] + k[2] * row[2]
}

/// The normal equations of a weighted least-squares problem.
#[derive(Default)]
struct Normal {
    gram: [[f64; 3]; 3],
    right: Row,
}

impl Normal {
    fn add(&mut self, row: &Row, response: f64, weight: f64) {
        for j in 0..3 {
            let x = weight * row[j];
            (0..3).for_each(|l| self.gram[j][l] += x * row[l]);
            self.right[j] += x * response;
        }
    }

    /// The non-negative solution of least squares; `None` where nothing finite and positive exists.
    fn solve(&self, terms: usize) -> Option<Row> {
        let mut best: Option<(f64, Row)> = None;
        for set in 1u8..1 << terms {
            let Some(k) = self.solve_set(set) else { continue };
            if k.iter().any(|v| !(v.is_finite() && *v >= 0.0)) {
                continue;
            }
            // ½kᵀGk − kᵀr is −½kᵀr at a solution of its set.
            let gain: f64 = (0..3).map(|j| k[j] * self.right[j]).sum();
            if gain.is_finite() && best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, k));
            }
        }
        best.map(|(_, k)| k)
    }

    /// Solves for the terms in `set` alone (bit j: term j) by Gaussian elimination; `None` where they are collinear.
    fn solve_set(&self, set: u8) -> Option<Row> {
        let mut gram = self.gram;
        let mut right = self.right;
        for j in 0..3 {
            if set & (1 << j) == 0 {
                (0..3).for_each(|l| {
                    gram[j][l] = 0.0;
                    gram[l][j] = 0.0;
                });
                (gram[j][j], right[j]) = (1.0, 0.0);
            }
        }
        for j in 0..3 {
            // What is left of a column after the earlier ones are taken out.
            let collinear = gram[j][j] <= 1e-13 * self.gram[j][j];
            if set & (1 << j) != 0 && (collinear || gram[j][j].is_nan()) {
                return None;
            }
            for l in j + 1..3 {
                let share = gram[l][j] / gram[j][j];
                (j..3).for_each(|m| gram[l][m] -= share * gram[j][m]);
                right[l] -= share * right[j];
            }
        }
        let mut k = [0.0; 3];
        for j in (0..3).rev() {
            let rest: f64 = (j + 1..3).map(|l| gram[j][l] * k[l]).sum();
            k[j] = (right[j] - rest) / gram[j][j];
        }
        Some(k)
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, fit};

    fn rows(batches: &[f64]) -> Vec<Row> {
        batches.iter().map(|b| [1.0, b.min(20.0), (b - 20.0).max(0.0)]).collect()
    }

    #[test]
    fn exact_coefficients_come_back_whatever_their_size() {
        let batches: Vec<f64> = (0..9).map(|i| 2f64.powi(i)).collect();
        for k in [[2e-3, 1e-5, 3e-5], [0.0, 1e-5, 3e-5], [2e9, 0.0, 4e5], [1.0, 2.0, 0.0]] {
            let rows = rows(&batches);
            let t: Vec<f64> = rows.iter().map(|r| (0..3).map(|j| r[j] * k[j]).sum()).collect();
            let found = fit(&rows, &t, &[0.01; 9]).unwrap();
            // Rounding is relative to the largest time.
            let largest = t.iter().copied().fold(0.0, f64::max);
            for j in 0..3 {
                let slack = 1e-9 * k[j] + 1e-14 * largest;
                assert!((found.coefficients[j] - k[j]).abs() <= slack, "{k:?} {found:?}");
            }
        }
    }

    #[test]
    fn an_outlier_pulls_by_a_bounded_force_and_no_coefficient_is_negative() {
        let batches: Vec<f64> = (0..9).map(|i| 2f64.powi(i)).collect();
        let rows: Vec<Row> = batches.iter().map(|b| [1.0, *b, 0.0]).collect();
        let mut t: Vec<f64> = batches.iter().map(|b| 2.0 + 0.1 * b).collect();
        t[4] *= 1e6;
        let found = fit(&rows, &t, &[0.01; 9]).unwrap();
        assert!((found.coefficients[0] / 2.0 - 1.0).abs() < 0.02, "{found:?}");
        // A curve that falls has no work to be seen.
        let t: Vec<f64> = batches.iter().map(|b| 1.0 / b).collect();
        let found = fit(&rows, &t, &[0.01; 9]).unwrap();
        assert_eq!(found.coefficients[1], 0.0);
    }
}
