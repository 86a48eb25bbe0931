//! The best learning rate of one batch size, with its interval.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::grid::{EXCESS, Edge};
use super::input::{Goal, Ladder, Options};
use super::parabola::Parabola;
use super::shape::{self, bend, unbend};
use super::window::{Beyond, Window};
use crate::fieller::student_t_quantile;
use crate::outcome::Outcome;

/// The best learning rate at one batch size.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct BestAtBatch {
    /// Batch size, examples.
    pub batch: u64,
    /// The best learning rate. On the edge of the grid it is a bound at most; next to a diverged learning rate the value is
    /// never above the largest that did not diverge (undershooting is the cheaper mistake: theory.md §4.1).
    pub learning_rate: Outcome,
    /// The grid ends too early on this side: no comparison of batch sizes until it is extended.
    pub at_edge: Option<Edge>,
    /// The learning rate of the smallest mean, among those where no run failed.
    pub grid_best: Option<f64>,
    /// Learning rates as good as the best: their fitted value is within [`EXCESS`] of it (of its size; in the
    /// logarithm for steps). How flat the valley is, not how well it is known.
    pub as_good: Option<(f64, f64)>,
    /// Fitted value at the best learning rate: loss, or steps. Unlike the smallest of the grid it does not profit from luck
    /// ([`expected_minimum_bias`](super::expected_minimum_bias)).
    pub value: Outcome,
    /// Runs with a value.
    pub n: u64,
    /// Runs that diverged or never reached the target.
    pub n_diverged: u64,
    /// Distinct learning rates tried.
    pub n_learning_rates: u64,
}

/// The lowest point of a fitted valley, in ln(learning rate), for the regression on the batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vertex {
    pub(super) batch: u64,
    pub(super) x: f64,
    /// Standard error at the given shape.
    pub(super) se: f64,
    /// Degrees of freedom of `se`.
    pub(super) df: f64,
    /// Change of `x` with the shape λ.
    pub(super) by_shape: f64,
}

/// λ, its standard deviation, and the wanted confidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) lambda: f64,
    pub(super) lambda_sd: f64,
    /// Degrees of freedom of `lambda_sd`.
    pub(super) lambda_df: f64,
    /// Degrees of freedom that the shape takes from each batch size: it is estimated from all of them.
    pub(super) lambda_share: f64,
    pub(super) options: Options,
}

impl Settings {
    /// Half the interval of λ.
    pub(super) fn shape_reach(&self) -> f64 {
        student_t_quantile(0.5 + self.options.confidence / 2.0, self.lambda_df) * self.lambda_sd
    }
}

/// An interval in ln(learning rate) that may be open.
#[derive(Clone, Copy)]
struct Span {
    low: Option<f64>,
    high: Option<f64>,
}

pub(super) fn best_at_batch(ladder: &Ladder, settings: &Settings) -> (BestAtBatch, Option<Vertex>) {
    let count = |f: &dyn Fn(&super::input::Rung) -> u64| ladder.rungs.iter().map(f).sum();
    let mut best = BestAtBatch {
        batch: ladder.batch,
        learning_rate: Outcome::not_identified("no learning rate was free of failed runs"),
        at_edge: None,
        grid_best: None,
        as_good: None,
        value: Outcome::not_identified("no valley was fitted"),
        n: count(&|r| r.values.len() as u64),
        n_diverged: count(&|r| r.failed),
        n_learning_rates: ladder.rungs.len() as u64,
    };
    let Some(window) = Window::around_best(ladder, settings.options.goal) else {
        return (best, None);
    };
    best.grid_best = Some(window.rungs[window.best].rate);
    let mut silent = |why: &str| {
        best.learning_rate = Outcome::not_identified(why);
        (best.clone(), None)
    };
    if ladder.rungs.len() < 2 {
        return silent("one learning rate was tried, at least 3 are needed");
    }
    if window.rungs.len() > 1 && window.points.iter().all(|p| p.1 == window.points[0].1) {
        return silent("every learning rate reached the same value");
    }
    best.at_edge = edge(&window);
    let Some(valley) = Valley::of(&window, settings) else {
        best.learning_rate = outcome(None, one_sided(&window, settings, None), best.at_edge);
        return (best, None);
    };
    let span = valley.span(&window, settings);
    let inside = valley.x.clamp(window.first(), window.last());
    if best.at_edge.is_none() && valley.x > window.last() && window.above == Beyond::Edge {
        best.at_edge = Some(Edge::High);
    }
    if best.at_edge.is_none() && valley.x < window.first() && window.below == Beyond::Edge {
        best.at_edge = Some(Edge::Low);
    }
    best.learning_rate = outcome(Some(inside), span, best.at_edge);
    if best.at_edge.is_none() {
        best.as_good = valley.as_good(&window, settings);
        best.value = valley.depth(&window, inside, ladder.scale, settings);
    }
    let bounded = best.learning_rate.value().is_some() && valley.flat(settings).is_some();
    let vertex = bounded.then(|| Vertex {
        batch: ladder.batch,
        x: match window.above {
            Beyond::Failed(wall) => valley.x.min(wall),
            _ => valley.x,
        },
        se: valley.se,
        df: valley.df,
        by_shape: valley.by_shape,
    });
    (best, vertex)
}

