//! Tensors as data sets, in memory and in files: what becomes of each type, and every way they can be wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use batchwise_data::{
    DataError, Dataset, Order, Row, RowsMut, Target, TensorDataset, TensorFileConfig, gather_batch, open,
    read_tensors,
};
use candle_core::{DType, Device, Tensor};
use common::gather;
use proptest::prelude::*;

const CPU: Device = Device::Cpu;

fn tensor(values: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_slice(values, shape, &CPU).unwrap().to_dtype(dtype).unwrap()
}

/// `0.0, 1.0, ..`
fn count(n: usize, shape: &[usize], dtype: DType) -> Tensor {
    tensor(&(0..n).map(|i| i as f64).collect::<Vec<_>>(), shape, dtype)
}

fn write(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: HashMap<&str, Tensor> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn file(tensors: &[(&str, Tensor)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.safetensors");
    write(&path, tensors);
    (dir, path)
}

fn read(tensors: &[(&str, Tensor)]) -> Result<(TensorDataset, TensorDataset), DataError> {
    let (_dir, path) = file(tensors);
    read_tensors("some", &path, &TensorFileConfig::default())
}

fn message(result: Result<impl Sized, DataError>) -> String {
    result.map(drop).unwrap_err().to_string()
}

/// All rows of any kind of set, as candle sees them.
fn rows(dataset: &dyn Dataset) -> (Tensor, Tensor) {
    let order = Order::sequential(dataset.len()).unwrap();
    let batch = gather_batch(dataset, &order, 0..dataset.len(), &CPU).unwrap();
    (batch.inputs, batch.targets)
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_type_is_read_from_memory_and_from_files() {
    use DType::*;
    for input in [F32, F64, F16, BF16, U8, U32, I64, I32, I16] {
        for target in [F32, F64, U8, U32, I64, I16] {
            let inputs = count(12, &[4, 3], input);
            let targets = tensor(&[2., 0., 1., 1.], &[4], target);
            let memory = TensorDataset::new("some", &inputs, &targets).unwrap();
            let all = [("train_inputs", &inputs), ("test_inputs", &inputs)];
            let all = all.into_iter().chain([("train_targets", &targets), ("test_targets", &targets)]);
            let all: Vec<(&str, Tensor)> = all.map(|(name, tensor)| (name, tensor.clone())).collect();
            let (_dir, path) = file(&all);
            let (train, test) = read_tensors("some", &path, &TensorFileConfig::default()).unwrap();
            for dataset in [&memory, &train, &test] {
                let (found_inputs, found_targets) = rows(dataset);
                assert_eq!(floats(&found_inputs), floats(&inputs), "{input:?}");
                assert_eq!(floats(&found_targets), floats(&targets), "{target:?}");
                let is_token = matches!(input, U32 | I64 | I32 | I16);
                assert_eq!(found_inputs.dtype(), if is_token { U32 } else { F32 });
                match target {
                    F32 | F64 => {
                        assert_eq!(dataset.schema().n_outputs(), 1);
                        assert_eq!(found_targets.dims(), [4, 1]);
                        assert!(matches!(dataset.label(0).unwrap_err(), DataError::NoClasses { .. }));
                    }
                    _ => {
                        assert_eq!(dataset.schema().n_classes(), Some(3));
                        assert_eq!((dataset.label(0).unwrap(), found_targets.dims()), (2, &[4][..]));
                    }
                }
                assert!(matches!(dataset.pixels(0, &mut [0; 3]).unwrap_err(), DataError::NoPixels { .. }));
            }
            assert_eq!(train.resident_bytes(), 0);
            assert_eq!(train.content_hash().unwrap(), test.content_hash().unwrap());
        }
    }
}

#[test]
fn integers_of_the_same_shape_are_next_tokens() {
    let inputs = count(12, &[3, 4], DType::I64);
    let set = TensorDataset::new("ids", &inputs, &(inputs.clone() + 1.0).unwrap()).unwrap();
    assert!(matches!(set.schema().target, Target::NextToken { n_tokens: 13 }));
    let (inputs, targets) = rows(&set);
    assert_eq!(inputs.to_vec2::<u32>().unwrap()[2], [8, 9, 10, 11]);
    assert_eq!(targets.to_vec2::<u32>().unwrap()[2], [9, 10, 11, 12]);
    // A test split with a token that training does not know.
    let more = count(40, &[10, 4], DType::U32);
    let more = TensorDataset::new("ids", &more, &more).unwrap();
    let message = message(more.matching(&set));
    assert!(
        message.contains("the number of tokens of tensor `targets` is 40, allowed is at most 13"),
        "{message}"
    );
}

#[test]
fn bytes_of_images_are_normalised_as_in_training() {
    let train = count(24, &[2, 1, 3, 4], DType::U8);
    let test = (count(24, &[2, 1, 3, 4], DType::U8) * 2.0).unwrap();
    let labels = tensor(&[0., 1.], &[2], DType::U8);
    let new = |images: &Tensor| TensorDataset::new("images", images, &labels).unwrap();
    let (train_set, test_set) = (new(&train), new(&test).matching(&new(&train)).unwrap());
    let mean = 11.5 / 255.0;
    let deviation = ((24.0f64 * 24.0 - 1.0) / 12.0).sqrt() / 255.0;
    for (dataset, factor) in [(&train_set, 1.0), (&test_set, 2.0)] {
        let (inputs, labels) = gather(dataset, &[1, 0]).unwrap();
        for (k, input) in inputs.iter().enumerate() {
            let pixel = ((k + 12) % 24) as f64 * factor / 255.0;
            assert!((f64::from(*input) - (pixel - mean) / deviation).abs() < 1e-5);
        }
        assert_eq!(labels, [1, 0]);
    }
    let mut pixels = [0; 12];
    test_set.pixels(1, &mut pixels).unwrap();
    assert_eq!(pixels[..3], [24, 26, 28]);
    assert_ne!(new(&test).content_hash().unwrap(), test_set.content_hash().unwrap());

    // A file without a split: the mean is that of the rows to train on.
    let n = 50;
    let images = count(n * 4, &[n, 1, 2, 2], DType::U8);
    let labels = tensor(&(0..n).map(|i| (i % 7) as f64).collect::<Vec<_>>(), &[n], DType::I64);
    let (train, test) = read(&[("inputs", images), ("targets", labels)]).unwrap();
    assert_eq!((train.len(), test.len()), (40, 10));
    let (inputs, _) = rows(&train);
    let mean = floats(&inputs).iter().sum::<f32>() / 160.0;
    assert!(mean.abs() < 1e-5, "{mean}");
    assert_eq!(train.normaliser().unwrap().mean(), test.normaliser().unwrap().mean());
}

#[test]
fn a_file_without_a_split_is_shuffled_apart() {
    let n = 103;
    let inputs = count(n, &[n], DType::F32);
    let targets = count(n, &[n, 1], DType::F64);
    let (_dir, path) = file(&[("x", inputs), ("y", targets)]);
    let spec = |settings: &str| open(&format!("{}:inputs=x,targets=y{settings}", path.display()), None);
    let parts = |settings: &str| {
        let splits = spec(settings).unwrap();
        let (train, test) = (floats(&rows(splits.train.as_ref()).0), floats(&rows(splits.test.as_ref()).0));
        (train, test, splits.train.content_hash().unwrap())
    };
    let (train, test, hash) = parts("");
    assert_eq!((train.len(), test.len()), (82, 21));
    let mut all: Vec<f32> = train.iter().chain(&test).copied().collect();
    all.sort_by(f32::total_cmp);
    assert_eq!(all, (0..n).map(|i| i as f32).collect::<Vec<_>>(), "each row is in one part");
    assert!(test.iter().any(|row| *row < 50.0) && test.iter().any(|row| 50.0 < *row), "{test:?}");
    assert_eq!(parts(""), (train.clone(), test.clone(), hash.clone()));
    let other = parts(",seed=1");
    assert!(other.1 != test && other.2 != hash);
    assert_eq!(parts(",test=0.5").1.len(), 52);
    for (settings, part) in [
        (",test=0", "test is 0, allowed is a fraction"),
        (",test=NaN", "test is NaN"),
        (",seed=-1", "seed is -1"),
        (",colour=red", "no setting `colour`, allowed are: inputs, targets, test, seed"),
    ] {
        let message = message(spec(settings));
        assert!(message.contains(part), "{message}");
    }
    let message = message(open(path.to_str().unwrap(), None));
    assert!(message.contains("tensor `inputs` is not among its tensors (x, y)"), "{message}");
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    use DType::{F32, I64, U8, U32};
    let inputs = || count(12, &[4, 3], F32);
    let classes = |values: &[f64]| tensor(values, &[values.len()], I64);
    let good = || classes(&[0., 1., 1., 0.]);
    let cases = [
        (inputs(), classes(&[0., 1., 2.]), "the number of rows of tensor `targets` is 3, allowed is 4"),
        (inputs(), classes(&[0., 1., -1., 0.]), "row 2: a value of tensor `targets` is negative"),
        (inputs(), classes(&[0., 1., 5e9, 0.]), "row 2: a value of tensor `targets` is negative or above"),
        (
            inputs(),
            classes(&[0., 1., 2e7, 0.]),
            "row 2: a value of tensor `targets` is 20000000, allowed is 0..16777216",
        ),
        (inputs(), count(8, &[4, 2], I64), "the shape of a row of tensor `targets` is [2]"),
        (inputs(), count(16, &[4, 2, 2], F32), "the shape of a row of tensor `targets` is [2, 2]"),
        (inputs(), tensor(&[0., 1., f64::NAN, 0.], &[4], F32), "row 2: a value of tensor `targets` is NaN"),
        (tensor(&[f64::INFINITY; 12], &[4, 3], F32), good(), "row 0: a value of tensor `inputs` is inf"),
        (count(0, &[4, 0], F32), good(), "the shape of tensor `inputs` is [4, 0]"),
        (count(1, &[], F32), good(), "the shape of tensor `inputs` is []"),
        (tensor(&[-1.; 12], &[4, 3], I64), good(), "row 0: a value of tensor `inputs` is negative"),
    ];
    for (inputs, targets, part) in cases {
        let memory = TensorDataset::new("some", &inputs, &targets).and_then(touch);
        assert!(message(memory).contains(part), "{part}");
        let read = read(&[
            ("train_inputs", inputs.clone()),
            ("train_targets", targets.clone()),
            ("test_inputs", inputs),
            ("test_targets", targets),
        ]);
        let message = message(read.and_then(|(train, _)| touch(train)));
        let part = part.replace("tensor `", "tensor `train_");
        assert!(message.contains(&part) && message.contains("some.safetensors"), "{part}: {message}");
    }

    let four = |test_inputs, test_targets| {
        message(read(&[
            ("train_inputs", inputs()),
            ("train_targets", good()),
            ("test_inputs", test_inputs),
            ("test_targets", test_targets),
        ]))
    };
    for (message, part) in [
        (four(count(8, &[4, 2], F32), good()), "the shape of a row of tensor `test_inputs` is [2] of f32"),
        (four(inputs(), count(4, &[4], F32)), "the shape of a row of tensor `test_targets`"),
        (
            four(inputs(), count(4, &[4], U8)),
            "the number of classes of tensor `test_targets` is 4, allowed is at most 2",
        ),
        (message(read(&[("inputs", inputs()), ("targets", count(1, &[1], U32))])), "number of rows"),
        (message(read(&[("inputs", inputs()), ("targets", classes(&[0.; 4]))])), "greatest class number"),
        (
            message(read(&[("inputs", count(1, &[1], F32)), ("targets", count(1, &[1], F32))])),
            "at least 2, one",
        ),
        (
            message(read(&[("train_inputs", inputs()), ("train_targets", good())])),
            "tensor `test_inputs` is not among",
        ),
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(
        message(TensorDataset::with_classes("v", vec![0.0; 5], &[2], vec![0, 1]))
            .contains("number of values")
    );
    assert!(message(TensorDataset::with_classes("v", vec![], &[2], vec![])).contains("shape"));
    assert!(
        message(TensorDataset::with_classes("v", vec![1.0], &[usize::MAX, 3], vec![1])).contains("shape")
    );
    assert!(message(TensorDataset::with_values("v", vec![1.0], &[1], vec![f32::NAN], 1)).contains("NaN"));
    assert!(message(TensorDataset::with_values("v", vec![1.0], &[1], vec![0.0], 0)).contains("shape"));
}

/// Gathers, hashes and labels all that there is.
fn touch(dataset: TensorDataset) -> Result<(), DataError> {
    dataset.content_hash()?;
    let order = Order::sequential(dataset.len())?;
    for index in 0..dataset.len() {
        gather_batch(&dataset, &order, index..index + 1, &CPU)?;
        if dataset.schema().n_classes().is_some() {
            dataset.label(index)?;
        }
    }
    Ok(())
}

#[test]
fn wrong_calls_and_cut_files_are_errors() {
    let n = 9_000;
    let inputs = count(n, &[n, 1], DType::F32);
    let targets = tensor(&(0..n).map(|i| (i % 3) as f64).collect::<Vec<_>>(), &[n], DType::U8);
    let (_dir, path) = file(&[("inputs", inputs), ("targets", targets)]);
    let (train, _) = read_tensors("some", &path, &TensorFileConfig::default()).unwrap();
    gather(&train, &[0, 1]).unwrap();
    assert!(matches!(gather(&train, &[7_200]).unwrap_err(), DataError::IndexOutOfRange { len: 7_200, .. }));
    assert!(matches!(train.label(7_200).unwrap_err(), DataError::IndexOutOfRange { .. }));
    let error = common::gather_into(&train, &[0], &mut [0.0; 2], &mut [0]).unwrap_err();
    assert!(matches!(error, DataError::BufferLength { expected: 1, .. }), "{error}");
    let out = RowsMut {
        inputs: batchwise_data::ValuesMut::U32(&mut [0]),
        targets: batchwise_data::ValuesMut::U32(&mut [0]),
    };
    assert!(matches!(train.gather(&[Row::new(0)], out).unwrap_err(), DataError::BufferType { .. }));
    std::fs::File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
    let message = gather(&train, &[0]).unwrap_err().to_string();
    assert!(message.contains("byte 5000"), "{message}");
}

#[test]
fn lying_headers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.safetensors");
    let try_header = |header: &str, n_bytes: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + n_bytes, 0);
        std::fs::write(&path, bytes).unwrap();
        message(read_tensors("some", &path, &TensorFileConfig::default()))
    };
    let one = |shape: &str, offsets: &str| {
        format!(r#"{{"inputs":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |first: &str, second: &str| {
        let info = |offsets| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}"#);
        format!(r#"{{"inputs":{},"targets":{}}}"#, info(first), info(second))
    };
    for (header, n_bytes) in [
        (one("[4]", "[0,16]"), 15),
        (one("[4]", "[0,16]"), 17),
        (one("[4]", "[0,12]"), 12),
        (one("[4]", "[16,0]"), 16),
        (one("[2147483648,2147483648,4]", "[0,16]"), 16),
        (one("[18446744073709551615]", "[0,18446744073709551615]"), 16),
        (one("[4611686018427387904,4]", "[0,0]"), 0),
        (one("[-1]", "[0,16]"), 16),
        (two("[0,8]", "[4,12]"), 12),
        (two("[0,8]", "[16,24]"), 24),
        ("[".repeat(100_000), 0),
        ("{\"a\":".repeat(100_000), 0),
        ("\"".to_owned(), 0),
        (String::new(), 0),
    ] {
        let message = try_header(&header, n_bytes);
        assert!(
            message.contains("some.safetensors") && message.contains("no file of tensors ("),
            "{message}"
        );
    }
    let message_of = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        message(read_tensors("some", &path, &TensorFileConfig::default()))
    };
    for bytes in [&[1, 2][..], &[0xff; 8], &[0xff, 0xff, 0xff, 5, 0, 0, 0, 0], b"\x02\0\0\0\0\0\0\0\xff\xff"]
    {
        assert!(message_of(bytes).contains("no file of tensors ("));
    }
    assert!(message_of(&[]).contains("holds no examples"));
    let wrong_type = one("[4]", "[0,4]").replace("F32", "F8_E5M2");
    assert!(try_header(&wrong_type, 4).contains("the type of tensor `inputs` is F8_E5M2"));
    assert!(try_header(&one("[]", "[0,4]"), 4).contains("the shape of tensor `inputs` is []"));
}

#[test]
fn random_bytes_never_panic() {
    let (_dir, path) =
        file(&[("inputs", count(6, &[6], DType::F32)), ("targets", count(6, &[6], DType::I16))]);
    let good = std::fs::read(&path).unwrap();
    let mut tried = 0;
    let mut attempt = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let read = read_tensors("fuzz", &path, &TensorFileConfig::default());
        let touched = read.and_then(|(train, test)| touch(train).and_then(|()| touch(test)));
        if let Err(error) = touched {
            assert!(error.to_string().contains("some.safetensors"), "the message names the file: {error}");
        }
        tried += 1;
    };
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        attempt(&bytes);
    }
    for len in 0..good.len() {
        attempt(&good[..len]);
    }
    let mut state = 7u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    for _ in 0..1_000 {
        let (from, to) = (below(good.len()), below(good.len()));
        let len = below(good.len() - from.max(to));
        let mut bytes = good.clone();
        bytes.copy_within(from..from + len, to);
        attempt(&bytes);
    }
    assert!(2_000 < tried);
}

