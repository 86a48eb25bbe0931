//! The table of phases.

use batchwise_data::open;
use batchwise_nn::models::{Mlp, MlpConfig};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, loss};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::observe::phases::{ChromeTrace, Phase, PhaseTable, Phases};
use batchwise_train::{Plan, Run, Tap, Task, Trainer, evaluate};
use candle_core::{DType, Device};
use tracing::subscriber::with_default;
use tracing::{trace_span, warn_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

fn table(run: impl FnOnce()) -> PhaseTable {
    let phases = Phases::new();
    with_default(registry().with(phases.layer()), run);
    phases.table()
}

fn phase<'a>(table: &'a PhaseTable, name: &str) -> &'a Phase {
    table.phase(name).unwrap_or_else(|| panic!("no {name} in\n{table}"))
}

/// Something to time.
fn work() {
    std::hint::black_box((0..2000u64).fold(0, |a: u64, b| std::hint::black_box(a ^ b)));
}

/// Equal, but for the rounding of nanoseconds to seconds.
fn same(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12 * (1.0 + a.abs()), "{a} {b}");
}

#[test]
fn exclusive_times_add_up_to_the_inclusive_time_around_them() {
    let table = table(|| {
        for _ in 0..5 {
            let _step = warn_span!("step").entered();
            work();
            for _ in 0..2 {
                let _forward = trace_span!("forward").entered();
                work();
                trace_span!("data").in_scope(work);
            }
        }
    });
    let [step, forward, data] = ["step", "forward", "data"].map(|name| phase(&table, name));
    assert_eq!((step.count, forward.count, data.count), (5, 10, 10));
    same(forward.inclusive_seconds, forward.exclusive_seconds + data.inclusive_seconds);
    same(step.inclusive_seconds, step.exclusive_seconds + forward.inclusive_seconds);
    same(data.inclusive_seconds, data.exclusive_seconds);
    for phase in [step, forward, data] {
        assert!(0.0 < phase.exclusive_seconds && phase.exclusive_seconds <= phase.inclusive_seconds);
        same(phase.share, phase.exclusive_seconds / step.inclusive_seconds);
    }
    assert!(table.phases.is_sorted_by(|a, b| b.exclusive_seconds <= a.exclusive_seconds));
    assert_eq!(table.n_threads, 1);
    same(table.other_seconds().unwrap() + step.inclusive_seconds, table.elapsed_seconds);
}

#[test]
fn a_phase_within_itself_counts_once() {
    let table = table(|| {
        let _outer = trace_span!("phase").entered();
        work();
        let _inner = trace_span!("phase").entered();
        work();
    });
    let phase = phase(&table, "phase");
    assert_eq!(phase.count, 2);
    same(phase.inclusive_seconds, phase.exclusive_seconds);
}

#[test]
fn spans_left_in_another_order_or_twice_are_timed() {
    let table = table(|| {
        let (first, second) = (trace_span!("first"), trace_span!("second"));
        let a = first.enter();
        let b = second.enter();
        work();
        drop(a);
        work();
        drop(b);
        first.in_scope(work);
    });
    assert_eq!(phase(&table, "first").count, 2);
    assert_eq!(phase(&table, "second").count, 1);
}

#[test]
fn threads_are_timed_apart() {
    let phases = Phases::new();
    let dispatch = tracing::Dispatch::new(registry().with(phases.layer()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    let _step = trace_span!("step").entered();
                    trace_span!("forward").in_scope(work);
                });
            });
        }
    });
    let table = phases.take();
    let [step, forward] = ["step", "forward"].map(|name| phase(&table, name));
    assert_eq!((step.count, forward.count, table.n_threads), (2, 2, 2));
    same(step.inclusive_seconds, step.exclusive_seconds + forward.exclusive_seconds);
    assert_eq!(table.other_seconds(), None);
    assert!(table.to_string().ends_with("on 2 threads"), "{table}");
    assert_eq!(phases.table().phases, []);
}

#[test]
fn two_layers_do_not_see_each_others_spans_twice() {
    let folder = tempfile::tempdir().unwrap();
    let trace = ChromeTrace::create(&folder.path().join("trace.json"), 100).unwrap();
    let (one, two) = (Phases::new(), Phases::new());
    with_default(registry().with(one.layer()).with(trace.layer()).with(two.layer()), || {
        let _outer = trace_span!("outer").entered();
        trace_span!("inner").in_scope(work);
    });
    assert_eq!(trace.finish().unwrap().n_events, 2);
    for table in [one.table(), two.table()] {
        let [outer, inner] = ["outer", "inner"].map(|name| phase(&table, name));
        assert_eq!((outer.count, inner.count), (1, 1));
        same(outer.inclusive_seconds, outer.exclusive_seconds + inner.inclusive_seconds);
    }
}

#[test]
fn the_layer_asks_for_no_events() {
    let phases = Phases::new();
    with_default(registry().with(phases.layer()), || {
        assert!(tracing::span_enabled!(tracing::Level::TRACE));
        assert!(!tracing::event_enabled!(tracing::Level::ERROR));
    });
}

/// Every phase of a run, as often as it occurs. The norms of the micro-batches are part of their backward passes.
#[test]
fn the_phases_of_a_run_are_counted() {
    let table = table(|| {
        let data = open("glyphs:train=100,test=32", None).unwrap();
        let parameters = Parameters::new();
        let config = MlpConfig { inputs: 784, hidden: vec![8], classes: 10 };
        let model = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
        let task = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
        let plan = Plan::constant(40, Schedule::constant(LearningRate(0.05)));
        let optimizer = OptimizerConfig::Sgd(SgdConfig::USUAL);
        let run = Run { tap: Tap::Norms, ..Run::new(plan, 16, Examples(100), optimizer, 1) };
        let mut trainer = Trainer::new(task, data.train, run).unwrap();
        while trainer.step().unwrap().is_some() {}
        evaluate(trainer.task(), &data.test, 32).unwrap();
    });
    // Two batches of 16 + 16 + 8 and one of 16 + 4; the evaluation takes its 32 examples at once.
    let count = |name| phase(&table, name).count;
    assert_eq!((count("forward"), count("backward"), count("norms"), count("optimizer")), (8, 8, 3, 3));
    assert_eq!((count("data"), count("evaluation")), (8 + 1, 1));
    assert!(table.other_seconds().is_some());
}

#[test]
fn a_table_is_aligned_and_reads_back() {
    let phase = |name: &str, count, inclusive_seconds, exclusive_seconds, share| Phase {
        name: name.to_owned(),
        count,
        inclusive_seconds,
        exclusive_seconds,
        share,
    };
    let phases = vec![
        phase("backward", 1000, 7.5, 7.5, 0.75),
        phase("evaluation", 2, 2.5, 1.5, 0.15),
        phase("data", 1002, 1.0, 1.0, 0.1),
    ];
    let table = PhaseTable { phases, elapsed_seconds: 10.25, n_threads: 1 };
    let want = "\
phase       count  own s   share  with inner s   each ms
backward     1000  7.500  75.0 %         7.500     7.500
evaluation      2  1.500  15.0 %         2.500  1250.000
data         1002  1.000  10.0 %         1.000     0.998
10.250 s in all, 0.250 s of it in no phase";
    assert_eq!(table.to_string(), want);
    let text = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<PhaseTable>(&text).unwrap(), table);
    assert!(PhaseTable::default().to_string().contains("0.000 s in all"));
}
