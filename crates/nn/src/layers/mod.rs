//! Trainable layers over [`crate::ops`], built from candle's `VarBuilder` and used as candle's `Module` or `ModuleT`,
//! so that they mix with candle's own.

mod attention;
mod conv;
mod dropout;
mod embedding;
mod linear;
mod norm;

pub use attention::{CausalSelfAttention, causal_self_attention};
pub use conv::{Conv1d, Conv2d, conv1d, conv1d_no_bias, conv2d, conv2d_no_bias};
pub use dropout::{Dropout, dropout};
pub use embedding::{Embedding, embedding};
pub use linear::{Linear, linear, linear_no_bias};
pub use norm::{
    BatchNorm, GroupNorm, LayerNorm, RmsNorm, batch_norm, ghost_batch_norm, group_norm, layer_norm, rms_norm,
};

use crate::ops::Activation;
use candle_nn::Init;
use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};

/// He et al. 2015: normal with variance gain²/fan-in; gain² is 2 before a ReLU and its like, else 1.
fn he_normal(activation: Activation) -> Init {
    let non_linearity = match activation {
        Activation::Identity => NonLinearity::Linear,
        Activation::Relu | Activation::Gelu | Activation::GeluErf | Activation::Silu => NonLinearity::ReLU,
    };
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity }
}
