//! A workload with the hyper-parameters of a trial.

use crate::Workload;
use crate::trial::Parameter;
use batchwise_data::{DataError, Schema, Splits};
use batchwise_nn::loss::Loss;
use batchwise_nn::optim::OptimizerConfig;
use candle_nn::{ModuleT, VarBuilder};
use std::collections::BTreeMap;

/// A workload whose optimizer has other hyper-parameters.
pub(super) struct Tuned {
    inner: Box<dyn Workload>,
    optimizer: OptimizerConfig,
    /// Largest norm of the gradient, if it is one of the hyper-parameters.
    pub(super) clip_norm: Option<f64>,
}

impl Tuned {
    /// The workload with these hyper-parameters: its own first, then `clip_norm`, then the optimizer's.
    ///
    /// # Errors
    /// A name that nothing has, a value that is not allowed, in words.
    pub(super) fn new(
        mut inner: Box<dyn Workload>,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<Self, String> {
        let mut left = Vec::new();
        for (name, value) in parameters {
            if !inner.set(name, value).map_err(|problem| format!("`{name}` = {value}: {problem}"))? {
                left.push((name, value));
            }
        }
        let (mut optimizer, mut clip_norm) = (inner.optimizer(), None);
        for (name, value) in left {
            match name.as_str() {
                "clip_norm" => clip_norm = Some(number(name, value)?),
                _ => set(&mut optimizer, name, value)?,
            }
        }
        Ok(Self { inner, optimizer, clip_norm })
    }
}

/// A hyper-parameter by name, its allowed range checked when the optimizer is built.
fn set(optimizer: &mut OptimizerConfig, name: &str, value: &Parameter) -> Result<(), String> {
    if let (OptimizerConfig::Sgd(sgd), "nesterov") = (&mut *optimizer, name) {
        return match value {
            Parameter::Flag(flag) => {
                sgd.nesterov = *flag;
                Ok(())
            }
            _ => Err(format!("`nesterov` = {value}: true or false is allowed")),
        };
    }
    let text = optimizer.to_string();
    let nesterov = if matches!(optimizer, OptimizerConfig::Sgd(_)) { ", nesterov" } else { "" };
    let mut slots = slots(optimizer);
    let names: Vec<&str> = slots.iter().map(|slot| slot.0).collect();
    let names = names.join(", ");
    match slots.iter_mut().find(|slot| slot.0 == name) {
        Some((_, slot)) => {
            **slot = number(name, value)?;
            Ok(())
        }
        None => Err(format!(
            "`{name}` is no hyper-parameter of this workload or of {text}: there are clip_norm, {names}{nesterov}"
        )),
    }
}

/// The numbers among an optimizer's hyper-parameters, by name.
fn slots(optimizer: &mut OptimizerConfig) -> Vec<(&'static str, &mut f64)> {
    macro_rules! of {
        ($config:ident: $($name:ident),+) => { vec![$((stringify!($name), &mut $config.$name)),+] };
    }
    match optimizer {
        OptimizerConfig::Sgd(o) => of!(o: momentum, dampening, weight_decay),
        OptimizerConfig::Adam(o) => of!(o: beta1, beta2, epsilon, weight_decay),
        OptimizerConfig::AdamW(o) => of!(o: beta1, beta2, epsilon, weight_decay),
        OptimizerConfig::RmsProp(o) => of!(o: alpha, epsilon, momentum, weight_decay),
        OptimizerConfig::Lion(o) => of!(o: beta1, beta2, weight_decay),
        OptimizerConfig::Lars(o) => of!(o: momentum, weight_decay, trust_coefficient, epsilon),
        OptimizerConfig::Lamb(o) => of!(o: beta1, beta2, epsilon, weight_decay),
    }
}

fn number(name: &str, value: &Parameter) -> Result<f64, String> {
    match value {
        Parameter::Integer(n) => Ok(*n as f64),
        Parameter::Number(x) => Ok(*x),
        _ => Err(format!("`{name}` = {value}: a number is allowed")),
    }
}

impl Workload for Tuned {
    fn model_name(&self) -> String {
        self.inner.model_name()
    }

    fn open(&self) -> Result<Splits, DataError> {
        self.inner.open()
    }

    fn build(&self, schema: &Schema, vb: VarBuilder<'_>) -> candle_core::Result<Box<dyn ModuleT + Send>> {
        self.inner.build(schema, vb)
    }

    fn loss(&self, schema: &Schema) -> Loss {
        self.inner.loss(schema)
    }

    fn optimizer(&self) -> OptimizerConfig {
        self.optimizer
    }

    fn anchor_batch(&self) -> u64 {
        self.inner.anchor_batch()
    }

    fn usual_learning_rate(&self) -> f64 {
        self.inner.usual_learning_rate()
    }
}