proptest! {
    /// What goes in comes out, whatever the shape and order of the rows.
    #[test]
    fn vectors_come_back(n in 1usize..20, shape in prop::collection::vec(1usize..4, 0..3), seed: u64) {
        let len: usize = shape.iter().product();
        let value = |i: usize| (i as u64).wrapping_mul(seed) as u32 as f32;
        let inputs: Vec<f32> = (0..n * len).map(value).collect();
        let classes: Vec<u32> = (0..n).map(|i| (i as u32).wrapping_mul(seed as u32) % 5).collect();
        let set = TensorDataset::with_classes("v", inputs.clone(), &shape, classes.clone()).unwrap();
        let twin = TensorDataset::with_values("v", inputs.clone(), &shape, inputs.clone(), len).unwrap();
        let order: Vec<u64> = (0..n as u64).map(|i| (i * 7 + seed % 97) % n as u64).collect();
        let (found, targets) = gather(&set, &order).unwrap();
        for (k, row) in order.iter().map(|row| *row as usize).enumerate() {
            prop_assert_eq!(&found[k * len..][..len], &inputs[row * len..][..len]);
            prop_assert_eq!(targets[k], classes[row]);
        }
        let (inputs, values) = rows(&twin);
        prop_assert_eq!(floats(&inputs), floats(&values));
        prop_assert_eq!(set.schema().input_len(), len);
    }
}

#[test]
fn bytes_and_floats_are_not_matched() {
    for (train, test) in [(DType::U8, DType::F32), (DType::F32, DType::U8)] {
        let images = |dtype| count(32, &[8, 1, 2, 2], dtype);
        let labels = tensor(&[0., 1., 0., 1., 0., 1., 0., 1.], &[8], DType::U32);
        let result = read(&[
            ("train_inputs", images(train)),
            ("train_targets", labels.clone()),
            ("test_inputs", images(test)),
            ("test_targets", labels),
        ]);
        let message = message(result);
        assert!(message.contains("`test_inputs`") && message.contains("as in training"), "{message}");
    }
}
