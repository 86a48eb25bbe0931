//! A knee found by eye, made exact: for plots only.

/// The axis on which a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Batch sizes as they are.
    Linear,
    /// Their logarithms.
    Log,
}

/// The knee of a rising, concave curve as Kneedle finds it (Satopää et al. 2011): both axes scaled to [0, 1], the point
/// that lies highest above the diagonal.
///
/// A plot aid, never a measurement: the answer depends on the range drawn. For X = B/(B+k) on [0, B₂] it is
/// √(k(B₂+k))−k, which grows without end (theory §7). The table there is for a range that begins at batch 1, where k=100
/// gives 90, 237, 551, 1190 for B₂ = 256, 1024, 4096, 16384 (from 0 it is 89, 235, 548, 1184); on a logarithmic axis it
/// gives 551, 645, 773 for the last three and none for 256. Use [`TimeFit::knee`](super::TimeFit::knee), which does not
/// move.
///
/// `points`: (batch, throughput), in any order; on the logarithmic axis batches above 0. `None` where the knee is an end
/// of the curve (the curve is not concave there), the curve does not rise, a number is not finite, or there are fewer
/// than 3 points.
///
/// ```
/// use batchwise_estimate::time::{Axis, kneedle};
/// let curve = |top: u32| -> Vec<(f64, f64)> {
///     (0..=top).map(|b| (f64::from(b), f64::from(b) / (f64::from(b) + 100.0))).collect()
/// };
/// assert_eq!(kneedle(&curve(256), Axis::Linear), Some(89.0));
/// assert_eq!(kneedle(&curve(1024), Axis::Linear), Some(235.0));
/// ```
#[must_use]
pub fn kneedle(points: &[(f64, f64)], axis: Axis) -> Option<f64> {
    let placed = |batch: f64| match axis {
        Axis::Linear => batch,
        Axis::Log => batch.ln(),
    };
    let mut curve: Vec<(f64, f64, f64)> = points.iter().map(|&(b, x)| (placed(b), x, b)).collect();
    if curve.len() < 3 || !curve.iter().all(|(u, x, _)| u.is_finite() && x.is_finite()) {
        return None;
    }
    curve.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (first, last) = (curve[0], curve[curve.len() - 1]);
    // Halves, so that no difference of finite numbers overflows.
    let half = |high: f64, low: f64| high / 2.0 - low / 2.0;
    let (width, height) = (half(last.0, first.0), half(last.1, first.1));
    if !(width > 0.0 && height > 0.0) {
        return None;
    }
    let above = |p: &(f64, f64, f64)| half(p.1, first.1) / height - half(p.0, first.0) / width;
    let inner = &curve[1..curve.len() - 1];
    let best = inner.iter().max_by(|a, b| above(a).total_cmp(&above(b)))?;
    (above(best) > 0.0).then_some(best.2)
}
