//! Models that train without surprises: images (n, channels, height, width) to logits (n, classes), and token ids
//! (n, positions) to logits (n, positions, vocabulary).

mod cnn;
mod gpt;
mod mlp;
mod resnet;

pub use cnn::{Cnn, CnnConfig};
pub use gpt::{Gpt, GptConfig};
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{Norm, ResNet, ResNetConfig};
