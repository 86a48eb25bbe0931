//! The built-in workloads: two image classifiers on any image data set.

use super::{OptimizerName, Options};
use batchwise_data::{DataError, GlyphsConfig, Schema, Splits};
use batchwise_lab::Workload;
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig, SgdConfig};
use candle_nn::{ModuleT, VarBuilder};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cnn,
    Mlp,
}

struct Images {
    kind: Kind,
    data: String,
    data_dir: Option<PathBuf>,
    optimizer: OptimizerName,
}

/// Two stages of convolution and pooling, 16 and 32 channels, then 64 hidden units.
pub(super) fn cnn(options: &Options) -> Result<Box<dyn Workload>, String> {
    Ok(Box::new(images(Kind::Cnn, options)))
}

/// Two hidden layers of 128 units.
pub(super) fn mlp(options: &Options) -> Result<Box<dyn Workload>, String> {
    Ok(Box::new(images(Kind::Mlp, options)))
}

fn images(kind: Kind, options: &Options) -> Images {
    let Options { data, data_dir, optimizer, .. } = options;
    Images { kind, data: data.clone(), data_dir: data_dir.clone(), optimizer: *optimizer }
}

impl Workload for Images {
    fn model_name(&self) -> String {
        match self.kind {
            Kind::Cnn => "cnn",
            Kind::Mlp => "mlp",
        }
        .to_owned()
    }

    fn open(&self) -> Result<Splits, DataError> {
        batchwise_data::open(&self.data, self.data_dir.as_deref(), &GlyphsConfig::default())
    }

    fn build(&self, schema: &Schema, vb: VarBuilder<'_>) -> candle_core::Result<Box<dyn ModuleT + Send>> {
        let classes = schema.n_classes;
        match self.kind {
            Kind::Mlp => {
                let config = MlpConfig { inputs: schema.input_len(), hidden: vec![128, 128], classes };
                Ok(Box::new(Mlp::new(&config, vb)?))
            }
            Kind::Cnn => {
                let [in_channels, height, width] = schema.input_shape[..] else {
                    candle_core::bail!(
                        "the cnn takes images (channels, rows, columns), not {:?}",
                        schema.input_shape
                    );
                };
                let config =
                    CnnConfig { in_channels, height, width, channels: vec![16, 32], hidden: 64, classes };
                Ok(Box::new(Cnn::new(&config, vb)?))
            }
        }
    }

    fn optimizer(&self) -> OptimizerConfig {
        match self.optimizer {
            OptimizerName::Sgd => OptimizerConfig::Sgd(SgdConfig::USUAL),
            OptimizerName::AdamW => OptimizerConfig::AdamW(AdamWConfig::USUAL),
        }
    }
}
