//! Laws of mixed precision: products are those of operands rounded to bf16, summed in f32, and all else is as in f32.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_nn::gradients::{Gradients, Tap};
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::ops::{self, Activation, ConvConfig};
use batchwise_nn::precision::{self, Precision};
use batchwise_nn::{Parameters, Recorded, audit, loss};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::ModuleT;
use common::{distance, normal, var};

/// Unit roundoff of bf16, whose significand has 8 bits, and of f32.
const U_BF16: f64 = 1.0 / 256.0;
const U_F32: f64 = 1.0 / 16_777_216.0;

fn bf16<R>(work: impl FnOnce() -> R) -> R {
    precision::with(Precision::Bf16, work)
}

/// Rounded to bf16 by candle, in f64.
fn rounded(x: &Tensor) -> Tensor {
    x.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap().to_dtype(DType::F64).unwrap()
}

fn double(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F64).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    double(x).flatten_all().unwrap().to_vec1().unwrap()
}

type Op<'a> = &'a dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>;

/// The op's value and its gradients of Σ c·y with respect to x, w and b.
fn value_and_gradients(op: Op<'_>, args: [&Tensor; 3], c: &Tensor, is_bf16: bool) -> [Tensor; 4] {
    let vars = args.map(|x| Var::from_tensor(x).unwrap());
    let forward = || op(&vars[0], &vars[1], &vars[2]);
    let y = if is_bf16 { bf16(forward) } else { forward() }.unwrap();
    // The backward pass runs outside of the scope.
    let grads = (&y * c).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = |i: usize| grads.get(vars[i].as_tensor()).unwrap().clone();
    [y.detach(), gradient(0), gradient(1), gradient(2)]
}

/// Each number of got differs from want's by at most a factor of size's.
fn assert_within(got: &Tensor, want: &Tensor, size: &Tensor, factor: f64, what: &str) {
    let mut worst: f64 = 0.0;
    for ((got, want), size) in numbers(got).into_iter().zip(numbers(want)).zip(numbers(size)) {
        worst = worst.max((got - want).abs() / (factor * size).max(1e-300));
    }
    assert!(worst <= 1.0, "{what}: {worst} times the bound");
}

/// Holds an op that is linear in each of x and w against f64.
///
/// A product of two bf16 is exact in f32. So a sum of k of them, in any order, with the bias as one more term, is off by at
/// most γ·Σ|a||b|, γ = ku/(1−ku), u = 2⁻²⁴ (Higham 2002, §4.2); |op|(|x|, |w|, |b|) is that Σ, and the same in f64 of the
/// rounded operands the value without error. A gradient is the same with (c, w) or (c, x), k the number of its terms.
///
/// Against the op in f32 the operands' rounding adds |ab − round(a)·round(b)| ≤ (2v + v²)|ab| to each term, v = 2⁻⁸, so
/// the two differ by at most (2v + v² + 2γ(1+v)²)·Σ|a||b|.
fn check_op(name: &str, op: Op<'_>, [x, w, b]: [&Tensor; 3], terms: [usize; 4]) {
    let y = op(x, w, b).unwrap();
    let c = normal("c", y.dims(), DType::F32);
    let got = value_and_gradients(op, [x, w, b], &c, true);
    let plain = value_and_gradients(op, [x, w, b], &c, false);
    // Biases and their gradients are not rounded.
    let exact = value_and_gradients(op, [&rounded(x), &rounded(w), &double(b)], &rounded(&c), false);
    let abs = |x: &Tensor| x.abs().unwrap();
    let (rx, rw, rb) = (abs(&rounded(x)), abs(&rounded(w)), abs(&double(b)));
    let sizes = value_and_gradients(op, [&rx, &rw, &rb], &abs(&rounded(&c)), false);
    let full = [abs(&double(x)), abs(&double(w)), rb];
    let full = value_and_gradients(op, [&full[0], &full[1], &full[2]], &abs(&double(&c)), false);
    for (i, part) in ["y", "dx", "dw"].into_iter().enumerate() {
        let k = (terms[i] + 1) as f64;
        let gamma = k * U_F32 / (1.0 - k * U_F32);
        assert_within(&got[i], &exact[i], &sizes[i], gamma, &format!("{name} {part} of rounded operands"));
        let bound = 2.0 * U_BF16 + U_BF16 * U_BF16 + 2.0 * gamma * (1.0 + U_BF16).powi(2);
        assert_within(&got[i], &plain[i], &full[i], bound, &format!("{name} {part} against f32"));
        assert!(1e-4 < distance(&got[i], &plain[i]), "{name} {part} was not rounded");
    }
    assert_eq!(numbers(&got[3]), numbers(&plain[3]), "{name}: the bias's gradient is a sum and no product");
}

