//! Layers: batch norm's statistics and its one-element case, ghost batches, buffers, norms of single examples.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_nn::gradients::Tap;
use batchwise_nn::layers;
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::ops::{self, Activation, ConvConfig};
use batchwise_nn::{Gradients, Parameters, loss, random};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Module, ModuleT};
use common::{distance, finite_difference_error, normal, var, weigh};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn batch_norm_follows_pytorchs_formulas() {
    let parameters = Parameters::new();
    let norm = layers::batch_norm(2, parameters.builder(1, DType::F64, &Device::Cpu).pp("n")).unwrap();
    let x = Tensor::new(&[[1.0f64, 10.0], [2.0, 20.0], [6.0, 60.0]], &Device::Cpu).unwrap();
    let y = norm.forward_t(&x, true).unwrap();
    let deviation = (14.0f64 / 3.0 + 1e-5).sqrt();
    let want: Vec<f64> = [-2.0, -1.0, 3.0].iter().map(|d| d / deviation).collect();
    for (row, want) in y.to_vec2::<f64>().unwrap().iter().zip(want) {
        assert!((row[0] - want).abs() < 1e-12, "{row:?} {want}");
    }
    // running = 0.9·old + 0.1·new, the variance with divisor 2.
    let close = |a: Vec<f64>, b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(numbers(&norm.running_mean), [0.3, 3.0]));
    assert!(close(numbers(&norm.running_var), [0.9 + 0.7, 0.9 + 70.0]));
    // Evaluation uses them, and changes nothing.
    let y = norm.forward_t(&x, false).unwrap().to_vec2::<f64>().unwrap();
    assert!((y[0][0] - 0.7 / (1.6f64 + 1e-5).sqrt()).abs() < 1e-12);
    assert!(close(numbers(&norm.running_mean), [0.3, 3.0]));
    // They are buffers: saved, restored, never trained.
    let names: Vec<String> = parameters.buffers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["n.running_mean", "n.running_var"]);
    assert_eq!(parameters.named().len(), 2);
    let saved = parameters.snapshot().unwrap();
    norm.forward_t(&x, true).unwrap();
    parameters.restore(&saved).unwrap();
    assert!(close(numbers(&norm.running_mean), [0.3, 3.0]));
    let file = parameters.to_safetensors().unwrap();
    assert!(
        candle_core::safetensors::load_buffer(&file, &Device::Cpu).unwrap().contains_key("n.running_var")
    );
}

