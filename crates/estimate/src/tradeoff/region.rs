//! The ends of the profile-likelihood intervals: the reach of the region where the cost stays below its limit.

use super::curve::{Cost, rise};
use super::data::Group;
use super::loss::Loss;
use super::scale::{Fitted, grid};
use crate::search::golden;

/// Both ends of ln of a number; `None` where the data leave that side open.
pub(super) type Ends = (Option<f64>, Option<f64>);

/// The region's reach in u = ln B_c, s = ln S_min and u + s = ln E_min.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Region {
    pub(super) u: Ends,
    pub(super) s: Ends,
    pub(super) e: Ends,
}

const SLICES: usize = 10;

pub(super) fn region(groups: &[Group], loss: Loss, fitted: &Fitted) -> Region {
    let cost = Cost::new(groups, loss, fitted.scatter);
    // The curve that keeps its height at the middle of the batch sizes: near the best s of every u.
    let middle_x = groups.get(groups.len() / 2).map_or(0.0, |g| g.x);
    let level = fitted.s + rise(fitted.u, middle_x);
    let near = |u: f64| level - rise(u, middle_x);
    let inside = |u: f64| cost.best_s(u, near(u)).1 <= fitted.limit;
    let mut us = grid(groups);
    us.push(fitted.u);
    us.sort_by(f64::total_cmp);
    let middle = us.iter().position(|&u| u == fitted.u).unwrap_or(0);
    // From the far ends inwards: where the profile has two valleys, both count.
    let lowest = (0..middle).find(|&i| inside(us[i])).unwrap_or(middle);
    let highest = (middle..us.len()).rev().find(|&i| inside(us[i])).unwrap_or(middle);
    let low = (lowest > 0).then(|| crossing(us[lowest], us[lowest - 1], &inside));
    let high = (highest + 1 < us.len()).then(|| crossing(us[highest], us[highest + 1], &inside));
    let (from, to) = (low.unwrap_or(us[0]), high.unwrap_or(us[us.len() - 1]));
    // s on both edges of the region at u; the best s where the region does not reach.
    let edges = |u: f64| {
        let along = cost.along(u);
        let (best, q) = along.least(near(u));
        [-1.0, 1.0].map(|side| if q < fitted.limit { along.edge(best, fitted.limit, side) } else { best })
    };
    let slices: Vec<(f64, [f64; 2])> =
        (0..=SLICES).map(|i| from + (to - from) * i as f64 / SLICES as f64).map(|u| (u, edges(u))).collect();
    let reach = |side: usize, slope: f64| {
        let sign = if side == 0 { 1.0 } else { -1.0 };
        let value = |u: f64, s: [f64; 2]| sign * (s[side] + slope * u);
        let values: Vec<f64> = slices.iter().map(|&(u, s)| value(u, s)).collect();
        let best = (0..values.len()).min_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap_or(0);
        let (before, after) = (slices[best.saturating_sub(1)].0, slices[(best + 1).min(SLICES)].0);
        let u = golden(before, after, 8, |u| value(u, edges(u)));
        sign * value(u, edges(u)).min(values[best])
    };
    Region {
        u: (low, high),
        // Towards B_c = ∞ the curve is E_min/B and S_min goes to 0; towards 0 it is S_min and E_min does.
        s: (high.map(|_| reach(0, 0.0)), Some(reach(1, 0.0))),
        e: (low.map(|_| reach(0, 1.0)), Some(reach(1, 1.0))),
    }
}

/// Between a point inside and one outside.
fn crossing(mut inner: f64, mut outer: f64, inside: &impl Fn(f64) -> bool) -> f64 {
    for _ in 0..24 {
        let middle = (inner + outer) / 2.0;
        if inside(middle) {
            inner = middle;
        } else {
            outer = middle;
        }
        if (inner - outer).abs() < 1e-10 {
            break;
        }
    }
    inner
}
