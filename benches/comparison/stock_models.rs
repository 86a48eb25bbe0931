//! The models as a candle program writes them, with candle's own layers; parameters are named as ours are.

use super::{CLASSES, CONTEXT, HEADS, LAYERS, Model, VOCABULARY, WIDTH};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Embedding, Init, Linear, Module, ModuleT, VarBuilder, batch_norm,
    conv2d, conv2d_no_bias, embedding, linear, linear_no_bias, ops,
};

/// What gives the logits (rows, classes) of a batch.
pub(super) type Network = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

pub(super) fn build(model: Model, vb: VarBuilder<'_>) -> Result<Network> {
    match model {
        Model::Mlp => mlp(vb),
        Model::LeNet => lenet(vb),
        Model::ResNet => resnet(vb),
        Model::Gpt => gpt(vb),
    }
}

fn mlp(vb: VarBuilder<'_>) -> Result<Network> {
    let first = linear(784, 512, vb.pp("layer0"))?;
    let second = linear(512, 256, vb.pp("layer1"))?;
    let head = linear(256, CLASSES, vb.pp("layer2"))?;
    Ok(Box::new(move |x| {
        let x = first.forward(x)?.relu()?;
        let x = second.forward(&x)?.relu()?;
        head.forward(&x)
    }))
}

fn lenet(vb: VarBuilder<'_>) -> Result<Network> {
    let padded = Conv2dConfig { padding: 1, ..Default::default() };
    let convolutions =
        [conv2d(1, 32, 3, padded, vb.pp("conv0"))?, conv2d(32, 64, 3, padded, vb.pp("conv1"))?];
    let hidden = linear(64 * 7 * 7, 128, vb.pp("hidden"))?;
    let head = linear(128, CLASSES, vb.pp("head"))?;
    Ok(Box::new(move |x| {
        let mut x = x.clone();
        for convolution in &convolutions {
            x = convolution.forward(&x)?.relu()?.max_pool2d(2)?;
        }
        head.forward(&hidden.forward(&x.flatten_from(1)?)?.relu()?)
    }))
}

/// A convolution without a bias, and batch norm.
struct Convolution {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Convolution {
    fn new(inner: usize, out: usize, kernel: usize, stride: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let config = Conv2dConfig { stride, padding: kernel / 2, ..Default::default() };
        let conv = conv2d_no_bias(inner, out, kernel, config, vb.pp("conv"))?;
        Ok(Self { conv, norm: batch_norm(out, 1e-5, vb.pp("norm"))? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward_t(&self.conv.forward(x)?, true)
    }
}

fn resnet(vb: VarBuilder<'_>) -> Result<Network> {
    let stem = Convolution::new(3, 16, 3, 1, vb.pp("stem"))?;
    let mut blocks = Vec::new();
    for (i, (inner, out, stride)) in [(16, 16, 1), (16, 32, 2), (32, 64, 2)].into_iter().enumerate() {
        let vb = vb.pp(format!("block{i}"));
        let shortcut = match stride {
            1 => None,
            _ => Some(Convolution::new(inner, out, 1, stride, vb.pp("shortcut"))?),
        };
        let first = Convolution::new(inner, out, 3, stride, vb.pp("first"))?;
        blocks.push((first, Convolution::new(out, out, 3, 1, vb.pp("second"))?, shortcut));
    }
    let head = linear(64, CLASSES, vb.pp("head"))?;
    Ok(Box::new(move |x| {
        let mut x = stem.forward(x)?.relu()?;
        for (first, second, shortcut) in &blocks {
            let y = second.forward(&first.forward(&x)?.relu()?)?;
            let rest = match shortcut {
                Some(shortcut) => shortcut.forward(&x)?,
                None => x,
            };
            x = (y + rest)?.relu()?;
        }
        head.forward(&x.flatten_from(2)?.mean(D::Minus1)?)
    }))
}

/// Layer norm by candle's plain function: its fused one gives no gradient.
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get_with_hints(WIDTH, "weight", Init::Const(1.0))?;
        Ok(Self { weight, bias: vb.get_with_hints(WIDTH, "bias", Init::Const(0.0))? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm_slow(x, &self.weight, &self.bias, 1e-5)
    }
}

struct Block {
    attention_norm: Norm,
    qkv: Linear,
    projection: Linear,
    feed_norm: Norm,
    feed_in: Linear,
    feed_out: Linear,
}

impl Block {
    fn new(vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            attention_norm: Norm::new(vb.pp("attention_norm"))?,
            qkv: linear(WIDTH, 3 * WIDTH, vb.pp("attention.qkv"))?,
            projection: linear(WIDTH, WIDTH, vb.pp("attention.projection"))?,
            feed_norm: Norm::new(vb.pp("feed_norm"))?,
            feed_in: linear(WIDTH, 4 * WIDTH, vb.pp("feed_in"))?,
            feed_out: linear(4 * WIDTH, WIDTH, vb.pp("feed_out"))?,
        })
    }

    /// `mask` is −∞ where a position must not look.
    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (n, positions, _) = x.dims3()?;
        let qkv = self.qkv.forward(&self.attention_norm.forward(x)?)?;
        let part = |i: usize| {
            let part = qkv.narrow(2, i * WIDTH, WIDTH)?;
            part.reshape((n, positions, HEADS, WIDTH / HEADS))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scores = (q.matmul(&k.t()?)? * ((WIDTH / HEADS) as f64).powf(-0.5))?;
        let y = ops::softmax(&scores.broadcast_add(mask)?, D::Minus1)?.matmul(&v)?;
        let y = y.transpose(1, 2)?.reshape((n, positions, WIDTH))?;
        let x = (x + self.projection.forward(&y)?)?;
        let y = self.feed_in.forward(&self.feed_norm.forward(&x)?)?.gelu()?;
        x + self.feed_out.forward(&y)?
    }
}

fn gpt(vb: VarBuilder<'_>) -> Result<Network> {
    let tokens: Embedding = embedding(VOCABULARY, WIDTH, vb.pp("tokens"))?;
    let positions = embedding(CONTEXT, WIDTH, vb.pp("positions"))?;
    let blocks: Vec<Block> =
        (0..LAYERS).map(|i| Block::new(vb.pp(format!("block{i}")))).collect::<Result<_>>()?;
    let norm = Norm::new(vb.pp("norm"))?;
    let head = linear_no_bias(WIDTH, VOCABULARY, vb.pp("head"))?;
    let at = Tensor::arange(0, CONTEXT as u32, &Device::Cpu)?;
    let may_look = at.unsqueeze(1)?.broadcast_ge(&at.unsqueeze(0)?)?;
    let zeros = Tensor::zeros((CONTEXT, CONTEXT), DType::F32, &Device::Cpu)?;
    let mask = may_look.where_cond(&zeros, &(zeros.ones_like()? * f64::NEG_INFINITY)?)?;
    Ok(Box::new(move |ids| {
        let mut x = tokens.forward(ids)?.broadcast_add(&positions.forward(&at)?)?;
        for block in &blocks {
            x = block.forward(&x, &mask)?;
        }
        head.forward(&norm.forward(&x)?)?.flatten_to(1)
    }))
}
