//! The built-in workloads: a model for images, one for any values, one for sequences of tokens.

use super::{OptimizerName, Options};
use batchwise_data::{DataError, ElementType, Schema, Splits, Target};
use batchwise_lab::Workload;
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{
    AdamConfig, AdamWConfig, LambConfig, LarsConfig, LionConfig, OptimizerConfig, RmsPropConfig, SgdConfig,
};
use candle_nn::{ModuleT, VarBuilder};
use std::path::PathBuf;

/// The built-in model that suits a data set best, by name.
pub(super) fn usual_model(schema: &Schema) -> &'static str {
    match (&schema.target, schema.input_shape.len()) {
        (Target::NextToken { .. }, _) => "gpt",
        (_, 3) => "cnn",
        _ => "mlp",
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cnn,
    Mlp,
    Gpt,
}

struct BuiltIn {
    kind: Kind,
    data: String,
    data_dir: Option<PathBuf>,
    optimizer: OptimizerName,
}

/// Two stages of convolution and pooling, 16 and 32 channels, then 64 hidden units.
pub(super) fn cnn(options: &Options) -> Result<Box<dyn Workload>, String> {
    Ok(Box::new(built_in(Kind::Cnn, options)))
}

/// Two hidden layers of 128 units.
pub(super) fn mlp(options: &Options) -> Result<Box<dyn Workload>, String> {
    Ok(Box::new(built_in(Kind::Mlp, options)))
}

/// Two blocks of four heads, 64 wide, without dropout.
pub(super) fn gpt(options: &Options) -> Result<Box<dyn Workload>, String> {
    Ok(Box::new(built_in(Kind::Gpt, options)))
}

fn built_in(kind: Kind, options: &Options) -> BuiltIn {
    let Options { data, data_dir, optimizer, .. } = options;
    let usual = match kind {
        Kind::Cnn | Kind::Mlp => OptimizerName::Sgd,
        Kind::Gpt => OptimizerName::AdamW,
    };
    let optimizer = optimizer.unwrap_or(usual);
    BuiltIn { kind, data: data.clone(), data_dir: data_dir.clone(), optimizer }
}

impl Workload for BuiltIn {
    fn model_name(&self) -> String {
        match self.kind {
            Kind::Cnn => "cnn",
            Kind::Mlp => "mlp",
            Kind::Gpt => "gpt",
        }
        .to_owned()
    }

    fn open(&self) -> Result<Splits, DataError> {
        batchwise_data::open(&self.data, self.data_dir.as_deref())
    }

    fn build(&self, schema: &Schema, vb: VarBuilder<'_>) -> candle_core::Result<Box<dyn ModuleT + Send>> {
        let outputs = schema.n_outputs();
        match self.kind {
            Kind::Mlp => {
                if schema.input_type != ElementType::F32 {
                    candle_core::bail!("the mlp takes measured values, not tokens: use gpt");
                }
                let config =
                    MlpConfig { inputs: schema.input_len(), hidden: vec![128, 128], classes: outputs };
                Ok(Box::new(Mlp::new(&config, vb)?))
            }
            Kind::Cnn => {
                let [in_channels, height, width] = schema.input_shape[..] else {
                    candle_core::bail!(
                        "the cnn takes images (channels, rows, columns), not {:?}: use {}",
                        schema.input_shape,
                        usual_model(schema)
                    );
                };
                let config = CnnConfig {
                    in_channels,
                    height,
                    width,
                    channels: vec![16, 32],
                    hidden: 64,
                    classes: outputs,
                };
                Ok(Box::new(Cnn::new(&config, vb)?))
            }
            Kind::Gpt => {
                let (Target::NextToken { n_tokens }, [context]) = (&schema.target, &schema.input_shape[..])
                else {
                    candle_core::bail!(
                        "the gpt takes sequences of tokens, not {:?} values: use {}",
                        schema.input_shape,
                        usual_model(schema)
                    );
                };
                let config = GptConfig {
                    vocabulary: *n_tokens,
                    context: *context,
                    width: 64,
                    heads: 4,
                    layers: 2,
                    dropout: 0.0,
                    seed: 0,
                };
                Ok(Box::new(Gpt::new(&config, vb)?))
            }
        }
    }

    fn anchor_batch(&self) -> u64 {
        match self.kind {
            Kind::Cnn | Kind::Mlp => 64,
            // Of sequences, each of which holds many targets.
            Kind::Gpt => 16,
        }
    }

    fn optimizer(&self) -> OptimizerConfig {
        match self.optimizer {
            OptimizerName::Sgd => OptimizerConfig::Sgd(SgdConfig::USUAL),
            OptimizerName::Adam => OptimizerConfig::Adam(AdamConfig::USUAL),
            OptimizerName::AdamW => OptimizerConfig::AdamW(AdamWConfig::USUAL),
            OptimizerName::RmsProp => OptimizerConfig::RmsProp(RmsPropConfig::USUAL),
            OptimizerName::Lion => OptimizerConfig::Lion(LionConfig::USUAL),
            OptimizerName::Lars => OptimizerConfig::Lars(LarsConfig::USUAL),
            OptimizerName::Lamb => OptimizerConfig::Lamb(LambConfig::USUAL),
        }
    }
}
