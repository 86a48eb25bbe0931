//! Advice that is hard to draw, made from a usual one.

use super::sample::usual;
use crate::advice::{Advice, Binding, Confirmation, MemoryPoint, NoisePoint, SpeedPoint};
use batchwise_estimate::critical::{Task, critical_batch_from_phi};
use batchwise_estimate::decide::TimeBand;
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::ridge::{BestLr, Edge, LrPoint};

/// Every awkward advice with its name.
pub(crate) fn all() -> Vec<(&'static str, Advice)> {
    vec![
        ("bounds", bounds()),
        ("accumulated", accumulated()),
        ("edge", edge()),
        ("huge", huge()),
        ("hostile", hostile()),
        ("empty", empty()),
        ("single", single()),
        ("zero", extreme(0, 0.0)),
        ("largest", extreme(u64::MAX, f64::MAX)),
        ("tiny", extreme(1, f64::MIN_POSITIVE)),
        ("negative", extreme(3, -1.0)),
        ("nan", extreme(2, f64::NAN)),
        ("infinite", extreme(2, f64::INFINITY)),
    ]
}

fn with_phi(mut p: NoisePoint, phi: &Ratio) -> NoisePoint {
    (p.phi, p.low, p.high) = (phi.value(), phi.low(), phi.high());
    phi.grade().clone_into(&mut p.grade);
    p
}

/// φ is known from below only, and one batch size is alone.
fn bounds() -> Advice {
    let mut a = usual();
    for (i, p) in a.noise.points.iter_mut().enumerate() {
        *p = with_phi(p.clone(), &Ratio::LowerBound { low: 200.0 * (i as f64 + 1.0) });
    }
    a.noise.average = Ratio::LowerBound { low: 700.0 };
    a.noise.critical_batch = critical_batch_from_phi(&a.noise.average, Task::Supervised);
    a.equivalent_batch_sizes = [a.batch_size; 2];
    a.grade = Grade::LowerBound;
    a.time_to_target.time_optimal = a.batch_size;
    "max".clone_into(&mut a.speed.model);
    a
}

/// Memory binds: the batch is made of several micro-batches.
fn accumulated() -> Advice {
    let mut a = usual();
    let mib = 1024 * 1024;
    (a.micro_batch, a.accumulation_steps, a.binding) = (12, a.batch_size.div_ceil(12), Binding::Memory);
    a.memory.accumulating = true;
    a.memory.limit_bytes = 60 * mib;
    a.memory.points =
        [1, 2, 4, 8, 12].map(|batch| MemoryPoint { batch, peak_bytes: 45 * mib + batch * 900_000 }).to_vec();
    a.memory.fixed_bytes = 45 * mib;
    a.memory.predicted_peak_bytes = 45 * mib + 12 * 900_000;
    a.memory.predicted_upper_bytes = 58 * mib;
    a.memory.verified_peak_bytes = 59 * mib;
    a.memory.does_not_fit = Some(16);
    for p in &mut a.speed.points {
        p.micro_batch = p.micro_batch.min(12);
    }
    "measured".clone_into(&mut a.speed.model);
    a
}

/// The best learning rate is the largest tried, and the confirmation diverged.
fn edge() -> Advice {
    let mut a = usual();
    a.learning_rate_search.best = BestLr::AtEdge { edge: Edge::High, learning_rate: 0.16 };
    a.learning_rate_search.points = [0.01, 0.02, 0.04, 0.08, 0.16]
        .map(|r| LrPoint { learning_rate: r, loss: Some(2.0 - 5.0 * r) })
        .to_vec();
    a.learning_rate = 0.23;
    for c in a.confirmation.iter_mut().skip(1) {
        (c.train_loss, c.test_loss, c.test_loss_error) = (None, None, None);
        (c.test_accuracy, c.test_accuracy_error) = (None, None);
    }
    (a.grade, a.binding) = (Grade::Extrapolated, Binding::Tried);
    a.noise.average = Ratio::not_identified("3 measurements, at least 8 are needed");
    a.noise.critical_batch = None;
    a
}

/// Batch sizes from 1 to 2²⁴.
fn huge() -> Advice {
    let mut a = usual();
    a.speed.points = (0..=24)
        .map(|k| SpeedPoint { batch: 1 << k, micro_batch: 1 << k, ..a.speed.points[0] })
        .map(|p| SpeedPoint { seconds: 0.002 + 3e-6 * p.batch as f64, spread: 1e-4, ..p })
        .collect();
    a.time_to_target.bands = (0..=24)
        .map(|k| {
            let t = (f64::from(k) - 14.0).abs().exp2().sqrt();
            TimeBand { batch: 1 << k, median: t, low: t * 0.7, high: t * 3.0 }
        })
        .collect();
    a.time_to_target.regrets = a.time_to_target.bands.iter().map(|b| (b.batch, b.median - 1.0)).collect();
    (a.time_to_target.time_optimal, a.batch_size, a.micro_batch) = (1 << 14, 1 << 13, 1 << 13);
    a.equivalent_batch_sizes = [1 << 13, 1 << 15];
    (a.speed.overhead_seconds, a.speed.seconds_per_example, a.speed.knee) = (0.002, 3e-6, 6000.0);
    let gib = 1u64 << 30;
    a.memory.points =
        (0..=13).map(|k| MemoryPoint { batch: 1 << k, peak_bytes: gib + (5 << (20 + k)) }).collect();
    (a.memory.fixed_bytes, a.memory.bytes_per_example) = (gib, 5.0 * 1024.0 * 1024.0);
    a.memory.predicted_peak_bytes = 41 * gib;
    a.memory.predicted_upper_bytes = 43 * gib;
    a.memory.verified_peak_bytes = 41 * gib;
    (a.memory.limit_bytes, a.memory.limit_is_given, a.memory.does_not_fit) = (70 * gib, false, Some(1 << 14));
    a
}

