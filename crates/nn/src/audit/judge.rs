//! The comparison of a gradient with slopes, and what is concluded.

use super::difference::{self, Precision, Slope};
use super::variable::{Direction, Moved, Variable, host};
use super::{Config, guard};
use crate::audit::report::Check;
use crate::random;
use candle_core::{Result, Tensor};

/// The direction of a probe.
#[derive(Debug, Clone, PartialEq)]
pub enum Where {
    /// Along the gradient.
    Gradient,
    /// Along the gradient on a random half of the elements.
    Half,
    /// Along random signs.
    Random,
    /// One element, by its index in each dimension.
    Element(Vec<usize>),
}

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gradient => f.write_str("along the gradient"),
            Self::Half => f.write_str("along half of the gradient"),
            Self::Random => f.write_str("in a random direction"),
            Self::Element(index) => write!(f, "at {index:?}"),
        }
    }
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The direction.
    pub place: Where,
    /// The slope that the gradient claims; 0 where there is no gradient.
    pub claimed: f64,
    /// The slope that the loss has.
    pub slope: f64,
    /// Bound on the error of `slope`.
    pub error: f64,
    /// The part of `error` that comes from kinks or curvature at this place.
    pub kinks: f64,
    /// What differences are measured against: the larger of both slopes and what is negligible beside the others.
    pub scale: f64,
    tolerance: f64,
    decisive: f64,
    excess: f64,
}

impl Probe {
    /// |claimed − slope| / scale.
    pub fn relative_error(&self) -> f64 {
        if self.scale == 0.0 { 0.0 } else { (self.claimed - self.slope).abs() / self.scale }
    }

    /// Whether the two differ by more than all errors allow.
    pub fn is_wrong(&self) -> bool {
        self.tolerance * self.scale < self.excess
    }

    /// Whether an error of 1 % (5 % in f32) would have been seen.
    pub fn is_decided(&self) -> bool {
        self.error <= self.decisive * self.scale
    }
}

/// What the audit concludes about a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The gradient is right.
    Right {
        /// Largest relative difference along the directions that are decided.
        error: f64,
    },
    /// The gradient is the right one times a factor.
    Scaled {
        /// The factor.
        factor: f64,
    },
    /// The gradient is wrong.
    Wrong {
        /// The worst probe.
        worst: Probe,
    },
    /// There is no gradient, although the loss depends on the variable.
    Cut {
        /// Whether candle's graph of the loss holds the variable: then a backward pass gives nothing, else an
        /// operation on the way recorded no graph (it has no backward pass, or the tensor was detached).
        in_graph: bool,
    },
    /// There is no gradient, and the loss does not change with the variable.
    Unused,
    /// The gradient holds a number that is not finite.
    NotFinite,
    /// The slope could not be measured well enough.
    NotDecided {
        /// Whether the loss has a kink here; else its rounding or curvature is too large.
        kink: bool,
        /// Smallest error among the directions, relative to the slope.
        error: f64,
    },
}

impl Outcome {
    /// Whether training with this gradient would be wrong.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Scaled { .. } | Self::Wrong { .. } | Self::Cut { .. } | Self::NotFinite)
    }

    /// Whether the gradient is right.
    pub fn is_right(&self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Right { error } => write!(f, "right (to {error:.0e})"),
            Self::Scaled { factor } => write!(f, "scaled by {}", number(*factor)),
            Self::Wrong { worst } => write!(
                f,
                "WRONG by {} {}: {} instead of {}",
                percent(worst.relative_error()),
                worst.place,
                number(worst.claimed),
                number(worst.slope)
            ),
            Self::Cut { in_graph: false } => f.write_str("no gradient: an operation records no graph"),
            Self::Cut { in_graph: true } => f.write_str("no gradient: a backward pass gives none"),
            Self::Unused => f.write_str("no gradient: the loss does not depend on it"),
            Self::NotFinite => f.write_str("NOT FINITE"),
            Self::NotDecided { kink: true, .. } => f.write_str("not decided: the loss has a kink here"),
            Self::NotDecided { kink: false, error } => {
                write!(f, "not decided: the slope is known to {} only", percent(*error))
            }
        }
    }
}