fn f32s(name: &str, shape: &[usize]) -> Tensor {
    normal(name, shape, DType::F32)
}

#[test]
fn linear_is_that_of_rounded_operands() {
    for (n, inner, out) in [(1, 30, 7), (5, 33, 17), (64, 129, 70), (300, 64, 10), (17, 700, 130)] {
        let op: Op<'_> = &|x, w, b| ops::linear(x, w, b, Activation::Identity);
        let args = [f32s("x", &[n, inner]), f32s("w", &[out, inner]), f32s("b", &[out])];
        check_op(&format!("linear {n}·{inner}·{out}"), op, args.each_ref(), [inner, out, n, n]);
    }
}

#[test]
fn convolutions_are_those_of_rounded_operands() {
    // Images, channels, side, kernel, stride, padding, groups.
    let cases = [
        (3, 4, 6, 9, 3, 1, 1, 1),
        (2, 1, 5, 11, 5, 1, 0, 1),
        (2, 6, 8, 8, 3, 2, 1, 2),
        (4, 8, 16, 6, 1, 2, 0, 1),
    ];
    for (n, c_in, c_out, side, kernel, stride, padding, groups) in cases {
        let config = ConvConfig { stride, padding, groups, ..ConvConfig::USUAL };
        let w = f32s("w", &[c_out, c_in / groups, kernel, kernel]);
        let (b, taps) = (f32s("b", &[c_out]), kernel * kernel);
        let terms = |pixels: usize, taps: usize| [c_in * taps, c_out * taps, n * pixels, n * pixels];
        let name = format!("conv2d {c_in} to {c_out}, {kernel}² by {stride}");
        let op: Op<'_> = &|x, w, b| ops::conv2d(x, w, b, config);
        check_op(&name, op, [&f32s("x", &[n, c_in, side, side]), &w, &b], terms(side * side, taps));
        let w = f32s("w1", &[c_out, c_in / groups, kernel]);
        let op: Op<'_> = &|x, w, b| ops::conv1d(x, w, b, config);
        let name = name.replace("2d", "1d").replace('²', "");
        check_op(&name, op, [&f32s("x1", &[n, c_in, 3 * side]), &w, &b], terms(3 * side, kernel));
    }
}

#[test]
fn a_pooled_convolution_is_the_two_ops() {
    let config = ConvConfig { padding: 1, activation: Activation::Relu, ..ConvConfig::USUAL };
    let args = [var("x", &[3, 4, 10, 10], DType::F32), var("w", &[6, 4, 3, 3], DType::F32)];
    let b = var("b", &[6], DType::F32);
    let c = f32s("c", &[3, 6, 5, 5]);
    let gradients = |op: &dyn Fn() -> Result<Tensor>| {
        let recorded = bf16(|| Recorded::new(|| (op()? * &c)?.sum_all()));
        let store = recorded.unwrap().backward().unwrap();
        [args[0].as_tensor(), args[1].as_tensor(), b.as_tensor()].map(|x| store.get(x).unwrap().clone())
    };
    let fused = gradients(&|| ops::conv2d_max_pool2d(&args[0], &args[1], &b, config));
    let two = gradients(&|| ops::max_pool2d(&ops::conv2d(&args[0], &args[1], &b, config)?, 2));
    for (fused, two) in fused.iter().zip(&two) {
        assert!(distance(fused, two) < 1e-6, "{}", distance(fused, two));
    }
}

