//! The whole ridge: the best learning rate at each batch size, and how it moves with the batch size.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::contest::{self, Contest, Transfer};
use super::exponent::exponent;
use super::input::{Options, RidgeError, RidgePoint, ladders};
use super::optimum::{BestAtBatch, Settings, Vertex, best_at_batch};
use super::shape;
use super::window::Window;
use crate::outcome::Outcome;

/// The best learning rate along the batch sizes.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct RidgeFit {
    /// How it was fitted.
    pub options: Options,
    /// One entry per batch size, ascending.
    pub best: Vec<BestAtBatch>,
    /// p of LR* ∝ B^p, from the batch sizes whose best learning rate is bounded on both sides.
    pub exponent: Outcome,
    /// Scatter τ of ln LR* about the power law, beyond the errors of the learning rates.
    pub scatter: Option<f64>,
    /// Skewness λ of the valleys (0: symmetric in ln LR; 1: the quadratic in LR, steeper to the right), and its standard
    /// deviation.
    pub skewness: (f64, f64),
    /// The laws of LR*(B) against each other.
    pub forms: Contest,
    /// Why batch sizes may not be compared by their best values yet: a grid ends too early. `None`: nothing in the way.
    pub comparison_blocked: Option<String>,
    vertices: Vec<Located>,
    /// Half the interval of λ.
    skewness_reach: f64,
}

/// What a later question about the ridge needs of one batch size.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
struct Located {
    batch: u64,
    ln_learning_rate: f64,
    se: f64,
    degrees_of_freedom: f64,
    by_skewness: f64,
}

impl RidgeFit {
    /// The best learning rate at any batch size, by every law that the data do not exclude.
    ///
    /// Needs 4 batch sizes with a bounded best learning rate. Beyond them the interval holds only if one of the seven
    /// [`Form`](super::Form)s does.
    #[must_use]
    pub fn at(&self, batch: u64) -> Transfer {
        let vertices: Vec<Vertex> = self
            .vertices
            .iter()
            .map(|l| Vertex {
                batch: l.batch,
                x: l.ln_learning_rate,
                se: l.se,
                df: l.degrees_of_freedom,
                by_shape: l.by_skewness,
            })
            .collect();
        contest::transfer(&vertices, batch, self.options.confidence, self.skewness_reach)
    }
}

/// Fits the ridge to training runs at several batch sizes and learning rates.
///
/// # Errors
/// No runs; a batch size of 0; a learning rate or value out of its range; one run given twice; a confidence outside
/// (0, 1). What the runs do not say is an [`Outcome`], not an error.
pub fn fit_ridge(points: &[RidgePoint], options: &Options) -> Result<RidgeFit, RidgeError> {
    let ladders = ladders(points, options)?;
    let windows: Vec<Window<'_>> =
        ladders.iter().filter_map(|l| Window::around_best(l, options.goal)).collect();
    let skewness = shape::estimate(&windows);
    let spare = shape::spare_degrees_of_freedom(&windows);
    let settings = Settings {
        lambda: skewness.0,
        lambda_sd: skewness.1,
        lambda_df: spare.0,
        lambda_share: spare.1,
        options: *options,
    };
    let (best, vertices): (Vec<BestAtBatch>, Vec<Option<Vertex>>) =
        ladders.iter().map(|l| best_at_batch(l, &settings)).unzip();
    let vertices: Vec<Vertex> = vertices.into_iter().flatten().collect();
    let (exponent, scatter) = exponent(&vertices, &settings);
    let edges: Vec<String> =
        best.iter().filter(|b| b.at_edge.is_some()).map(|b| b.batch.to_string()).collect();
    let comparison_blocked = (!edges.is_empty()).then(|| {
        format!("the best learning rate lies on the edge of the grid at batch size {}", edges.join(", "))
    });
    let forms = contest::contest(&vertices);
    let located = vertices.iter().map(|v| Located {
        batch: v.batch,
        ln_learning_rate: v.x,
        se: v.se,
        degrees_of_freedom: v.df,
        by_skewness: v.by_shape,
    });
    let vertices = located.collect();
    let skewness_reach = settings.shape_reach();
    Ok(RidgeFit {
        options: *options,
        best,
        exponent,
        scatter,
        skewness,
        forms,
        comparison_blocked,
        vertices,
        skewness_reach,
    })
}
