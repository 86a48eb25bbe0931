//! Models that classify images, (n, channels, height, width) to logits (n, classes).

mod cnn;
mod mlp;

pub use cnn::{Cnn, CnnConfig};
pub use mlp::{Mlp, MlpConfig};