/// Three significant digits.
pub(super) fn number(x: f64) -> String {
    if x == 0.0 || !(1e-3..1e4).contains(&x.abs()) {
        return if x == 0.0 { "0".to_owned() } else { format!("{x:.2e}") };
    }
    let digits = (2 - x.abs().log10().floor() as i32).max(0) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn percent(x: f64) -> String {
    format!("{} %", number(100.0 * x))
}

/// The gradient of each variable, and its place in the graph counted from the loss.
pub(super) type Found = (Vec<Option<Vec<f64>>>, Vec<Option<usize>>);

/// Runs candle's backward pass.
pub(super) fn backward(
    subject: &str,
    loss: &dyn Fn() -> Result<Tensor>,
    variables: &[Variable],
) -> Result<Found> {
    let loss = loss()?;
    let order: std::collections::HashMap<_, _> =
        loss.sorted_nodes().into_iter().enumerate().map(|(i, node)| (node.id(), i)).collect();
    let store = guard::catch(|| loss.backward()).map_err(|error| {
        candle_core::Error::Msg(format!("audit: the backward pass of {subject} fails: {error}"))
    })?;
    let gradient = |v: &Variable| {
        let Some(gradient) = store.get(v.var.as_tensor()) else { return Ok(None) };
        if gradient.shape() != v.var.shape() {
            candle_core::bail!(
                "audit: the gradient of `{}` has shape {:?}, the variable {:?}",
                v.name,
                gradient.shape(),
                v.var.shape()
            );
        }
        host(gradient).map(Some)
    };
    let gradients = variables.iter().map(gradient).collect::<Result<_>>()?;
    let order = variables.iter().map(|v| order.get(&v.var.as_tensor().id()).copied()).collect();
    Ok((gradients, order))
}

/// What every comparison needs to know.
pub(super) struct Judge<'a> {
    pub(super) config: &'a Config,
    pub(super) precision: Precision,
    pub(super) center: f64,
    pub(super) noise: f64,
    pub(super) found: &'a [Option<Vec<f64>>],
    pub(super) moved: &'a Moved<'a>,
}

impl Judge<'_> {
    pub(super) fn all(
        &self,
        variables: &[Variable],
        order: &[Option<usize>],
        value: &mut dyn FnMut() -> Result<f64>,
    ) -> Result<Vec<Check>> {
        let reach = |i: usize| self.found[i].as_ref().map_or(0.0, |g| norm(g) * variables[i].unit);
        let largest = (0..variables.len()).map(reach).filter(|r| r.is_finite()).fold(0.0, f64::max);
        let mut checks = Vec::new();
        for (i, variable) in variables.iter().enumerate() {
            let (outcome, probes) = self.one(i, variable, largest, order[i].is_some(), value)?;
            checks.push(Check {
                name: variable.name.clone(),
                shape: variable.var.dims().to_vec(),
                dtype: variable.dtype(),
                order: order[i],
                outcome,
                probes,
            });
        }
        Ok(checks)
    }

    /// Judges variable `i`; `largest` is the largest reach of any variable.
    fn one(
        &self,
        i: usize,
        variable: &Variable,
        largest: f64,
        in_graph: bool,
        value: &mut dyn FnMut() -> Result<f64>,
    ) -> Result<(Outcome, Vec<Probe>)> {
        let gradient = self.found[i].as_deref();
        if gradient.is_some_and(|g| g.iter().any(|v| !v.is_finite())) {
            return Ok((Outcome::NotFinite, Vec::new()));
        }
        if variable.start.is_empty() {
            return Ok((
                if gradient.is_some() { Outcome::Right { error: 0.0 } } else { Outcome::Unused },
                Vec::new(),
            ));
        }
        let floor = self.precision.floor() * largest;
        let mut probes = Vec::new();
        for (place, direction) in self.directions(variable, gradient) {
            let claimed = gradient.map_or(0.0, |g| direction.slope(g));
            let least = match (&place, gradient) {
                // An element is small beside the largest one of its own variable.
                (Where::Element(_), Some(g)) => {
                    self.precision.floor() * g.iter().fold(0.0, |a: f64, b| a.max(b.abs())) * variable.unit
                }
                _ => floor,
            };
            let scale = |slope: f64| slope.abs().max(claimed.abs()).max(least);
            let center = (self.center, self.noise);
            let (Slope { value: slope, bound: error, kinks }, excess) =
                difference::slope(center, self.precision, claimed, scale, |t| {
                    self.moved.displace(i, t, &direction)?;
                    value()
                })?;
            let (scale, tolerance) = (scale(slope), self.precision.tolerance());
            let decisive = self.precision.decisive();
            probes.push(Probe { place, claimed, slope, error, kinks, scale, tolerance, decisive, excess });
        }
        self.moved.center_one(i)?;
        let outcome = if gradient.is_some() {
            conclude(&probes)
        } else if probes.iter().any(Probe::is_wrong) {
            Outcome::Cut { in_graph }
        } else {
            Outcome::Unused
        };
        Ok((outcome, probes))
    }

    /// Where to look.
    fn directions(&self, variable: &Variable, gradient: Option<&[f64]>) -> Vec<(Where, Direction)> {
        let (n, unit, seed) = (variable.start.len(), variable.unit, self.config.seed);
        let stream = |what: &str| format!("audit.{what}.{}", variable.name);
        let mut all = Vec::new();
        let largest = gradient.map_or(0.0, |g| g.iter().fold(0.0, |a: f64, b| a.max(b.abs())));
        if let Some(g) = gradient
            && 0.0 < largest
        {
            let along: Vec<f64> = g.iter().map(|v| unit * v / largest).collect();
            if 1 < n {
                let half = random::uniform(seed, &stream("half"), n, 0.0, 1.0);
                let half: Vec<f64> =
                    along.iter().zip(half).map(|(v, u)| if u < 0.5 { *v } else { 0.0 }).collect();
                if half.iter().any(|v| *v != 0.0) {
                    all.push((Where::Half, Direction::Dense(half)));
                }
            }
            all.push((Where::Gradient, Direction::Dense(along)));
        }
        for k in 0..self.config.directions {
            let signs = difference::signs(seed, &stream(&format!("random{k}")), n, unit);
            all.push((Where::Random, Direction::Dense(signs)));
        }
        for at in self.elements(variable, gradient, &stream("elements")) {
            all.push((Where::Element(index(at, variable.var.dims())), Direction::Element(at, unit)));
        }
        all
    }

    /// Half of the elements where the gradient is largest, half at random, none twice.
    fn elements(&self, variable: &Variable, gradient: Option<&[f64]>, stream: &str) -> Vec<usize> {
        let n = variable.start.len();
        let wanted = self.config.elements.min(n);
        let mut chosen = Vec::new();
        if let Some(g) = gradient {
            let mut order: Vec<usize> = (0..n).collect();
            let by_size = |a: &usize, b: &usize| g[*b].abs().total_cmp(&g[*a].abs()).then(a.cmp(b));
            let top = wanted.div_ceil(2);
            if top < n {
                order.select_nth_unstable_by(top, by_size);
            }
            chosen.extend(&order[..top]);
            chosen.sort_by(by_size);
        }
        // Drawing with replacement, so that the work does not grow with the variable; the rest is filled in order.
        let draws = random::uniform(self.config.seed, stream, 4 * wanted, 0.0, n as f64);
        for at in draws.into_iter().map(|u| (u as usize).min(n - 1)).chain(0..n) {
            if wanted <= chosen.len() {
                break;
            }
            if !chosen.contains(&at) {
                chosen.push(at);
            }
        }
        chosen
    }
}

