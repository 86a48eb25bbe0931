//! Medians and the other order statistics that do not move when a few values are wild.

/// Turns a median absolute deviation into a standard deviation, for normal data.
pub(crate) const MAD_TO_SD: f64 = 1.4826;

/// Median of finite values; `None` if there are none. Values that are not finite are left out.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, 0.5)
}

/// Median absolute deviation from `centre`.
pub(crate) fn mad(values: &[f64], centre: f64) -> Option<f64> {
    median(&values.iter().map(|v| (v - centre).abs()).collect::<Vec<_>>())
}

/// Quantile of an ascending slice by linear interpolation between order statistics.
pub(crate) fn quantile_of_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (position - below as f64) * (sorted[above] - sorted[below]))
}

/// Huber's tuning constant: 95 % efficiency for normal errors.
pub(crate) const HUBER: f64 = 1.345;

/// Twice Huber's loss, so that it is the square inside.
pub(crate) fn huber(z: f64) -> f64 {
    let z = z.abs();
    if z <= HUBER { z * z } else { HUBER * (2.0 * z - HUBER) }
}
