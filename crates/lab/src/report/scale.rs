//! From values to pixels along one axis, and the ticks that are put there.

/// How values spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Evenly, wherever the values lie.
    Linear,
    /// Evenly, from 0.
    FromZero,
    /// By ratio, with ticks at 1, 2 and 5.
    Log,
    /// By ratio, with ticks at powers of two from 1 on.
    Octaves,
}

/// One axis. Whatever the values are, its ends are finite and apart.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    kind: Kind,
    /// Ends in the space in which the axis is even.
    low: f64,
    high: f64,
    /// Pixels of these ends.
    pixels: (f64, f64),
}

/// Share of the range that is left free at each end.
const MARGIN: f64 = 0.05;

impl Scale {
    /// An axis that shows all of `values`; those that it cannot show are left out.
    pub(crate) fn new(kind: Kind, values: impl IntoIterator<Item = f64>, pixels: (f64, f64)) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for u in values.into_iter().filter_map(|v| even(kind, v)) {
            (low, high) = (low.min(u), high.max(u));
        }
        if low > high {
            (low, high) = if kind == Kind::Octaves { (0.0, 10.0) } else { (0.0, 1.0) };
        }
        if kind == Kind::FromZero {
            low = 0.0;
            high = if high > 0.0 { high * (1.0 + MARGIN) } else { 1.0 };
        } else if high - low < 1e-9 * low.abs().max(high.abs()) || high == low {
            let half = match kind {
                Kind::Linear if low == 0.0 => 0.5,
                Kind::Linear => 0.1 * low.abs(),
                Kind::Octaves => 1.5,
                _ => 0.35,
            };
            (low, high) = (low - half, high + half);
        } else {
            let margin = MARGIN * (high - low);
            (low, high) = (low - margin, high + margin);
        }
        Self { kind, low, high, pixels }
    }

    /// Logarithmic where the positive values span more than `factor`, else the other kind.
    pub(crate) fn log_beyond(factor: f64, otherwise: Kind, values: &[f64], pixels: (f64, f64)) -> Self {
        let positive: Vec<f64> = values.iter().copied().filter(|v| v.is_finite() && *v > 0.0).collect();
        let low = positive.iter().copied().fold(f64::INFINITY, f64::min);
        let high = positive.iter().copied().fold(0.0, f64::max);
        let all_positive = values.iter().filter(|v| v.is_finite()).all(|v| *v > 0.0);
        let kind = if all_positive && high > factor * low { Kind::Log } else { otherwise };
        Self::new(kind, values.iter().copied(), pixels)
    }

    /// Where `v` lies, moved to the nearest end if it is outside; `None` where it has no place on such an axis.
    pub(crate) fn px(&self, v: f64) -> Option<f64> {
        let share = ((even(self.kind, v)? - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        let px = self.pixels.0 + share * (self.pixels.1 - self.pixels.0);
        px.is_finite().then_some(px)
    }

    /// Whether `v` lies between the ends.
    pub(crate) fn holds(&self, v: f64) -> bool {
        even(self.kind, v).is_some_and(|u| u >= self.low - 1e-9 && u <= self.high + 1e-9)
    }

    /// Pixels of the two ends.
    pub(crate) fn ends(&self) -> (f64, f64) {
        self.pixels
    }

    /// Moves the upper end to another pixel, values staying where they are.
    pub(crate) fn extend_to(&mut self, pixel: f64) {
        let (from, to) = self.pixels;
        if to != from {
            self.high = self.low + (self.high - self.low) * (pixel - from) / (to - from);
            self.pixels.1 = pixel;
        }
    }

    /// Whether equal ratios are equally far apart.
    pub(crate) fn is_log(&self) -> bool {
        matches!(self.kind, Kind::Log | Kind::Octaves)
    }

    /// At most about `most` round values inside the axis, ascending. `unit` is what is shown as 1.
    pub(crate) fn ticks(&self, most: usize, unit: f64) -> Vec<f64> {
        let most = most.max(2);
        let found = match self.kind {
            Kind::Linear | Kind::FromZero => return self.linear_ticks(self.low, self.high, most, unit),
            Kind::Octaves => powers(self.low, self.high, most, 2.0),
            Kind::Log => {
                let fine: Vec<f64> = (self.low.floor() as i32..=self.high.ceil() as i32)
                    .flat_map(|k| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(k)))
                    .filter(|v| self.holds(*v))
                    .collect();
                if fine.len() * 5 <= most * 8 { fine } else { powers(self.low, self.high, most, 10.0) }
            }
        };
        let found: Vec<f64> = found
            .into_iter()
            .filter(|v| self.holds(*v) && (self.kind != Kind::Octaves || *v >= 1.0))
            .collect();
        let short = 10f64.log(if self.kind == Kind::Octaves { 2.0 } else { 10.0 });
        if found.len() >= 3
            || self.high - self.low >= short
            || (self.kind == Kind::Octaves && found.len() == 2)
        {
            return found;
        }
        // Less than tenfold: even steps say more than one or two powers.
        let base: f64 = if self.kind == Kind::Octaves { 2.0 } else { 10.0 };
        let linear = self.linear_ticks(base.powf(self.low), base.powf(self.high), most.min(5), unit);
        let linear: Vec<f64> = linear.into_iter().filter(|v| self.holds(*v)).collect();
        if linear.len() > found.len() { linear } else { found }
    }

    fn linear_ticks(&self, low: f64, high: f64, most: usize, unit: f64) -> Vec<f64> {
        let step = tidy_step((high - low) / unit / most as f64) * unit;
        let first = (low / step).ceil();
        if !(step > 0.0 && step.is_finite() && first.is_finite()) {
            return Vec::new();
        }
        let mut ticks: Vec<f64> = (0..=most + 1)
            .map(|i| (first + i as f64) * step)
            .take_while(|v| *v <= high + step * 1e-9)
            .map(|v| if v == 0.0 { 0.0 } else { v })
            .collect();
        ticks.dedup();
        ticks
    }
}

