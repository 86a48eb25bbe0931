//! The ops of a language model: each against its plain twin and finite differences, through candle's graph and through a
//! tape, on any number of threads.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_nn::gradients::Tap;
use batchwise_nn::models::{Gpt, GptConfig};
use batchwise_nn::ops::{self, Activation, Over, plain};
use batchwise_nn::tape::{Recorded, no_grad};
use batchwise_nn::{Gradients, Parameters, loss, random};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::ModuleT;
use common::{check_twins, distance, finite_difference_error, normal, var, weigh};
use proptest::prelude::*;

const DTYPES: [DType; 2] = [DType::F32, DType::F64];
const SMOOTH: [Activation; 3] = [Activation::Gelu, Activation::GeluErf, Activation::Silu];

fn check_gradient(vars: &[&Var], f: &dyn Fn() -> Result<Tensor>) {
    if vars[0].dtype() == DType::F64 {
        let error = finite_difference_error(vars, &|| weigh(&f()?));
        assert!(error < 1e-7, "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn layer_and_rms_norm_equal_their_twins(n in 1usize..4, positions in 1usize..4, width in 1usize..40) {
        for dtype in DTYPES {
            let x = var("x", &[n, positions, width], dtype);
            let (w, b) = (var("w", &[width], dtype), var("b", &[width], dtype));
            let layer = || ops::layer_norm(&x, &w, &b, 0.1);
            check_twins(&[&x, &w, &b], &layer, &|| plain::layer_norm(&x, &w, &b, 0.1));
            let rms = || ops::rms_norm(&x, &w, 0.1);
            check_twins(&[&x, &w], &rms, &|| plain::rms_norm(&x, &w, 0.1));
            if width < 8 {
                check_gradient(&[&x, &w, &b], &layer);
                check_gradient(&[&x, &w], &rms);
            }
        }
    }

    #[test]
    fn self_attention_equals_its_twin(
        n in 1usize..3, positions in 1usize..8, heads in 1usize..4, width in 1usize..5,
    ) {
        for dtype in DTYPES {
            let qkv = var("qkv", &[n, positions, 3 * heads * width], dtype);
            let fused = || ops::causal_self_attention(&qkv, heads);
            check_twins(&[&qkv], &fused, &|| plain::causal_self_attention(&qkv, heads));
            check_gradient(&[&qkv], &fused);
        }
    }

    #[test]
    fn long_self_attention_equals_its_twin(positions in 1usize..200, heads in 1usize..3, width in 1usize..70) {
        for dtype in DTYPES {
            let qkv = var("qkv", &[2, positions, 3 * heads * width], dtype);
            let fused = || ops::causal_self_attention(&qkv, heads);
            check_twins(&[&qkv], &fused, &|| plain::causal_self_attention(&qkv, heads));
        }
    }

    #[test]
    fn activations_equal_their_twins(n in 1usize..300, width in 1usize..100) {
        for dtype in DTYPES {
            let (x, y) = (var("x", &[n, width], dtype), var("y", &[n, width], dtype));
            for act in SMOOTH {
                check_twins(&[&x], &|| act.apply(&x), &|| plain::activation(&x, act));
            }
            check_twins(&[&x, &y], &|| ops::add(&x, &y), &|| &x.as_tensor().clone() + y.as_tensor());
        }
    }

    #[test]
    fn long_rows_have_the_statistics_they_should(rows in 1usize..4, width in 1usize..9000, shift in -100f64..100.0) {
        let x = (normal("x", &[rows, width], DType::F64) + shift).unwrap();
        let x32 = Var::from_tensor(&x.to_dtype(DType::F32).unwrap()).unwrap();
        // Of the numbers that f32 holds.
        let x = x32.to_dtype(DType::F64).unwrap();
        let exact = plain::normalize(&x, Over::Last, true, 1e-3).unwrap();
        let error = distance(&ops::normalize(&x32, Over::Last, 1e-3).unwrap(), &exact);
        // The mean is a number of f32.
        prop_assert!(error < 1e-6 + 6e-8 * shift.abs(), "{}", error);
    }
}

type Op = Box<dyn Fn(&[Var]) -> Result<Tensor> + Sync>;

/// Ops on sizes that make several pieces of work of each.
fn large(dtype: DType) -> Vec<(&'static str, Vec<Var>, Op)> {
    let x = || var("x", &[3, 170, 96], dtype);
    let (w, b) = (|| var("w", &[96], dtype), || var("b", &[96], dtype));
    let ids: Vec<u32> = (0..900).map(|i| (i * i + i / 7) % 50).collect();
    let ids = Tensor::from_vec(ids, (9, 100), &Device::Cpu).unwrap();
    let targets = ids.narrow(0, 0, 6).unwrap().flatten_all().unwrap();
    vec![
        ("layer norm", vec![x(), w(), b()], Box::new(|v| ops::layer_norm(&v[0], &v[1], &v[2], 1e-5))),
        ("rms norm", vec![x(), w()], Box::new(|v| ops::rms_norm(&v[0], &v[1], 1e-5))),
        ("group norm", vec![x()], Box::new(|v| ops::normalize(&v[0], Over::Groups(17), 1e-5))),
        ("attention", vec![x()], Box::new(|v| ops::causal_self_attention(&v[0], 4))),
        ("gelu", vec![x()], Box::new(|v| Activation::Gelu.apply(&v[0]))),
        ("add", vec![x(), var("y", &[3, 170, 96], dtype)], Box::new(|v| ops::add(&v[0], &v[1]))),
        (
            "scale and shift",
            vec![x(), var("s", &[170], dtype), var("t", &[170], dtype)],
            Box::new(|v| ops::scale_shift(&v[0], &v[1], &v[2], 1)),
        ),
        ("dropout", vec![x()], Box::new(|v| ops::dropout(&v[0], 0.3, 1, "d", 7))),
        ("embedding", vec![var("e", &[50, 72], dtype)], Box::new(move |v| ops::embedding(&ids, &v[0]))),
        (
            "cross-entropy",
            vec![var("l", &[600, 50], dtype)],
            Box::new(move |v| ops::cross_entropy_sum(&v[0], &targets)),
        ),
    ]
}

#[test]
fn large_inputs_equal_their_twins() {
    for dtype in DTYPES {
        let x = var("x", &[3, 170, 96], dtype);
        let (w, b) = (var("w", &[96], dtype), var("b", &[96], dtype));
        let (s, t) = (var("s", &[170], dtype), var("t", &[170], dtype));
        check_twins(&[&x, &w, &b], &|| ops::layer_norm(&x, &w, &b, 1e-5), &|| {
            plain::layer_norm(&x, &w, &b, 1e-5)
        });
        check_twins(&[&x, &s, &t], &|| ops::scale_shift(&x, &s, &t, 1), &|| {
            plain::scale_shift(&x, &s, &t, 1)
        });
        let over = Over::Groups(17);
        check_twins(&[&x], &|| ops::normalize(&x, over, 1e-5), &|| plain::normalize(&x, over, true, 1e-5));
        let ids: Vec<u32> = (0..900).map(|i| (i * i + i / 7) % 50).collect();
        let ids = Tensor::from_vec(ids, (9, 100), &Device::Cpu).unwrap();
        let table = var("table", &[60, 72], dtype);
        check_twins(&[&table], &|| ops::embedding(&ids, &table), &|| plain::embedding(&ids, &table));
        let logits = var("logits", &[9, 100, 50], dtype);
        check_twins(&[&logits], &|| ops::cross_entropy_sum(&logits, &ids), &|| {
            plain::cross_entropy_sum(&logits, &ids)
        });
    }
}

fn numbers(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_tape_gives_what_candles_graph_gives_and_forgetting_changes_no_value() {
    for dtype in DTYPES {
        for (name, vars, f) in large(dtype) {
            let by_graph = weigh(&f(&vars).unwrap()).unwrap().backward().unwrap();
            let recorded = Recorded::new(|| weigh(&f(&vars)?)).unwrap();
            let by_tape = recorded.backward().unwrap();
            for (i, var) in vars.iter().enumerate() {
                let (a, b) = (by_graph.get(var).unwrap(), by_tape.get(var).unwrap());
                assert_eq!(numbers(a), numbers(b), "{name} {i}");
            }
            let (kept, forgotten) = (f(&vars).unwrap(), no_grad(|| f(&vars)).unwrap());
            assert_eq!(numbers(&kept), numbers(&forgotten), "{name}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for (name, vars, f) in large(DType::F32) {
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let y = f(&vars).unwrap();
                let gradients = weigh(&y).unwrap().backward().unwrap();
                (numbers(&y), vars.iter().map(|v| numbers(gradients.get(v).unwrap())).collect::<Vec<_>>())
            })
        };
        let one = bits(1);
        assert_eq!(one, bits(2), "{name}");
        assert_eq!(one, bits(3), "{name}");
    }
}

#[test]
fn a_recorded_language_model_has_the_gradients_of_candles_graph() {
    for (dtype, tolerance) in [(DType::F32, 2e-5), (DType::F64, 1e-12)] {
        let config =
            GptConfig { vocabulary: 11, context: 70, width: 24, heads: 3, layers: 2, dropout: 0.1, seed: 3 };
        let parameters = Parameters::new();
        let model = Gpt::new(&config, parameters.builder(1, dtype, &Device::Cpu)).unwrap();
        let ids: Vec<u32> = (0..3 * 70).map(|i| (i * i + i / 3) % 11).collect();
        let ids = Tensor::from_vec(ids, (3, 70), &Device::Cpu).unwrap();
        let loss = || {
            random::with_first_example(5, || {
                Ok::<_, candle_core::Error>(loss::next_token(&model.forward_t(&ids, true)?, &ids)?.sum)
            })
        };
        let (mut graph, mut tape) = (Gradients::new(), Gradients::new());
        let by_graph = loss().unwrap();
        graph.backward(&parameters, &by_graph, Tap::Off).unwrap();
        let recorded = Recorded::new(loss).unwrap();
        assert_eq!(numbers(recorded.loss()), numbers(&by_graph));
        tape.backward(&parameters, recorded, Tap::Off).unwrap();
        for ((a, b), (name, _)) in graph.tensors().iter().zip(tape.tensors()).zip(parameters.named()) {
            assert!(distance(a, b) < tolerance, "{name}: {}", distance(a, b));
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let t = |shape: &[usize]| normal("t", shape, DType::F32);
    let error = |r: Result<Tensor>| r.unwrap_err().to_string();
    assert!(error(ops::layer_norm(&t(&[2, 3]), &t(&[2]), &t(&[2]), 1e-5)).contains("[2, 3]"));
    assert!(error(ops::layer_norm(&t(&[2, 3]), &t(&[3]), &t(&[2]), 1e-5)).contains("differ"));
    assert!(error(ops::rms_norm(&t(&[2, 3]), &t(&[3]), -1.0)).contains("ε is -1"));
    assert!(error(ops::causal_self_attention(&t(&[2, 3, 12]), 3)).contains("3 heads"));
    assert!(error(ops::add(&t(&[2, 3]), &t(&[3, 2]))).contains("[3, 2]"));
    let none = Tensor::zeros((0, 3, 12), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(ops::causal_self_attention(&none, 2).unwrap().dims(), [0, 3, 4]);
    assert_eq!(ops::layer_norm(&none, &t(&[12]), &t(&[12]), 1e-5).unwrap().dims(), [0, 3, 12]);
}

#[test]
fn a_position_sees_none_after_it() {
    let qkv = normal("qkv", &[1, 150, 12], DType::F32);
    let later = normal("other", &[1, 50, 12], DType::F32);
    let other = Tensor::cat(&[&qkv.narrow(1, 0, 100).unwrap(), &later], 1).unwrap();
    let y = |x: &Tensor| ops::causal_self_attention(x, 2).unwrap().narrow(1, 0, 100).unwrap();
    assert_eq!(distance(&y(&qkv), &y(&other)), 0.0);
    // Scores far apart leave the range of no exponential.
    let large = (qkv * 300.0).unwrap();
    assert!(numbers(&ops::causal_self_attention(&large, 2).unwrap()).iter().all(|v| v.is_finite()));
}
