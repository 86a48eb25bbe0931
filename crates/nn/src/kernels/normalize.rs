//! Normalisation of one channel over every example.

use super::Element;
use rayon::prelude::*;

/// A tensor seen as (n, channels, inner), each channel of which is normalised over all n and inner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) channels: usize,
    pub(crate) inner: usize,
}

/// Mean and 1/√(variance + ε) of `x`, in f64.
fn statistics<T: Element>(x: impl Iterator<Item = T> + Clone, n: usize, epsilon: f64) -> (f64, f64) {
    let n = n as f64;
    let mean = x.clone().map(Element::widen).sum::<f64>() / n;
    let square = x.map(|v| (v.widen() - mean).powi(2)).sum::<f64>() / n;
    (mean, 1.0 / (square + epsilon).sqrt())
}

/// y = (x − μ)/√(σ² + ε) in each channel.
pub(crate) fn forward<T: Element>(x: &[T], sets: Channels, epsilon: f64) -> Vec<T> {
    let Channels { channels, inner } = sets;
    let mut y = x.to_vec();
    let normal = |v: T, mean: f64, scale: f64| T::from_f64((v.widen() - mean) * scale);
    let all: Vec<(f64, f64)> = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let values = runs(x, channel, channels, inner).flatten().copied();
            statistics(values, x.len() / channels, epsilon)
        })
        .collect();
    y.par_chunks_mut(inner).enumerate().for_each(|(run, values)| {
        let (mean, scale) = all[run % channels];
        values.iter_mut().for_each(|v| *v = normal(*v, mean, scale));
    });
    y
}

/// dx = (dy − mean dy − y·mean(dy·y))/√(σ² + ε) (Ioffe & Szegedy 2015, §3).
pub(crate) fn backward<T: Element>(x: &[T], y: &[T], dy: &[T], sets: Channels, epsilon: f64) -> Vec<T> {
    let Channels { channels, inner } = sets;
    let mut dx = dy.to_vec();
    let means = |y: &[T], dy: &[T]| {
        let n = y.len() as f64;
        let mean = dy.iter().map(|v| v.widen()).sum::<f64>() / n;
        (mean, y.iter().zip(dy).map(|(y, dy)| y.widen() * dy.widen()).sum::<f64>() / n)
    };
    let one = |dx: &mut T, y: T, (mean, product): (f64, f64), scale: f64| {
        *dx = T::from_f64((dx.widen() - mean - y.widen() * product) * scale);
    };
    let all: Vec<((f64, f64), f64)> = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let channel_of = |x: &[T]| runs(x, channel, channels, inner).collect::<Vec<_>>().concat();
            let (x, y, dy) = (channel_of(x), channel_of(y), channel_of(dy));
            let (_, scale) = statistics(x.iter().copied(), x.len(), epsilon);
            (means(&y, &dy), scale)
        })
        .collect();
    dx.par_chunks_mut(inner).zip(y.par_chunks(inner)).enumerate().for_each(|(run, (dx, y))| {
        let (means, scale) = all[run % channels];
        dx.iter_mut().zip(y).for_each(|(dx, y)| one(dx, *y, means, scale));
    });
    dx
}

/// The runs of `inner` elements that belong to one channel.
pub(crate) fn runs<T>(
    x: &[T],
    channel: usize,
    channels: usize,
    inner: usize,
) -> impl Iterator<Item = &[T]> + Clone {
    x.chunks(inner).skip(channel).step_by(channels)
}