#[test]
fn one_element_per_channel_poisons_nothing() {
    let parameters = Parameters::new();
    let norm = layers::batch_norm(3, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
    let x = normal("x", &[1, 3], DType::F32);
    assert_eq!(numbers(&norm.forward_t(&x, true).unwrap()), [0.0; 3]);
    assert_eq!(numbers(&norm.running_var), [1.0; 3]);
    assert!(numbers(&norm.forward_t(&x, false).unwrap()).iter().all(|v| v.is_finite()));
}

#[test]
fn batch_norm_has_right_gradients() {
    for (ghost, train) in [(None, true), (Some(2), true), (None, false)] {
        let parameters = Parameters::new();
        let vb = parameters.builder(1, DType::F64, &Device::Cpu);
        let mut norm = layers::batch_norm(2, vb).unwrap();
        norm.ghost = ghost;
        let x = var("x", &[5, 2, 2, 1], DType::F64);
        let (w, b) = (parameters.get("weight").unwrap(), parameters.get("bias").unwrap());
        w.set(&normal("w", &[2], DType::F64)).unwrap();
        let error = finite_difference_error(&[&x, &w, &b], &|| {
            // The running statistics do not enter training, but evaluation must not see them move.
            weigh(&norm.forward_t(&x, train)?)
        });
        assert!(error < 1e-7, "{ghost:?} {train}: {error}");
    }
}

#[test]
fn ghost_batches_are_batches_of_their_own() {
    let build = |ghost: Option<usize>| {
        let mut norm = layers::batch_norm(2, Parameters::new().builder(1, DType::F64, &Device::Cpu)).unwrap();
        norm.ghost = ghost;
        norm
    };
    let x = normal("x", &[7, 2, 3], DType::F64);
    let whole = build(Some(3)).forward_t(&x, true).unwrap();
    let parts: Vec<Tensor> = [(0, 3), (3, 3), (6, 1)]
        .iter()
        .map(|(from, n)| build(None).forward_t(&x.narrow(0, *from, *n).unwrap(), true).unwrap())
        .collect();
    assert_eq!(distance(&whole, &Tensor::cat(&parts, 0).unwrap()), 0.0);
    assert!(layers::ghost_batch_norm(2, 0, Parameters::new().builder(1, DType::F64, &Device::Cpu)).is_err());
}

#[test]
fn the_other_norms_equal_candles_slow_ones() {
    let parameters = Parameters::new();
    let vb = parameters.builder(1, DType::F64, &Device::Cpu);
    let x = normal("x", &[2, 6, 4], DType::F64);
    let layer = layers::layer_norm(4, vb.pp("l")).unwrap();
    let slow = candle_nn::ops::layer_norm_slow(&x, &layer.weight, &layer.bias, 1e-5).unwrap();
    assert!(distance(&layer.forward(&x).unwrap(), &slow) < 1e-12);
    let rms = layers::rms_norm(4, vb.pp("r")).unwrap();
    let slow = candle_nn::ops::rms_norm_slow(&x, &rms.weight, 1e-5).unwrap();
    assert!(distance(&rms.forward(&x).unwrap(), &slow) < 1e-12);
    let group = layers::group_norm(3, 6, vb.pp("g")).unwrap();
    let twin = candle_nn::GroupNorm::new(group.weight.clone(), group.bias.clone(), 6, 3, 1e-5).unwrap();
    assert!(distance(&group.forward(&x).unwrap(), &twin.forward(&x).unwrap()) < 1e-12);
}

#[test]
fn a_dropout_layer_follows_the_example_number() {
    let layer = layers::dropout(0.5, 3, "d").unwrap();
    let x = normal("x", &[4, 8], DType::F64);
    let whole = random::with_first_example(10, || layer.forward_t(&x, true)).unwrap();
    let last = random::with_first_example(13, || layer.forward_t(&x.narrow(0, 3, 1).unwrap(), true)).unwrap();
    assert_eq!(distance(&whole.narrow(0, 3, 1).unwrap(), &last), 0.0);
    assert_eq!(random::first_example(), None);
    // Without a number it counts what it has seen.
    let free = layers::dropout(0.5, 3, "d").unwrap();
    let (a, b) = (free.forward_t(&x, true).unwrap(), free.forward_t(&x, true).unwrap());
    assert!(0.1 < distance(&a, &b));
    assert_eq!(distance(&free.forward_t(&x, false).unwrap(), &x), 0.0);
}

/// A model whose examples are on their own, its inputs, and its loss: a sum over examples.
struct Subject {
    name: &'static str,
    model: Box<dyn ModuleT + Send + Sync>,
    parameters: Parameters,
    inputs: Tensor,
    targets: Tensor,
}

impl Subject {
    fn loss(&self, from: usize, n: usize) -> Result<Tensor> {
        let output = random::with_first_example(from as u64, || {
            self.model.forward_t(&self.inputs.narrow(0, from, n)?, true)
        })?;
        let targets = self.targets.narrow(0, from, n)?;
        Ok(loss::cross_entropy_with(&output, &targets, Default::default())?.sum)
    }
}

/// Convolutions over rows in groups, a norm, and a weight that is used twice.
struct Rows {
    first: layers::Conv1d,
    norm: layers::GroupNorm,
    tied: layers::Linear,
    head: layers::Linear,
}

impl ModuleT for Rows {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let x = self.norm.forward(&self.first.forward(x)?)?.transpose(1, 2)?.contiguous()?;
        let x = self.tied.forward(&self.tied.forward(&x)?)?;
        self.head.forward(&x.mean(1)?)
    }
}

/// One convolution with its ReLU, used twice.
struct Twice {
    shared: layers::Conv2d,
    head: layers::Linear,
}

impl ModuleT for Twice {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let x = self.shared.forward(&self.shared.forward(x)?)?;
        self.head.forward(&x.flatten_from(1)?)
    }
}

/// Embedding and head are one weight (Press & Wolf 2017).
struct Tied {
    embedding: layers::Embedding,
    zero: Tensor,
}

impl ModuleT for Tied {
    fn forward_t(&self, ids: &Tensor, _: bool) -> Result<Tensor> {
        let x = self.embedding.forward(ids)?;
        ops::linear(&x, &self.embedding.weight, &self.zero, Activation::Identity)
    }
}

