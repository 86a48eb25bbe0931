//! Pieces of advice to draw: a usual one, and awkward ones.

use crate::advice::{
    Advice, Binding, Confirmation, LearningRateSearch, MemoryAdvice, MemoryPoint, NoiseAdvice, NoisePoint,
    ParameterNoise, SCHEMA, SpeedAdvice, SpeedPoint, TimeToTarget,
};
use crate::provenance::{DataProvenance, Provenance};
use batchwise_estimate::critical::{Task, critical_batch_from_phi};
use batchwise_estimate::decide::{Candidate, decide, time_to_target_band};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::ridge::{LrPoint, best_learning_rate};
use std::sync::LazyLock;

const OVERHEAD: f64 = 2.1e-3;
const PER_EXAMPLE: f64 = 2.4e-5;

fn speed_point(batch: u64, micro_batch: u64, wobble: f64) -> SpeedPoint {
    let seconds = (OVERHEAD + PER_EXAMPLE * batch as f64) * wobble;
    SpeedPoint { batch, micro_batch, seconds, spread: seconds * 0.02, n_steps: 40, data_wait: 0.012 }
}

fn noise_point(examples_seen: u64, phi: Ratio) -> NoisePoint {
    let parameter =
        |name: &str, phi: Ratio| ParameterNoise { name: name.to_owned(), g2: 0.0031, tr_sigma: 1.9, phi };
    NoisePoint {
        examples_seen,
        g2: 0.0125,
        tr_sigma: 14.2,
        phi: phi.value(),
        low: phi.low(),
        high: phi.high(),
        grade: phi.grade().to_owned(),
        n_measurements: 12,
        micro_batches: 8,
        micro_batch: 32,
        loss: 2.3 / (1.0 + examples_seen as f64 / 4000.0),
        parameters: vec![
            parameter("conv1.weight", phi.clone()),
            parameter("conv1.bias", Ratio::LowerBound { low: 310.0 }),
            parameter("head.weight", Ratio::not_identified("the mean of the denominator is not positive")),
            parameter("head.bias", Ratio::WholeLine),
        ],
    }
}

fn confirmation(batch: u64, accuracy: f64, loss: f64, seconds: f64) -> Confirmation {
    Confirmation {
        batch,
        learning_rate: 0.0914 * (batch as f64 / 128.0).sqrt(),
        seed: 7,
        examples: 120_000,
        steps: 120_000 / batch,
        train_loss: Some(loss),
        test_loss: Some(loss * 1.2),
        test_loss_error: Some(loss / 60.0),
        test_accuracy: Some(accuracy),
        test_accuracy_error: Some((accuracy * (1.0 - accuracy) / 4000.0).sqrt()),
        seconds,
    }
}

/// What a usual run gives.
pub(crate) fn usual() -> Advice {
    static USUAL: LazyLock<Advice> = LazyLock::new(build);
    USUAL.clone()
}