/// Names that are markup.
fn hostile() -> Advice {
    let mut a = usual();
    let bad = || "<script>alert('1')</script><!--\"&".to_owned();
    (a.provenance.model, a.provenance.data.name, a.provenance.device) = (bad(), bad(), bad());
    (a.provenance.optimizer, a.provenance.device_description, a.provenance.platform) = (bad(), bad(), bad());
    (a.provenance.command, a.provenance.commit) = (vec![bad(), bad()], Some(bad()));
    (a.learning_rate_rule, a.reasons, a.next_measurement) = (bad(), vec![bad(), bad()], bad());
    (a.speed.model, a.noise.unit) = (bad(), bad());
    a.noise.average = Ratio::not_identified(bad());
    for p in &mut a.noise.points {
        p.grade = bad();
        p.parameters.iter_mut().for_each(|q| q.name = bad());
    }
    a.learning_rate_search.best = BestLr::NotIdentified { why: bad() };
    a
}

/// Nothing was measured.
fn empty() -> Advice {
    let mut a = usual();
    a.reasons.clear();
    a.next_measurement.clear();
    a.memory.points.clear();
    a.speed.points.clear();
    a.noise.points.clear();
    a.noise.average = Ratio::not_identified("nothing was measured");
    a.noise.critical_batch = None;
    a.learning_rate_search.points.clear();
    a.learning_rate_search.best = BestLr::NotIdentified { why: "nothing was tried".to_owned() };
    a.time_to_target.bands.clear();
    a.time_to_target.regrets.clear();
    a.confirmation.clear();
    a.provenance.command.clear();
    a.grade = Grade::NotIdentified;
    a
}

/// One point of everything.
fn single() -> Advice {
    let mut a = usual();
    a.memory.points.truncate(1);
    a.speed.points.truncate(1);
    a.noise.points.truncate(1);
    a.learning_rate_search.points.truncate(1);
    a.time_to_target.bands.truncate(1);
    a.time_to_target.regrets.truncate(1);
    a.confirmation.truncate(1);
    a
}

/// Every number one and the same.
fn extreme(n: u64, v: f64) -> Advice {
    let mut a = usual();
    (a.batch_size, a.micro_batch, a.accumulation_steps, a.learning_rate) = (n, n, n, v);
    a.equivalent_batch_sizes = [n, 0];
    let m = &mut a.memory;
    m.points = vec![MemoryPoint { batch: n, peak_bytes: n }; 2];
    (m.fixed_bytes, m.bytes_per_example, m.predicted_peak_bytes, m.predicted_upper_bytes) = (n, v, n, n);
    (m.verified_peak_bytes, m.limit_bytes, m.data_bytes, m.does_not_fit) = (n, n, n, Some(n));
    let s = &mut a.speed;
    s.points =
        vec![SpeedPoint { batch: n, micro_batch: n, seconds: v, spread: v, n_steps: n, data_wait: v }; 2];
    "overlap".clone_into(&mut s.model);
    (s.gamma, s.overhead_seconds, s.seconds_per_example, s.misfit) = (Some(v), v, v, v);
    (s.knee, s.knee_efficiency) = (v, v);
    a.noise.confidence = v;
    for p in &mut a.noise.points {
        (p.examples_seen, p.g2, p.tr_sigma, p.loss) = (n, v, v, v);
        (p.phi, p.low, p.high) = (p.phi.map(|_| v), p.low.map(|_| v), p.high.map(|_| v));
    }
    a.noise.average = Ratio::Measured { value: v, low: v, high: v };
    if let Some(c) = &mut a.noise.critical_batch {
        (c.median, c.ln_sd, c.low, c.high) = (v, v, v, v);
    }
    a.learning_rate_search.points = vec![LrPoint { learning_rate: v, loss: Some(v) }; 2];
    a.learning_rate_search.best = BestLr::Interior { learning_rate: v, low: v, high: v, loss: v };
    a.time_to_target.bands = vec![TimeBand { batch: n, median: v, low: v, high: v }; 2];
    a.time_to_target.regrets = vec![(n, v)];
    (a.time_to_target.time_optimal, a.time_to_target.closed_form) = (n, Some(v));
    let c = Confirmation {
        batch: n,
        learning_rate: v,
        seed: n,
        examples: n,
        steps: n,
        train_loss: Some(v),
        test_loss: Some(v),
        test_loss_error: Some(v),
        test_accuracy: Some(v),
        test_accuracy_error: Some(v),
        seconds: v,
    };
    a.confirmation = vec![c.clone(), c];
    (a.provenance.started_at, a.provenance.seed) = (n, n);
    a
}
