//! SGD on one mode of curvature h: m ← (1−ηh)²m + η²c/B (theory §3.3).

use super::curve::Mode;
use super::error::OracleError;

/// The mode from m_0 = `start`, with x = ηh and `kick` = η²c/B.
pub(super) fn mode(start: f64, x: f64, kick: f64) -> Result<Mode, OracleError> {
    let log = if x < 1.0 { (-x).ln_1p() } else { (x - 1.0).ln() };
    Mode::new(start, x * (2.0 - x), 2.0 * log, kick)
}

/// Stationary Eθ² = ηc/(B h(2−ηh)), for x below 2.
pub(super) fn settled(x: f64, kick: f64) -> f64 {
    if kick == 0.0 { 0.0 } else { kick / x / (2.0 - x) }
}
