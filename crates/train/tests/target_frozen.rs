//! What a model on frozen weights saves, counted with nothing else in the process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_nn::memory::CountingAllocator;
use batchwise_nn::meter::Meter;
use batchwise_nn::models::{Cnn, CnnConfig};
use batchwise_nn::{Parameters, loss};
use batchwise_train::{Task, evaluate, frozen};
use candle_core::{DType, Device, Tensor};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_model_on_frozen_weights_holds_no_graph() {
    let config =
        CnnConfig { in_channels: 1, height: 28, width: 28, channels: vec![8, 8], hidden: 16, classes: 10 };
    let parameters = Parameters::new();
    let model = Cnn::new(&config, parameters.builder(4, DType::F32, &Device::Cpu)).unwrap();
    let twin = Cnn::new(&config, frozen::builder(&parameters, DType::F32, &Device::Cpu)).unwrap();
    let task = Task::new(parameters.clone(), Box::new(model), loss::cross_entropy, Device::Cpu);
    let twin = Task::new(parameters.clone(), Box::new(twin), loss::cross_entropy, Device::Cpu);
    let meter = Meter::new(&Device::Cpu).unwrap();
    let inputs = Tensor::zeros((512, 1, 28, 28), DType::F32, &Device::Cpu).unwrap();
    // The least of several, because any thread of the pool may take its scratch memory late.
    let of = |task: &Task| {
        let once = |_| {
            let before = meter.live().unwrap();
            let output = task.model.forward_t(&inputs, false).unwrap();
            // What lives as long as the output: all activations, or the output alone.
            (meter.live().unwrap().saturating_sub(before), output.track_op())
        };
        (0..8).map(once).min().unwrap()
    };
    let (with, without) = (of(&task), of(&twin));
    assert!(with.1 && !without.1, "whether a graph was recorded");
    assert!(100 * without.0 < with.0, "{} B without a graph, {} B with", without.0, with.0);

    // The same weights, also after they moved.
    let data = batchwise_data::open("glyphs:train=100,test=10", None).unwrap().train;
    for (_, var) in parameters.named() {
        var.set(&var.affine(1.5, 0.01).unwrap().detach()).unwrap();
    }
    assert_eq!(evaluate(&task, &data, 50).unwrap(), evaluate(&twin, &data, 50).unwrap());
}

#[test]
fn weights_that_do_not_exist_are_told() {
    let parameters = Parameters::new();
    candle_nn::linear(3, 2, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
    let vb = frozen::builder(&parameters, DType::F32, &Device::Cpu);
    let error = |shape: usize, name: &str| vb.get(shape, name).unwrap_err().to_string();
    assert!(error(3, "nowhere").contains("parameter `nowhere` does not exist"), "{}", error(3, "nowhere"));
    assert!(
        error(3, "bias").contains("parameter `bias` is F32 [2], asked for F32 [3]"),
        "{}",
        error(3, "bias")
    );
}