fn subjects(dtype: DType) -> Vec<Subject> {
    let n = 5;
    let classes = Tensor::from_vec(vec![0u32, 2, 1, 2, 0], n, &Device::Cpu).unwrap();
    let ids = |len: usize, vocabulary: u32| {
        let ids: Vec<u32> = (0..n * len).map(|i| (i * i + i / 3) as u32 % vocabulary).collect();
        Tensor::from_vec(ids, (n, len), &Device::Cpu).unwrap()
    };
    let build = |name,
                 inputs: Tensor,
                 targets: &Tensor,
                 make: &dyn Fn(candle_nn::VarBuilder<'_>) -> Box<dyn ModuleT + Send + Sync>| {
        let parameters = Parameters::new();
        let model = make(parameters.builder(5, dtype, &Device::Cpu));
        // Biases and scales away from 0 and 1, so that nothing is right by symmetry.
        for (name, var) in parameters.named() {
            let noise = (normal(&name, var.dims(), dtype) * 0.1).unwrap();
            var.set(&(var.as_tensor() + noise).unwrap()).unwrap();
        }
        Subject { name, model, parameters, inputs, targets: targets.clone() }
    };
    let images = normal("images", &[n, 2, 8, 8], dtype);
    let gpt = GptConfig { vocabulary: 7, context: 6, width: 8, heads: 2, layers: 2, dropout: 0.2, seed: 3 };
    vec![
        build("mlp", images.clone(), &classes, &|vb| {
            Box::new(Mlp::new(&MlpConfig { inputs: 128, hidden: vec![6], classes: 3 }, vb).unwrap())
        }),
        build("cnn", images.clone(), &classes, &|vb| {
            let config = CnnConfig {
                in_channels: 2,
                height: 8,
                width: 8,
                channels: vec![3, 4],
                hidden: 5,
                classes: 3,
            };
            Box::new(Cnn::new(&config, vb).unwrap())
        }),
        build("twice", images.clone(), &classes, &|vb| {
            let config =
                ConvConfig { stride: 1, padding: 1, dilation: 1, groups: 1, activation: Activation::Relu };
            Box::new(Twice {
                shared: layers::conv2d(2, 2, 3, config, vb.pp("shared")).unwrap(),
                head: layers::linear(128, 3, Activation::Identity, vb.pp("head")).unwrap(),
            })
        }),
        build("resnet", images, &classes, &|vb| {
            let config = ResNetConfig {
                in_channels: 2,
                channels: vec![4, 6],
                blocks: 1,
                norm: Norm::Group(2),
                classes: 3,
            };
            Box::new(ResNet::new(&config, vb).unwrap())
        }),
        build("rows", normal("rows", &[n, 4, 9], dtype), &classes, &|vb| {
            let config =
                ConvConfig { stride: 2, padding: 1, dilation: 2, groups: 2, activation: Activation::Silu };
            Box::new(Rows {
                first: layers::conv1d(4, 6, 3, config, vb.pp("first")).unwrap(),
                norm: layers::group_norm(3, 6, vb.pp("norm")).unwrap(),
                tied: layers::linear(6, 6, Activation::Relu, vb.pp("tied")).unwrap(),
                head: layers::linear(6, 3, Activation::Identity, vb.pp("head")).unwrap(),
            })
        }),
        build("gpt", ids(6, 7), &ids(6, 7), &|vb| Box::new(Gpt::new(&gpt, vb).unwrap())),
        build("tied", ids(4, 6), &ids(4, 6), &|vb| {
            let zero = Tensor::zeros(6, dtype, &Device::Cpu).unwrap();
            Box::new(Tied { embedding: layers::embedding(6, 5, vb).unwrap(), zero })
        }),
    ]
}

#[test]
fn every_model_has_right_gradients() {
    for subject in subjects(DType::F64) {
        let named = subject.parameters.named();
        let vars: Vec<_> = named.iter().map(|(_, var)| var).collect();
        let error = finite_difference_error(&vars, &|| subject.loss(0, 2));
        assert!(error < 2e-6, "{}: {error}", subject.name);
    }
}

