//! Files with planted truths.
#![allow(dead_code, reason = "each test uses a part")]

use batchwise_lab::fit::{Answer, FitError, Kind, Settings, Source, fit};
use serde_json::Value;

/// Seeded uniform and normal numbers (splitmix64, Box and Muller).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Dimensions of the planted gradient; ‖G‖² = 1.
const DIMENSIONS: usize = 50;

/// Long form: `k` measurements of `n` micro-batches of `b`, the last of them smaller, with tr Σ = φ.
pub(crate) fn noise_long(phi: f64, k: usize, n: usize, b: usize, random: &mut Random) -> String {
    let mut csv = "measurement,micro_batch,weight,norm2\n".to_owned();
    for m in 0..k {
        let (mut total, mut sum) = (0.0, [0.0; DIMENSIONS]);
        for j in 0..n {
            let weight = if j + 1 < n { b } else { b.div_ceil(2) } as f64;
            let gradient = gradient(phi, weight, random);
            csv.push_str(&format!("{m},{j},{weight},{}\n", norm2(&gradient)));
            total += weight;
            sum.iter_mut().zip(&gradient).for_each(|(s, g)| *s += weight * g);
        }
        sum.iter_mut().for_each(|s| *s /= total);
        csv.push_str(&format!("{m},all,{total},{}\n", norm2(&sum)));
    }
    csv
}

/// Short form.
pub(crate) fn noise_short(phi: f64, k: usize, n: usize, b: usize, random: &mut Random) -> String {
    let mut csv = "batch,micro_batch,micro_norm2,batch_norm2\n".to_owned();
    for _ in 0..k {
        let (mut mean, mut sum) = (0.0, [0.0; DIMENSIONS]);
        for _ in 0..n {
            let gradient = gradient(phi, b as f64, random);
            mean += norm2(&gradient) / n as f64;
            sum.iter_mut().zip(&gradient).for_each(|(s, g)| *s += g / n as f64);
        }
        csv.push_str(&format!("{},{b},{mean},{}\n", n * b, norm2(&sum)));
    }
    csv
}

fn gradient(phi: f64, weight: f64, random: &mut Random) -> [f64; DIMENSIONS] {
    let (mean, sd) = ((1.0 / DIMENSIONS as f64).sqrt(), (phi / DIMENSIONS as f64 / weight).sqrt());
    std::array::from_fn(|_| mean + sd * random.normal())
}

fn norm2(v: &[f64; DIMENSIONS]) -> f64 {
    v.iter().map(|x| x * x).sum()
}

/// Steps to a target at doubled batch sizes, 3 seeds with ±5 %.
pub(crate) fn tradeoff(s_min: f64, b_crit: f64, smallest: u64, n: u32, random: &mut Random) -> String {
    let mut csv = "batch,seed,steps\n".to_owned();
    for k in 0..n {
        let batch = smallest << k;
        for seed in 0..3 {
            let steps = s_min * (1.0 + b_crit / batch as f64) * (0.05 * random.normal()).exp();
            csv.push_str(&format!("{batch},{seed},{steps}\n"));
        }
    }
    csv
}

/// 12 timings at each of 12 doubled batch sizes, 3 % noise, every twentieth three times as long.
pub(crate) fn speed(overhead_ms: f64, per_example_ms: f64, random: &mut Random) -> String {
    let mut csv = "batch,ms\n".to_owned();
    for k in 0..12 {
        let batch = f64::from(1 << k);
        for _ in 0..12 {
            let stall = if random.uniform() < 0.05 { 3.0 } else { 1.0 };
            let ms = (overhead_ms + per_example_ms * batch) * (0.03 * random.normal()).exp() * stall;
            csv.push_str(&format!("{batch},{ms}\n"));
        }
    }
    csv
}

/// Peaks in MiB, rounded to 2 MiB.
pub(crate) fn memory(fixed: f64, per_example: f64) -> String {
    let mut csv = "batch,peak_mib\n".to_owned();
    for k in 0..9 {
        let batch = f64::from(1 << k);
        csv.push_str(&format!("{batch},{}\n", 2.0 * ((fixed + per_example * batch) / 2.0).ceil()));
    }
    csv
}

/// Losses of 2 seeds on a grid of learning rates about LR* = 0.02·(B/16)^p; the largest diverges.
pub(crate) fn ridge(exponent: f64, random: &mut Random) -> String {
    let mut csv = "batch,lr,seed,loss\n".to_owned();
    for k in 0..6 {
        let batch = 16 << k;
        let best = 0.02 * (f64::from(batch) / 16.0).powf(exponent);
        for j in -3..5 {
            let lr = best * 1.1 * 2f64.powi(j);
            for seed in 0..2 {
                let x = (lr / best).ln();
                let loss = 0.5 + 0.03 * x * x + 0.004 * random.normal();
                let loss = if j == 4 { "diverged".to_owned() } else { loss.to_string() };
                csv.push_str(&format!("{batch},{lr},{seed},{loss}\n"));
            }
        }
    }
    csv
}

pub(crate) fn answer(kind: Kind, text: impl Into<Vec<u8>>) -> Result<Answer, FitError> {
    answer_with(kind, text, &Settings::default())
}

pub(crate) fn answer_with(
    kind: Kind,
    text: impl Into<Vec<u8>>,
    settings: &Settings,
) -> Result<Answer, FitError> {
    fit(kind, vec![Source::of_bytes("measured.csv", text.into())], settings)
}

pub(crate) fn json(kind: Kind, text: impl Into<Vec<u8>>) -> Value {
    answer(kind, text).expect("the file is sound").json
}

pub(crate) fn number(json: &Value, path: &str) -> f64 {
    json.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {json}"))
}

/// Whether the interval `low`, `high` at a place holds the truth; an open end holds everything.
pub(crate) fn holds(json: &Value, place: &str, truth: f64) -> bool {
    let end = |key: &str| json.pointer(&format!("{place}/{key}")).and_then(Value::as_f64);
    end("low").is_none_or(|low| low <= truth) && end("high").is_none_or(|high| truth <= high)
}
