//! `simulate`: a trainer whose answers are known.

use crate::cli::Options;
use crate::cli::arguments::SimulateArguments;
use crate::cli::show;
use batchwise_lab::LabError;
use batchwise_lab::simulate::Simulation;
use std::time::Duration;

pub(super) fn run(options: &Options, arguments: &SimulateArguments) -> Result<(), LabError> {
    let is_power =
        arguments.power.is_finite() && arguments.luck.is_none_or(|luck| luck.is_finite() && 0.0 <= luck);
    if !is_power {
        return Err(LabError::Input("--power and --luck must be finite, --luck at least 0".to_owned()));
    }
    let is_rate = arguments.lr.is_finite() && 0.0 < arguments.lr;
    let clocks = [arguments.step_seconds, arguments.example_seconds, arguments.sleep];
    if !(is_rate && arguments.noise.is_finite() && 0.0 < arguments.noise) {
        return Err(LabError::Input("--lr and --noise must be finite and above 0".to_owned()));
    }
    if clocks.iter().any(|clock| !clock.is_finite() || *clock < 0.0) {
        return Err(LabError::Input("seconds must be finite and at least 0".to_owned()));
    }
    let simulation = Simulation {
        batch: arguments.batch,
        learning_rate: arguments.lr,
        seed: options.seed,
        examples: arguments.examples,
        evaluate_examples: arguments.evaluate_every.unwrap_or((arguments.examples / 100).max(1)),
        modes: usize::try_from(arguments.modes).unwrap_or(usize::MAX),
        power: arguments.power,
        noise: arguments.noise,
        luck: arguments.luck,
        step_seconds: arguments.step_seconds,
        example_seconds: arguments.example_seconds,
    };
    let run = simulation.run(&mut |record| {
        show::line(&record.to_string());
        if 0.0 < arguments.sleep {
            std::thread::sleep(Duration::from_secs_f64(arguments.sleep));
        }
        show::fault().is_none()
    });
    run.map_err(|error| LabError::Input(error.to_string()))
}
