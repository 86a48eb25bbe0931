//! A small language model: a decoder of transformer blocks with the norms before (Radford et al. 2019).

use crate::layers::{self, CausalSelfAttention, Dropout, Embedding, LayerNorm, Linear};
use crate::ops::{self, Activation};
use candle_core::{Result, Tensor};
use candle_nn::{Module, ModuleT, VarBuilder};

/// Sizes of a [`Gpt`].
#[derive(Debug, Clone, PartialEq)]
pub struct GptConfig {
    /// Number of tokens.
    pub vocabulary: usize,
    /// Positions, at most.
    pub context: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Heads, a divisor of the width.
    pub heads: usize,
    /// Blocks.
    pub layers: usize,
    /// Share of what attention and the feed-forward part give that is dropped in training.
    pub dropout: f64,
    /// Of the dropout.
    pub seed: u64,
}

/// Token and position embeddings, blocks of causal self-attention and a feed-forward part, a last norm, and a head
/// without bias that is not tied to the embedding.
#[derive(Debug, Clone)]
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

#[derive(Debug, Clone)]
struct Block {
    attention_norm: LayerNorm,
    attention: CausalSelfAttention,
    feed_norm: LayerNorm,
    feed_in: Linear,
    feed_out: Linear,
    drops: [Dropout; 2],
}

impl Gpt {
    /// Creates the parameters under `tokens`, `positions`, `block0`, …, `norm` and `head`.
    ///
    /// # Errors
    /// Heads that do not divide the width; a dropout outside [0, 1).
    pub fn new(config: &GptConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let width = config.width;
        let blocks = (0..config.layers)
            .map(|i| {
                let vb = vb.pp(format!("block{i}"));
                let drop = |name: &str| {
                    layers::dropout(config.dropout, config.seed, format!("block{i}.{name}.dropout"))
                };
                Ok(Block {
                    attention_norm: layers::layer_norm(width, vb.pp("attention_norm"))?,
                    attention: layers::causal_self_attention(width, config.heads, vb.pp("attention"))?,
                    feed_norm: layers::layer_norm(width, vb.pp("feed_norm"))?,
                    feed_in: layers::linear(width, 4 * width, Activation::Gelu, vb.pp("feed_in"))?,
                    feed_out: layers::linear(4 * width, width, Activation::Identity, vb.pp("feed_out"))?,
                    drops: [drop("attention")?, drop("feed")?],
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            tokens: layers::embedding(config.vocabulary, width, vb.pp("tokens"))?,
            positions: layers::embedding(config.context, width, vb.pp("positions"))?,
            blocks,
            norm: layers::layer_norm(width, vb.pp("norm"))?,
            head: layers::linear_no_bias(width, config.vocabulary, Activation::Identity, vb.pp("head"))?,
        })
    }
}

impl ModuleT for Gpt {
    /// Token ids (n, positions) of u32 to logits (n, positions, vocabulary).
    fn forward_t(&self, ids: &Tensor, train: bool) -> Result<Tensor> {
        let (n, positions) = ids.dims2()?;
        // One row of positions for each example, so that each example uses them itself.
        let at: Vec<u32> = (0..n).flat_map(|_| 0..positions as u32).collect();
        let at = Tensor::from_vec(at, (n, positions), ids.device())?;
        let mut x = ops::add(&self.tokens.forward(ids)?, &self.positions.forward(&at)?)?;
        for block in &self.blocks {
            let y = block.attention.forward(&block.attention_norm.forward(&x)?)?;
            x = ops::add(&x, &block.drops[0].forward_t(&y, train)?)?;
            let y = block.feed_out.forward(&block.feed_in.forward(&block.feed_norm.forward(&x)?)?)?;
            x = ops::add(&x, &block.drops[1].forward_t(&y, train)?)?;
        }
        self.head.forward(&self.norm.forward(&x)?)
    }
}
