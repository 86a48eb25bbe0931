//! SGD and AdamW on many elements against the recurrences, one number at a time.

use batchwise_nn::gradients::Tap;
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig, SgdConfig};
use batchwise_nn::{Gradients, Parameters};
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;

const ADAMW: OptimizerConfig =
    OptimizerConfig::AdamW(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::USUAL });
const SGD: OptimizerConfig = OptimizerConfig::Sgd(SgdConfig { weight_decay: 0.01, ..SgdConfig::USUAL });

/// One parameter `w` of ones, with its loss Σ w²·c/2 so that the gradient is c·w.
struct Bowl {
    parameters: Parameters,
    curvature: Tensor,
}

impl Bowl {
    fn new(n: usize) -> Self {
        let parameters = Parameters::new();
        parameters.builder(0, DType::F64, &Device::Cpu).get_with_hints(n, "w", Init::Const(1.0)).unwrap();
        let curvature: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
        Self { parameters, curvature: Tensor::from_vec(curvature, n, &Device::Cpu).unwrap() }
    }

    fn gradients(&self) -> Gradients {
        let w = self.parameters.get("w").unwrap();
        let loss = ((w.sqr().unwrap() * &self.curvature).unwrap() * 0.5).unwrap().sum_all().unwrap();
        let mut gradients = Gradients::new();
        gradients.add(&self.parameters, &mut loss.backward().unwrap(), Tap::Off).unwrap();
        gradients
    }

    fn values(&self) -> Vec<f64> {
        self.parameters.get("w").unwrap().to_vec1().unwrap()
    }
}

/// The textbook recurrences, one number at a time.
fn by_hand(config: OptimizerConfig, curvature: f64, learning_rate: f64, n_steps: i32) -> f64 {
    let (mut w, mut m, mut v) = (1.0f64, 0.0, 0.0);
    for t in 1..=n_steps {
        let g = curvature * w;
        match config {
            OptimizerConfig::Sgd(c) => {
                m = c.momentum * m + g + c.weight_decay * w;
                w -= learning_rate * m;
            }
            OptimizerConfig::AdamW(c) => {
                w -= learning_rate * c.weight_decay * w;
                m = c.beta1 * m + (1.0 - c.beta1) * g;
                v = c.beta2 * v + (1.0 - c.beta2) * g * g;
                let (m_hat, v_hat) = (m / (1.0 - c.beta1.powi(t)), v / (1.0 - c.beta2.powi(t)));
                w -= learning_rate * m_hat / (v_hat.sqrt() + c.epsilon);
            }
            other => panic!("no recurrence for {other}"),
        }
    }
    w
}

#[test]
fn steps_follow_the_recurrences() {
    for config in [SGD, ADAMW] {
        // Enough elements for several pieces.
        let bowl = Bowl::new(40_000);
        let mut optimizer = config.build(&bowl.parameters).unwrap();
        for _ in 0..5 {
            optimizer.step(&bowl.parameters, &bowl.gradients(), 1e-6).unwrap();
        }
        for (i, w) in bowl.values().into_iter().enumerate().step_by(997) {
            let want = by_hand(config, 1.0 + i as f64, 1e-6, 5);
            assert!((w - want).abs() < 1e-13, "{config:?} element {i}: {w} is not {want}");
        }
    }
}

#[test]
fn strange_gradients_are_refused() {
    let (bowl, other) = (Bowl::new(3), Bowl::new(4));
    let mut optimizer = SGD.build(&bowl.parameters).unwrap();
    assert!(optimizer.step(&bowl.parameters, &other.gradients(), 0.1).is_err());
    assert!(optimizer.step(&bowl.parameters, &Gradients::new(), 0.1).is_err());
    assert_eq!(bowl.values(), [1.0; 3]);
}