/// `v` in the space in which the axis is even.
fn even(kind: Kind, v: f64) -> Option<f64> {
    match kind {
        _ if !v.is_finite() => None,
        Kind::Linear | Kind::FromZero => Some(v.clamp(-1e300, 1e300)),
        _ if v <= 0.0 => None,
        Kind::Log => Some(v.clamp(1e-300, 1e300).log10()),
        Kind::Octaves => Some(v.clamp(1e-300, 1e300).log2()),
    }
}

/// Powers of `base` between two exponents, every so many that there are at most `most`.
fn powers(low: f64, high: f64, most: usize, base: f64) -> Vec<f64> {
    let (first, last) = (low.ceil() as i32, high.floor() as i32);
    let among = (last - first + 1).max(1) as usize;
    let stride = among.div_ceil(most).max(1);
    // Multiples of the stride, so that 1 stays a tick.
    let start = first + (-first).rem_euclid(stride as i32);
    (start..=last).step_by(stride).map(|k| base.powi(k)).collect()
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `raw`.
fn tidy_step(raw: f64) -> f64 {
    if !(raw.is_finite() && raw > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0].map(|m| m * power).into_iter().find(|s| *s >= raw * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(kind: Kind, values: &[f64], most: usize) -> Vec<f64> {
        Scale::new(kind, values.iter().copied(), (0.0, 500.0)).ticks(most, 1.0)
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(Kind::FromZero, &[0.0, 9.0], 6), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(Kind::Octaves, &[16.0, 256.0], 9), [16.0, 32.0, 64.0, 128.0, 256.0]);
        assert_eq!(ticks(Kind::Octaves, &[1.0, 65_536.0], 6), [1.0, 8.0, 64.0, 512.0, 4096.0, 32_768.0]);
        assert_eq!(ticks(Kind::Log, &[10.0, 900.0], 8), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(ticks(Kind::Log, &[1.0, 1e6], 8).len(), 7);
        assert_eq!(ticks(Kind::Octaves, &[64.0], 9), [32.0, 64.0, 128.0]);
    }

    #[test]
    fn every_axis_has_ticks_inside_and_finite_pixels() {
        let lists: [&[f64]; 12] = [
            &[],
            &[0.0],
            &[1.0],
            &[0.0, 0.0],
            &[-3.0, 5.0],
            &[f64::NAN, f64::INFINITY, 2.0],
            &[1e-320, 1e308],
            &[-1e308, 1e308],
            &[u64::MAX as f64, 1.0],
            &[1e16, 1e16 + 2.0],
            &[0.97, 1.3],
            &[3.0, 3.000_000_1],
        ];
        for kind in [Kind::Linear, Kind::FromZero, Kind::Log, Kind::Octaves] {
            for values in lists {
                let scale = Scale::new(kind, values.iter().copied(), (400.0, 10.0));
                let ticks = scale.ticks(6, 1.0);
                assert!((1..=8).contains(&ticks.len()), "{kind:?} {values:?}: {ticks:?}");
                assert!(ticks.windows(2).all(|p| p[0] < p[1]), "{kind:?} {values:?}: {ticks:?}");
                for v in ticks.iter().chain(values) {
                    let px = scale.px(*v);
                    assert!(px.is_none_or(|p| (10.0..=400.0).contains(&p)), "{kind:?} {v} at {px:?}");
                }
                assert!(ticks.iter().all(|v| scale.px(*v).is_some()));
            }
        }
    }

    #[test]
    fn values_keep_their_order() {
        let scale = Scale::new(Kind::Log, [1.0, 1000.0], (0.0, 100.0));
        assert!(scale.px(1.0) < scale.px(10.0) && scale.px(10.0) < scale.px(1000.0));
        assert_eq!(scale.px(0.0), None);
        assert_eq!(scale.px(f64::NAN), None);
    }
}
