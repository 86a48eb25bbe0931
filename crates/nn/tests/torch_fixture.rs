//! PyTorch's generator and initialisers to the bit, the comparison with its gradients, and the first models compared.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod torch_rng;

use batchwise_nn::Parameters;
use batchwise_nn::models::{Mlp, MlpConfig};
use candle_core::{DType, Device, Tensor};
use candle_nn::{ModuleT, VarBuilder};
use sha2::{Digest, Sha256};
use torch_rng::{Examples, Generator, check_loss, check_tensor, compare, fixture, inputs, load, weights};

fn sha256(words: impl Iterator<Item = u32>) -> String {
    let mut hash = Sha256::new();
    words.for_each(|word| hash.update(word.to_le_bytes()));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_generator_draws_what_pytorch_draws() {
    let (wanted, mut generator) = (&fixture().generator, Generator::new(7));
    assert_eq!(generator.uniform(5, -0.3, 0.3), wanted.uniform);
    assert_eq!(generator.normal(5), wanted.few);
    assert_eq!(generator.normal(21), wanted.more);
    assert_eq!(generator.normal(1), wanted.one);
    assert_eq!(generator.integers(6, 65), wanted.integers);
}

#[test]
fn the_initial_weights_are_pytorchs_to_the_bit() {
    for (name, model) in &fixture().models {
        let weights = weights(name);
        assert_eq!(
            weights.values().map(|(_, values)| values.len()).sum::<usize>(),
            model.n_parameters,
            "{name}"
        );
        assert_eq!(weights.len(), model.weights.len(), "{name}");
        for wanted in &model.weights {
            let (shape, values) = &weights[&wanted.name];
            let place = format!("{name}, {}", wanted.name);
            assert_eq!(shape, &wanted.shape, "{place}");
            assert_eq!(values[..4], wanted.first, "{place}");
            let (mut sum, mut sum_abs, mut sum_squares) = (0.0, 0.0, 0.0);
            for v in values.iter().map(|v| f64::from(*v)) {
                sum += v;
                sum_abs += v.abs();
                sum_squares += v * v;
            }
            assert!((sum - wanted.sum).abs() <= 1e-12 * sum_abs, "{place}: {sum}");
            assert!(
                (sum_squares - wanted.sum_squares).abs() <= 1e-12 * sum_squares,
                "{place}: {sum_squares}"
            );
            assert_eq!(sha256(values.iter().map(|v| v.to_bits())), wanted.sha256, "{place}");
        }
    }
}

#[test]
fn the_batches_are_pytorchs_to_the_bit() {
    for (name, model) in &fixture().models {
        for (n, wanted) in &model.batches {
            let inputs = inputs(name, *n);
            let x = match inputs.x {
                Examples::Numbers(x) => sha256(x.iter().map(|v| v.to_bits())),
                Examples::Tokens(x) => sha256(x.into_iter()),
            };
            assert_eq!(x, wanted.x_sha256, "{name}, batch {n}");
            assert_eq!(sha256(inputs.y.into_iter()), wanted.y_sha256, "{name}, batch {n}");
        }
    }
}

/// What the tolerances for f32 rest on: PyTorch's own error is far below them, and no ReLU is so close to its corner
/// that rounding could put it on the other side.
#[test]
fn pytorchs_own_rounding_is_far_below_the_tolerance() {
    for (name, model) in &fixture().models {
        for (n, batch) in &model.batches {
            for (tensor, error) in batch.relative_f32_errors() {
                assert!(error < 2e-6, "{name}, batch {n}, {tensor}: {error}");
            }
            assert!(batch.relu_margin.is_none_or(|margin| margin > 2e-6), "{name}, batch {n}");
        }
    }
}

fn mlp(vb: VarBuilder<'_>) -> Box<dyn ModuleT> {
    Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![512, 256], classes: 10 }, vb).unwrap())
}

fn mlp_name(torch: &str) -> String {
    torch.replace("l1.", "layer0.").replace("l2.", "layer1.").replace("l3.", "layer2.")
}

fn lenet_name(torch: &str) -> String {
    let name = torch.replace("c1.", "conv0.").replace("c2.", "conv1.");
    name.replace("f1.", "hidden.").replace("f2.", "head.")
}

#[test]
fn a_model_that_differs_is_caught() {
    let parameters = Parameters::new();
    let model = mlp(parameters.builder(1, DType::F64, &Device::Cpu));
    load(&parameters, "mlp", mlp_name).unwrap();
    let forward = |x: &Tensor| model.forward_t(&x.affine(1.0, 1e-6)?, true);
    let differences = compare("mlp", 4, &parameters, mlp_name, forward).unwrap();
    // The loss, the logits and all six gradients.
    assert_eq!(differences.len(), 8, "{differences:#?}");
}

#[test]
fn parameters_that_do_not_fit_are_an_error() {
    let message = |name: &str, rename: fn(&str) -> String| {
        let parameters = Parameters::new();
        mlp(parameters.builder(1, DType::F32, &Device::Cpu));
        load(&parameters, name, rename).unwrap_err().to_string()
    };
    assert!(message("lenet", lenet_name).contains("PyTorch has 8 parameters, here are 6"));
    assert!(message("mlp", str::to_owned).contains("no parameter `l1.bias`"));
    let swapped =
        |name: &str| name.replace("l1.", "layer1.").replace("l2.", "layer0.").replace("l3.", "layer2.");
    assert!(message("mlp", swapped).contains("`layer1.bias` has shape [256], `l1.bias` of PyTorch [512]"));
}

#[test]
fn a_wrong_gradient_is_caught_in_either_dtype() {
    for dtype in [DType::F32, DType::F64] {
        let parameters = Parameters::new();
        let model = mlp(parameters.builder(1, dtype, &Device::Cpu));
        load(&parameters, "mlp", mlp_name).unwrap();
        let (x, y) = torch_rng::input_tensors("mlp", 4, dtype).unwrap();
        let loss = batchwise_nn::loss::cross_entropy(&model.forward_t(&x, true).unwrap(), &y).unwrap();
        let store = (loss.sum / loss.weight).unwrap().backward().unwrap();
        let weight = parameters.get("layer1.weight").unwrap();
        let gradient = store.get(weight.as_tensor()).unwrap().to_dtype(DType::F64).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let right = flat(&gradient);
        let check = |values: &[f64]| check_tensor("mlp", 4, "l2.weight", values, dtype);
        let error = |values: &[f64]| check(values).unwrap_err();
        check(&right).unwrap();

        let scaled: Vec<f64> = right.iter().map(|v| v * 1.001).collect();
        assert!(error(&scaled).contains("norm"));
        assert!(error(&flat(&gradient.t().unwrap())).contains("first"));
        // Two elements away from the ends: only the projections can see it.
        let largest =
            (8..right.len() - 8).max_by(|a, b| right[*a].abs().total_cmp(&right[*b].abs())).unwrap();
        let mut swapped = right.clone();
        swapped.swap(largest, largest - 1);
        assert!(error(&swapped).contains("projections"));
        let mut undefined = right.clone();
        undefined[100] = f64::NAN;
        assert!(error(&undefined).contains("norm"));
        assert!(error(&right[1..]).contains("131071 values, PyTorch has Some(131072)"));
        assert!(check_tensor("mlp", 5, "l2.weight", &right, dtype).unwrap_err().contains("no batch 5"));
        assert!(
            check_tensor("mlp", 4, "l4.weight", &right, dtype).unwrap_err().contains("not in the fixture")
        );
        assert!(check_loss("mlp", 4, 2.38806391 * 1.00001, dtype).unwrap_err().contains("loss"));
    }
}
