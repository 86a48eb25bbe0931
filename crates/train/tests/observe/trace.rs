//! The trace for Perfetto.

use batchwise_train::observe::phases::ChromeTrace;
use serde_json::Value;
use std::path::Path;
use tracing::subscriber::with_default;
use tracing::trace_span;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

/// The events of a closed file: those of spans, and those that name threads.
fn read(path: &Path) -> (Vec<Value>, Vec<Value>) {
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    events.into_iter().partition(|event| event["ph"] == "X")
}

#[test]
fn spans_become_complete_events_that_nest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let trace = ChromeTrace::create(&path, 100).unwrap();
    let layer = trace.layer();
    with_default(registry().with(layer), || {
        let _step = trace_span!("step").entered();
        for _ in 0..2 {
            trace_span!("forward").in_scope(|| std::hint::black_box(vec![0; 1000]));
        }
        tracing::warn!("an event is no span");
    });
    let summary = trace.finish().unwrap();
    assert_eq!((summary.n_events, summary.n_dropped), (3, 0));
    assert_eq!(summary.bytes, std::fs::metadata(&path).unwrap().len());
    let (spans, threads) = read(&path);
    let names: Vec<&str> = spans.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["forward", "forward", "step"]);
    let time = |i: usize, key: &str| spans[i][key].as_f64().unwrap();
    let end = |i| time(i, "ts") + time(i, "dur");
    // Microseconds as f64 are rounded in the last digit.
    assert!(time(2, "ts") <= time(0, "ts") && end(0) <= time(1, "ts") + 1e-6 && end(1) <= end(2) + 1e-6);
    assert_eq!(threads.len(), 1);
    assert_eq!((&threads[0]["ph"], &threads[0]["name"]), (&"M".into(), &"thread_name".into()));
    assert_eq!(threads[0]["args"]["name"], std::thread::current().name().unwrap());
    for event in &spans {
        assert_eq!(event["tid"], threads[0]["tid"]);
        assert_eq!(event["pid"], std::process::id());
        assert_eq!(event["cat"], module_path!());
    }
}

#[test]
fn events_are_written_as_they_come_and_their_number_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let trace = ChromeTrace::create(&path, 3000).unwrap();
    with_default(registry().with(trace.layer()), || {
        for _ in 0..5000 {
            trace_span!("forward").in_scope(|| ());
        }
    });
    let before = std::fs::metadata(&path).unwrap().len();
    assert!(200_000 < before, "{before} bytes were written before the end");
    let summary = trace.finish().unwrap();
    assert_eq!((summary.n_events, summary.n_dropped), (3000, 2000));
    assert_eq!(read(&path).0.len(), 3000);
}

#[test]
fn a_trace_that_is_dropped_is_closed_and_spans_that_come_later_pass_by() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let trace = ChromeTrace::create(&path, 100).unwrap();
    with_default(registry().with(trace.layer()), || {
        trace_span!("forward").in_scope(|| ());
        drop(trace);
        trace_span!("backward").in_scope(|| ());
    });
    let (spans, _) = read(&path);
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0]["name"], "forward");

    drop(ChromeTrace::create(&path, 100).unwrap());
    assert_eq!(read(&path), (vec![], vec![]));
}