/// Beside queries, keys, values and the output's gradient, the probabilities P and the gradients of the scores are operands
/// too, and rounded: by v = 2⁻⁸ at most, each. So the output is off from the f64 one of the rounded inputs by at most
/// v·Σ P|v| ≤ v·max|v|. A gradient passes three roundings (P or dS, and through Σ dy·y the output's), which by norm, where
/// signs do not conspire, stay below 3v.
#[test]
fn attention_is_that_of_rounded_operands() {
    for (positions, heads, width) in [(7, 2, 8), (64, 3, 16), (150, 1, 33)] {
        let qkv = var("qkv", &[2, positions, 3 * heads * width], DType::F32);
        let exact = Var::from_tensor(&rounded(&qkv)).unwrap();
        let y = bf16(|| ops::causal_self_attention(&qkv, heads)).unwrap();
        let want = ops::causal_self_attention(&exact, heads).unwrap();
        let most = numbers(&exact).into_iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let size = Tensor::ones(y.shape(), DType::F64, &Device::Cpu).unwrap();
        assert_within(&y, &want, &size, U_BF16 * most, "attention y");
        let c = f32s("c", y.dims());
        let grads = (&y * &c).unwrap().sum_all().unwrap().backward().unwrap();
        let grads64 = (&want * rounded(&c)).unwrap().sum_all().unwrap().backward().unwrap();
        let far = distance(grads.get(&qkv).unwrap(), grads64.get(&exact).unwrap());
        let plain = (ops::causal_self_attention(&qkv, heads).unwrap() * &c).unwrap().sum_all().unwrap();
        let from_f32 = distance(plain.backward().unwrap().get(&qkv).unwrap(), grads64.get(&exact).unwrap());
        println!(
            "attention of {positions}: gradient {far:.1e} from that of rounded inputs; f32's {from_f32:.1e}"
        );
        assert!(far < 3.0 * U_BF16);
    }
}

#[test]
fn f64_does_not_know_of_it() {
    let args =
        [normal("x", &[5, 9], DType::F64), normal("w", &[4, 9], DType::F64), normal("b", &[4], DType::F64)];
    let linear = || ops::linear(&args[0], &args[1], &args[2], Activation::Gelu).unwrap();
    assert_eq!(numbers(&bf16(linear)), numbers(&linear()));
    let (x, w) = (normal("x", &[2, 3, 6, 6], DType::F64), normal("w", &[4, 3, 3, 3], DType::F64));
    let conv = || ops::conv2d(&x, &w, &args[2], ConvConfig::USUAL).unwrap();
    assert_eq!(numbers(&bf16(conv)), numbers(&conv()));
    let qkv = normal("qkv", &[2, 5, 12], DType::F64);
    let attention = || ops::causal_self_attention(&qkv, 2).unwrap();
    assert_eq!(numbers(&bf16(attention)), numbers(&attention()));
}

/// A name, the parameters, the model, inputs and targets.
type Subject = (&'static str, Parameters, Box<dyn ModuleT>, Tensor, Tensor);

fn models() -> Vec<Subject> {
    let mut all: Vec<(_, Parameters, Box<dyn ModuleT>, _, _)> = Vec::new();
    let classes = |n: u32| Tensor::from_iter((0..n).map(|i| i % 5), &Device::Cpu).unwrap();
    let new = |seed| {
        let parameters = Parameters::new();
        let vb = parameters.builder(seed, DType::F32, &Device::Cpu);
        (parameters, vb)
    };
    let (parameters, vb) = new(1);
    let config = MlpConfig { inputs: 100, hidden: vec![70, 40], classes: 5 };
    all.push((
        "mlp",
        parameters,
        Box::new(Mlp::new(&config, vb).unwrap()),
        f32s("i", &[48, 100]),
        classes(48),
    ));
    let (parameters, vb) = new(2);
    let config =
        CnnConfig { in_channels: 1, height: 16, width: 16, channels: vec![4, 8], hidden: 20, classes: 5 };
    let images = f32s("i", &[12, 1, 16, 16]);
    all.push(("cnn", parameters, Box::new(Cnn::new(&config, vb).unwrap()), images, classes(12)));
    let (parameters, vb) = new(3);
    let config = ResNetConfig::cifar(8, 3, Norm::Batch, 5).unwrap();
    let images = f32s("i", &[6, 3, 16, 16]);
    all.push(("resnet", parameters, Box::new(ResNet::new(&config, vb).unwrap()), images, classes(6)));
    let (parameters, vb) = new(4);
    let config =
        GptConfig { vocabulary: 20, context: 16, width: 24, heads: 2, layers: 2, dropout: 0.0, seed: 0 };
    let tokens =
        Tensor::from_iter((0..64u32).map(|i| i * i % 20), &Device::Cpu).unwrap().reshape((4, 16)).unwrap();
    let targets = tokens.clone();
    all.push(("gpt", parameters, Box::new(Gpt::new(&config, vb).unwrap()), tokens, targets));
    all
}

fn gradients(parameters: &Parameters, model: &dyn ModuleT, x: &Tensor, y: &Tensor) -> (f64, Vec<Tensor>) {
    let forward = || {
        let out = model.forward_t(x, true)?;
        let loss = if y.rank() == 1 { loss::cross_entropy(&out, y)? } else { loss::next_token(&out, y)? };
        Ok::<_, candle_core::Error>(loss.sum)
    };
    let recorded = Recorded::new(forward).unwrap();
    let loss = numbers(recorded.loss())[0];
    let mut gradients = Gradients::new();
    gradients.backward(parameters, recorded, Tap::Off).unwrap();
    (loss, gradients.tensors().to_vec())
}

#[test]
fn models_are_near_f32_and_their_bits_do_not_depend_on_the_threads() {
    for i in 0..models().len() {
        let name = models()[i].0;
        let with_threads = |n: usize, precision| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| {
                let (_, parameters, model, x, y) = models().remove(i);
                precision::with(precision, || gradients(&parameters, model.as_ref(), &x, &y))
            })
        };
        let (loss, want) = with_threads(1, Precision::Bf16);
        for n in [2, 3] {
            let (again, got) = with_threads(n, Precision::Bf16);
            assert_eq!(again.to_bits(), loss.to_bits(), "{name} on {n} threads");
            for (got, want) in got.iter().zip(&want) {
                assert_eq!(numbers(got), numbers(want), "{name} on {n} threads");
            }
        }
        let (plain, all) = with_threads(1, Precision::F32);
        let flat = |all: &[Tensor]| {
            let all: Vec<f64> = all.iter().flat_map(numbers).collect();
            Tensor::new(all, &Device::Cpu).unwrap()
        };
        let far = distance(&flat(&all), &flat(&want));
        println!("{name}: loss {loss} in bf16, {plain} in f32; the gradients' distance is {far:.1e}");
        assert!(loss != plain && (loss - plain).abs() < 1e-2 * plain);
        // Each product adds some 2⁻⁸ with signs of its own; where a ReLU or a maximum decides otherwise, more, the most in
        // the deepest model, on noise: 0.13 in the resnet, 0.02 in mlp and cnn.
        let most = if name == "resnet" { 0.25 } else { 0.05 };
        assert!(1e-4 < far && far < most, "{name}: {far}");
    }
}