/// What the probes of a variable that has a gradient say together.
fn conclude(probes: &[Probe]) -> Outcome {
    let wrong: Vec<&Probe> = probes.iter().filter(|p| p.is_wrong()).collect();
    if let Some(worst) = wrong.iter().max_by(|a, b| a.relative_error().total_cmp(&b.relative_error())) {
        return match factor(probes) {
            Some(factor) => Outcome::Scaled { factor },
            None => Outcome::Wrong { worst: (*worst).clone() },
        };
    }
    // Along its own gradient the slope is steepest. Where the gradient is 0, only random directions are left.
    let of = |place: Where| probes.iter().find(|p| p.place == place);
    let needed = match (of(Where::Gradient), of(Where::Half)) {
        (Some(along), half) => [Some(along), half],
        (None, _) => [of(Where::Random), None],
    };
    let undecided: Vec<&Probe> = needed.into_iter().flatten().filter(|p| !p.is_decided()).collect();
    match undecided.first() {
        Some(probe) => Outcome::NotDecided {
            kink: 0.5 * probe.error < probe.kinks,
            error: if probe.scale == 0.0 { f64::INFINITY } else { probe.error / probe.scale },
        },
        None => {
            let directions =
                probes.iter().filter(|p| !matches!(p.place, Where::Element(_)) && p.is_decided());
            Outcome::Right { error: directions.map(Probe::relative_error).fold(0.0, f64::max) }
        }
    }
}

/// The one factor by which all claimed slopes differ from the true ones, if there is one.
fn factor(probes: &[Probe]) -> Option<f64> {
    let telling: Vec<&Probe> =
        probes.iter().filter(|p| p.is_decided() && p.error < 0.1 * p.slope.abs()).collect();
    let weight = |p: &Probe| (p.slope / p.error.max(f64::MIN_POSITIVE.sqrt())).powi(2);
    let total: f64 = telling.iter().map(|p| weight(p)).sum();
    let factor = telling.iter().map(|p| weight(p) * p.claimed / p.slope).sum::<f64>() / total;
    // A gradient of 0 has no direction to be right in.
    let is_factor = 2 <= telling.len() && factor.is_finite() && 1e-9 < factor.abs();
    // Close to 1 the slack must be small: an error in one element is no factor.
    let slack = (0.25 * (factor - 1.0).abs()).min(0.02);
    let fits = |p: &Probe| {
        (p.claimed - factor * p.slope).abs() <= factor.abs() * (p.error + (slack + p.tolerance) * p.scale)
    };
    (is_factor && probes.iter().all(fits)).then_some(factor)
}

/// The index of a flat position in each dimension.
fn index(mut at: usize, dims: &[usize]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for (i, dim) in dims.iter().enumerate().rev() {
        (index[i], at) = (at % dim, at / dim);
    }
    index
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}