fn build() -> Advice {
    let batches = [4u64, 8, 16, 32, 64, 128, 256, 512, 1024];
    let wobbles = [1.02, 0.98, 1.01, 0.99, 1.0, 1.03, 0.98, 1.0, 1.01];
    let points: Vec<SpeedPoint> = batches.iter().zip(wobbles).map(|(b, w)| speed_point(*b, *b, w)).collect();
    let average = Ratio::Measured { value: 780.0, low: 560.0, high: 1090.0 };
    let critical = critical_batch_from_phi(&average, Task::Supervised);
    let candidates: Vec<Candidate> = points
        .iter()
        .map(|p| Candidate { batch: p.batch, seconds: p.seconds, relative_error: 0.02 })
        .collect();
    let belief = critical.clone().unwrap();
    let decision = decide(&candidates, &belief, 1000, 7).unwrap();
    let bands = time_to_target_band(&candidates, &belief, 1000, 7).unwrap();
    let rates = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64];
    let losses =
        [Some(1.62), Some(1.21), Some(0.93), Some(0.71), Some(0.62), Some(0.66), Some(0.98), None, None];
    let lr: Vec<LrPoint> =
        rates.iter().zip(losses).map(|(r, loss)| LrPoint { learning_rate: *r, loss }).collect();
    let mib = 1024 * 1024;
    let memory: Vec<MemoryPoint> = [1u64, 8, 16, 32, 64, 128]
        .map(|batch| MemoryPoint { batch, peak_bytes: (38 * mib + batch * 900_000).max(42 * mib) })
        .to_vec();
    Advice {
        schema: SCHEMA,
        batch_size: decision.batch_size,
        micro_batch: decision.batch_size,
        accumulation_steps: 1,
        learning_rate: 0.0914,
        learning_rate_rule: "the best at batch 32, scaled by the square root of the batch ratio".to_owned(),
        equivalent_batch_sizes: decision.equivalent.into(),
        binding: Binding::NoiseScale,
        expected_regret: 0.02,
        grade: Grade::Measured,
        reasons: vec![
            "Batch sizes up to 128 are expected to reach the target in 5 % of the least time.".to_owned(),
            "The gradient noise scale averages 780 examples (560–1,090), which implies a critical batch of about 260."
                .to_owned(),
            "Throughput reaches 90 % of its peak at batch 788; memory does not bind.".to_owned(),
        ],
        next_measurement: "Train to a target loss at batch 32, 128 and 512 (`batchwise sweep`): the ratio of \
                           noise scale to critical batch is the largest part of the remaining uncertainty."
            .to_owned(),
        memory: MemoryAdvice {
            points: memory,
            accumulating: false,
            fixed_bytes: 38 * mib,
            bytes_per_example: 900_000.0,
            predicted_peak_bytes: 38 * mib + decision.batch_size * 900_000,
            predicted_upper_bytes: (38 * mib + decision.batch_size * 900_000) * 11 / 10,
            verified_peak_bytes: (38 * mib + decision.batch_size * 900_000) * 102 / 100,
            limit_bytes: 512 * mib,
            limit_is_given: true,
            data_bytes: 31 * mib,
            does_not_fit: Some(1024),
        },
        speed: SpeedAdvice {
            points,
            model: "sum".to_owned(),
            gamma: None,
            step_time: None,
            overhead_seconds: OVERHEAD,
            seconds_per_example: PER_EXAMPLE,
            misfit: 0.031,
            knee: 9.0 * OVERHEAD / PER_EXAMPLE,
            knee_efficiency: 0.9,
        },
        noise: NoiseAdvice {
            unit: "examples".to_owned(),
            confidence: 0.95,
            anchor_batch: 32,
            learning_rate: 0.031,
            points: vec![
                noise_point(0, Ratio::Measured { value: 21.0, low: 14.0, high: 33.0 }),
                noise_point(10_000, Ratio::Measured { value: 340.0, low: 210.0, high: 700.0 }),
                noise_point(20_000, Ratio::Measured { value: 810.0, low: 420.0, high: 2500.0 }),
                noise_point(30_000, Ratio::LowerBound { low: 640.0 }),
                noise_point(40_000, Ratio::WholeLine),
                noise_point(50_000, Ratio::Measured { value: 1500.0, low: 0.0, high: 5200.0 }),
            ],
            average,
            critical_batch: critical,
        },
        learning_rate_search: LearningRateSearch {
            anchor_batch: 32,
            examples: 20_000,
            best: best_learning_rate(&lr),
            points: lr,
        },
        time_to_target: TimeToTarget {
            bands,
            regrets: decision.regrets,
            time_optimal: decision.time_optimal,
            closed_form: Some(151.0),
        },
        confirmation: vec![
            confirmation(decision.batch_size / 2, 0.9712, 0.081, 19.4),
            confirmation(decision.batch_size, 0.9725, 0.084, 14.1),
            confirmation(decision.batch_size * 2, 0.9664, 0.097, 11.7),
        ],
        provenance: Provenance {
            version: "0.1.0".to_owned(),
            commit: Some("4be1f0c2".to_owned()),
            command: ["batchwise", "advise", "--model", "cnn", "--data", "shapes", "--memory", "512MiB", "--seed", "7"]
                .map(str::to_owned)
                .to_vec(),
            seed: 7,
            model: "cnn (2 convolutions, 52,938 parameters)".to_owned(),
            optimizer: "SGD, momentum 0.9".to_owned(),
            data: DataProvenance {
                name: "shapes".to_owned(),
                train_hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
                test_hash: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752".to_owned(),
                train_examples: 24_000,
                test_examples: 4_000,
            },
            device: "cpu".to_owned(),
            device_description: "AMD EPYC 9B14, 2 cores".to_owned(),
            threads: 2,
            platform: "linux x86_64".to_owned(),
            started_at: 1_785_585_599,
        },
    }
}