#[test]
fn norms_of_single_examples_equal_brute_force() {
    for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-9)] {
        for subject in subjects(dtype) {
            let n = subject.inputs.dim(0).unwrap();
            let mut together = Gradients::new();
            let loss = subject.loss(0, n).unwrap();
            let norms = together.backward_examples(&subject.parameters, &loss, n).unwrap();
            for example in 0..n {
                let mut alone = Gradients::new();
                let loss = subject.loss(example, 1).unwrap();
                alone.backward(&subject.parameters, &loss, Tap::Off).unwrap();
                let names = subject.parameters.named();
                for ((group, want), (name, _)) in norms.groups.iter().zip(alone.norms2().unwrap()).zip(names)
                {
                    let got = group.as_ref().unwrap()[example];
                    assert!(
                        (got - want).abs() <= tolerance * want.max(1e-8),
                        "{} {name} example {example}: {got} {want}",
                        subject.name
                    );
                }
                let total: f64 = alone.norms2().unwrap().iter().sum();
                assert!((norms.total().unwrap()[example] - total).abs() <= tolerance * total);
            }
            // The tap only looks.
            let mut plain = Gradients::new();
            plain.backward(&subject.parameters, &subject.loss(0, n).unwrap(), Tap::Off).unwrap();
            for (a, b) in together.tensors().iter().zip(plain.tensors()) {
                assert_eq!(numbers(a), numbers(b), "{}", subject.name);
            }
        }
    }
}

#[test]
fn norms_of_single_examples_are_refused_where_there_are_none() {
    let parameters = Parameters::new();
    let config = ResNetConfig { in_channels: 1, channels: vec![2], blocks: 1, norm: Norm::Batch, classes: 2 };
    let model = ResNet::new(&config, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
    let x = normal("x", &[4, 1, 4, 4], DType::F32);
    let loss = || model.forward_t(&x, true).unwrap().sqr().unwrap().sum_all().unwrap();
    let error = Gradients::new().backward_examples(&parameters, &loss(), 4).unwrap_err().to_string();
    assert!(error.contains("couples the examples"), "{error}");
    // Without them the same pass is fine.
    Gradients::new().backward(&parameters, &loss(), Tap::Off).unwrap();
    // A parameter of one of candle's own layers has no norms, and says so.
    let parameters = Parameters::new();
    let vb = parameters.builder(1, DType::F32, &Device::Cpu);
    let ours = layers::linear(4, 3, Activation::Relu, vb.pp("ours")).unwrap();
    let theirs = candle_nn::linear(3, 2, vb.pp("theirs")).unwrap();
    let x = normal("x", &[6, 4], DType::F32);
    let loss = theirs.forward(&ours.forward(&x).unwrap()).unwrap().sqr().unwrap().sum_all().unwrap();
    let norms = Gradients::new().backward_examples(&parameters, &loss, 6).unwrap();
    assert_eq!(norms.groups.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(norms.total(), None);
    let error = Gradients::new().backward_examples(&parameters, &loss, 4).unwrap_err().to_string();
    assert!(error.contains("6 rows") && error.contains("4 examples"), "{error}");
}

#[test]
fn a_cifar_network_has_the_depth_asked_for() {
    for (depth, n_convolutions) in [(8, 9), (14, 15), (20, 21)] {
        let config = ResNetConfig::cifar(depth, 3, Norm::Batch, 10).unwrap();
        let parameters = Parameters::new();
        let model = ResNet::new(&config, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
        let convolutions =
            parameters.named().iter().filter(|(name, _)| name.ends_with("conv.weight")).count();
        assert_eq!(convolutions, n_convolutions, "{depth}: depth − 1 and two shortcuts");
        let y = model.forward_t(&normal("x", &[2, 3, 32, 32], DType::F32), true).unwrap();
        assert_eq!(y.dims(), [2, 10]);
    }
    assert!(ResNetConfig::cifar(10, 3, Norm::Batch, 10).unwrap_err().to_string().contains("not 10"));
}

#[test]
fn results_are_the_same_bits_for_any_number_of_threads() {
    for subject in subjects(DType::F32) {
        let n = subject.inputs.dim(0).unwrap();
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // The pool of the calling thread is the one that the kernels use.
            pool.install(|| {
                let mut gradients = Gradients::new();
                let loss = subject.loss(0, n).unwrap();
                let norms = gradients.backward_examples(&subject.parameters, &loss, n).unwrap();
                (numbers(&loss), norms, gradients.tensors().iter().map(numbers).collect::<Vec<_>>())
            })
        };
        let one = bits(1);
        assert_eq!(one, bits(1), "{}: run to run", subject.name);
        assert_eq!(one, bits(2), "{}", subject.name);
        assert_eq!(one, bits(3), "{}", subject.name);
    }
}