/// Whether the best rung is the outermost.
fn edge(window: &Window<'_>) -> Option<Edge> {
    if window.best == 0 && window.below == Beyond::Edge {
        Some(Edge::Low)
    } else if window.best + 1 == window.rungs.len() && window.above == Beyond::Edge {
        Some(Edge::High)
    } else {
        None
    }
}

/// A fitted valley that has a lowest point.
struct Valley {
    parabola: Parabola,
    /// ln(learning rate) of the lowest point.
    x: f64,
    se: f64,
    /// Variance of one value about the valley, and its degrees of freedom.
    variance: f64,
    df: f64,
    by_shape: f64,
    lambda: f64,
}

impl Valley {
    fn of(window: &Window<'_>, settings: &Settings) -> Option<Self> {
        const STEP: f64 = 0.05;
        let lambda = settings.lambda;
        let df = shape::degrees_of_freedom(window) - settings.lambda_share;
        let parabola = shape::fit(window, lambda).filter(|p| p.bend > 0.0 && df >= 0.5)?;
        let place = |p: &Parabola, lambda: f64| {
            Some(window.centre() + unbend(p.vertex(), lambda)).filter(|x| x.is_finite() && p.bend > 0.0)
        };
        let u = parabola.vertex();
        let x = place(&parabola, lambda)?;
        let variance = (parabola.squares / df).max(shape::ROUNDING);
        // du = e^{λ(x − centre)} dx.
        let steepness = 2.0 * parabola.bend * (lambda * (x - window.centre())).exp();
        let se = (variance * parabola.slope_variance_at(u)).sqrt() / steepness;
        let at = |lambda| shape::fit(window, lambda).and_then(|p| place(&p, lambda));
        let by_shape = match (at(lambda - STEP), at(lambda + STEP)) {
            (Some(a), Some(b)) => (b - a) / (2.0 * STEP),
            _ => 0.0,
        };
        (se.is_finite() && by_shape.is_finite()).then_some(Self {
            parabola,
            x,
            se,
            variance,
            df,
            by_shape,
            lambda,
        })
    }

    /// Fieller's interval of the lowest point in u, at λ.
    fn flat(&self, settings: &Settings) -> Option<(f64, f64)> {
        let t = student_t_quantile(0.5 + settings.options.confidence / 2.0, self.df);
        self.parabola.flat(t * t * self.variance)
    }

    /// The interval of the lowest point: Fieller's at λ, widened by what λ's own error does, and cut by what lies beyond
    /// the window.
    fn span(&self, window: &Window<'_>, settings: &Settings) -> Span {
        let Some((low, high)) = self.flat(settings) else {
            return one_sided(window, settings, Some((self.variance, self.df)));
        };
        let shape = settings.shape_reach() * self.by_shape;
        let place = |u| window.centre() + unbend(u, self.lambda);
        let low = self.x - (self.x - place(low)).max(0.0).hypot(shape);
        let high = self.x + (place(high) - self.x).max(0.0).hypot(shape);
        // Beyond the window the parabola is a guess: it never moves a bound to there.
        let (low, high) = (low.min(window.last()), high.max(window.first()));
        Span {
            low: match window.below {
                _ if low >= window.first() => Some(low),
                Beyond::Edge => None,
                Beyond::Failed(x) | Beyond::Worse(x) => Some(low.max(x)),
            },
            high: match window.above {
                Beyond::Failed(x) if high >= window.last() => Some(high.min(x)),
                _ if high <= window.last() => Some(high),
                Beyond::Edge => None,
                Beyond::Failed(x) | Beyond::Worse(x) => Some(high.min(x)),
            },
        }
    }

