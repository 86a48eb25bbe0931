//! The loader in an ordinary candle program: shuffled batches of images, two epochs, and a run that is stopped and goes
//! on with the very same examples.
//!
//! `cargo run --release -p batchwise-data --example plain_candle`
#![allow(clippy::print_stdout, reason = "an example for the terminal")]
#![allow(clippy::disallowed_methods, reason = "SGD does not mind in which order VarMap gives its variables")]

use batchwise_data::{Batches, DataError, LastBatch, Loader, Order, open};
use candle_core::{D, DType, Device};
use candle_nn::{Module, Optimizer, SGD, VarBuilder, VarMap, linear, loss};

fn main() -> Result<(), DataError> {
    // Any data set: `open("mnist", None)`, `open("housing.csv:target=price", None)`, …
    let splits = open("glyphs:train=20000,test=2000", None)?;
    let schema = splits.train.schema().clone();
    let device = Device::Cpu;

    let variables = VarMap::new();
    let model = linear(
        schema.input_len(),
        schema.n_outputs(),
        VarBuilder::from_varmap(&variables, DType::F32, &device),
    )?;
    let mut sgd = SGD::new(variables.all_vars(), 0.05)?;

    // The order is a pure function of the seed: an integer, the position, is all there is to save.
    let order = Order::new(42, splits.train.len())?;
    let mut loader = Loader::new(splits.train, order.clone(), device.clone())?;
    let mut position = 0;
    for stop_at in [30_000, 2 * order.len()] {
        println!("from position {position}:");
        for batch in loader.iter(Batches::new(&order, position..stop_at, 64, LastBatch::Keep)?) {
            let batch = batch?;
            let logits = model.forward(&batch.inputs.flatten_from(1)?)?;
            let loss = loss::cross_entropy(&logits, &batch.targets)?;
            sgd.backward_step(&loss)?;
            position = batch.positions.end;
        }
        let stats = loader.stats();
        println!(
            "  {position} examples seen; {:.0} % of the batches had to be waited for",
            100.0 * stats.waited_share()
        );
    }

    let mut test = Loader::sequential(splits.test, device)?;
    let order = test.order().clone();
    let mut right = 0;
    for batch in test.iter(Batches::new(&order, 0..order.len(), 500, LastBatch::Keep)?) {
        let batch = batch?;
        let guesses = model.forward(&batch.inputs.flatten_from(1)?)?.argmax(D::Minus1)?;
        right += guesses.eq(&batch.targets)?.to_dtype(DType::U32)?.sum_all()?.to_scalar::<u32>()?;
    }
    println!("{:.1} % of {} test images right", 100.0 * f64::from(right) / order.len() as f64, order.len());
    Ok(())
}