/// Blocks as one op, on a tape, round what the ops they are made of round in candle's graph. What they round differs in the
/// last bits of f32, and may then be rounded to a neighbour: that is less than what the rounding does in all.
#[test]
fn fused_blocks_round_as_their_layers_do() {
    let (_, parameters, model, x, y) = models().remove(2);
    let state = parameters.snapshot().unwrap();
    let mut losses = Vec::new();
    for precision in [Precision::Bf16, Precision::F32] {
        parameters.restore(&state).unwrap();
        let (fused, _) = precision::with(precision, || gradients(&parameters, model.as_ref(), &x, &y));
        parameters.restore(&state).unwrap();
        let out = precision::with(precision, || model.forward_t(&x, true)).unwrap();
        losses.push((fused, numbers(&loss::cross_entropy(&out, &y).unwrap().sum)[0]));
    }
    println!("fused and not, in bf16 and f32: {losses:?}");
    let (far, rounding) = ((losses[0].0 - losses[0].1).abs(), (losses[0].0 - losses[1].0).abs());
    assert!(far < 0.5 * rounding && (losses[1].0 - losses[1].1).abs() < 0.01 * rounding);
}

/// Finite differences see a staircase in bf16: a weight moved by less than half a unit in its last place is the same
/// operand. The audit must not call right gradients wrong there, and cannot call them right.
#[test]
fn the_audit_in_bf16_says_of_products_that_it_cannot_decide() {
    let (_, parameters, model, x, y) = models().remove(0);
    let loss = || {
        let loss = bf16(|| model.forward_t(&x, true)).and_then(|out| loss::cross_entropy(&out, &y))?;
        loss.sum / y.elem_count() as f64
    };
    let report = audit::gradients(&parameters.named(), &loss, &audit::Config::default());
    let report = report.unwrap();
    println!("{report}");
    let loss = || loss::cross_entropy(&model.forward_t(&x, true)?, &y)?.sum / y.elem_count() as f64;
    println!("{}", audit::gradients(&parameters.named(), &loss, &audit::Config::default()).unwrap());
    assert_eq!(report.faults().count(), 0);
    let open = report.checks.iter().filter(|check| !check.outcome.is_right()).count();
    assert!(2 * open > report.checks.len(), "most cannot be decided");
}