    fn as_good(&self, window: &Window<'_>, settings: &Settings) -> Option<(f64, f64)> {
        let u = self.parabola.vertex();
        let excess = match settings.options.goal {
            Goal::Loss => EXCESS * self.parabola.at(u).abs(),
            // Values are logarithms over a scale; the scale of ln S is of the order of ln S.
            Goal::Steps => EXCESS / window.scale,
        };
        let half = (excess / self.parabola.bend).sqrt();
        let place = |u| window.centre() + unbend(u, self.lambda);
        let inside = self.x.clamp(window.first(), window.last());
        let low = place(u - half).max(window.first()).min(inside).exp();
        let high = place(u + half).min(window.last()).max(inside).exp();
        (low.is_finite() && high.is_finite()).then_some((low, high))
    }

    /// Fitted value at ln(learning rate) `x`, in the caller's unit.
    fn depth(&self, window: &Window<'_>, x: f64, scale: f64, settings: &Settings) -> Outcome {
        let u = bend(x - window.centre(), self.lambda);
        let value = self.parabola.at(u);
        let variance = self.variance * self.parabola.variance_at(u);
        // The depth of a seed's valley is its luck: with few seeds, that is most of the error.
        let df = if window.seed_variance > variance { window.lost as f64 } else { self.df };
        let t = student_t_quantile(0.5 + settings.options.confidence / 2.0, df);
        let half = t * (variance + window.seed_variance).sqrt();
        let unit = |v: f64| match settings.options.goal {
            Goal::Loss => v * scale,
            Goal::Steps => (v * scale).exp(),
        };
        let (value, low, high) = (unit(value), unit(value - half), unit(value + half));
        if value.is_finite() && low.is_finite() && high.is_finite() {
            Outcome::Measured { value, low, high }
        } else {
            Outcome::not_identified("the fitted value is beyond the range of floating point numbers")
        }
    }
}

/// What can be said without a clear bend, from one valley alone: a learning rate whose mean is significantly above the best
/// one's lies on the far side of the lowest point, and so does one that failed.
fn one_sided(window: &Window<'_>, settings: &Settings, error: Option<(f64, f64)>) -> Span {
    let repeats = window.repeats();
    let (variance, df) = match error {
        Some(e) if e.1 > repeats.1 => e,
        _ => repeats,
    };
    let best = &window.rungs[window.best];
    let t = if df >= 1.0 {
        student_t_quantile(0.5 + settings.options.confidence / 2.0, df)
    } else {
        f64::INFINITY
    };
    let worse = |r: &super::input::Rung| {
        let se = (variance * (1.0 / r.values.len() as f64 + 1.0 / best.values.len() as f64)).sqrt();
        r.mean() - best.mean() > t * se
    };
    let outer = |beyond: Beyond| match beyond {
        Beyond::Failed(x) => Some(x),
        Beyond::Worse(_) | Beyond::Edge => None,
    };
    let low = window.rungs[..window.best].iter().rev().find(|r| worse(r)).map(|r| r.x);
    let high = window.rungs[window.best + 1..].iter().find(|r| worse(r)).map(|r| r.x);
    Span { low: low.or(outer(window.below)), high: high.or(outer(window.above)) }
}

fn outcome(x: Option<f64>, span: Span, edge: Option<Edge>) -> Outcome {
    // On the edge only the side away from it means anything.
    let (low, high) = match edge {
        Some(Edge::High) => (span.low, None),
        Some(Edge::Low) => (None, span.high),
        None => (span.low, span.high),
    };
    let rate = |x: f64| x.exp().clamp(f64::MIN_POSITIVE, f64::MAX);
    match (low.map(rate), high.map(rate), x.map(rate)) {
        (Some(low), Some(high), Some(x)) => {
            Outcome::Measured { value: x.clamp(low.min(high), high), low: low.min(high), high }
        }
        (Some(low), Some(high), None) => {
            Outcome::Measured { value: (low.sqrt() * high.sqrt()).clamp(low, high), low, high }
        }
        (Some(low), None, _) => Outcome::LowerBound { low },
        (None, Some(high), _) => Outcome::UpperBound { high },
        (None, None, _) => Outcome::not_identified(match edge {
            Some(_) => {
                "the best is the outermost learning rate of the grid, and not separated from the others"
            }
            None => "the losses do not separate the learning rates: more seeds, or a wider grid",
        }),
    }
}
