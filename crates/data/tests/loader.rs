//! The loader delivers what its plain twin gathers, in the order asked, whatever happens around it.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use batchwise_data::{
    Batch, DataError, Dataset, Glyphs, GlyphsConfig, Loader, LoaderConfig, Order, READY_BATCHES, Row,
    RowsMut, Schema, Split, gather_batch,
};
use candle_core::{DType, Device};
use common::Counting;
use proptest::prelude::*;

fn bits(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let inputs = batch.inputs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (inputs.into_iter().map(f32::to_bits).collect(), batch.targets.to_vec1().unwrap())
}

#[test]
fn batches_of_changing_size_equal_the_plain_twin() {
    let config = GlyphsConfig { train_len: 100, ..GlyphsConfig::default() };
    let glyphs: Arc<dyn Dataset> = Arc::new(Glyphs::new(&config, Split::Train).unwrap());
    let order = Order::new(3, 100).unwrap();
    for n_threads in [0, 1, 2, 5] {
        let config = LoaderConfig { n_threads, n_ready: 1 + n_threads };
        let mut loader = Loader::with(Arc::clone(&glyphs), order.clone(), Device::Cpu, config).unwrap();
        let requests = [0..1, 1..33, 33..34, 34..100, 100..107, 200..300, 5..9, 90..215];
        for positions in &requests {
            loader.request(positions.clone()).unwrap();
        }
        assert_eq!(loader.n_outstanding(), requests.len());
        for positions in requests {
            let batch = loader.receive().unwrap();
            let twin = gather_batch(glyphs.as_ref(), &order, positions.clone(), &Device::Cpu).unwrap();
            assert_eq!(batch.positions, positions);
            assert_eq!(batch.inputs.dims(), [positions.count(), 1, 28, 28]);
            assert_eq!((batch.inputs.dtype(), batch.targets.dtype()), (DType::F32, DType::U32));
            assert_eq!(bits(&batch), bits(&twin));
            // The memory of one batch serves the next.
            loader.recycle(batch);
        }
        let stats = loader.stats();
        assert_eq!((stats.batches, stats.examples), (8, 1 + 32 + 1 + 66 + 7 + 100 + 4 + 125));
        assert!(Duration::ZERO < stats.wait && Duration::ZERO < stats.gather);
    }
}

#[test]
fn batch_size_does_not_change_the_order() {
    let data: Arc<dyn Dataset> = Arc::new(Counting::new(60));
    let order = Order::new(8, 60).unwrap();
    let rows = |size: u64| -> Vec<u32> {
        let mut loader = Loader::new(Arc::clone(&data), order.clone(), Device::Cpu).unwrap();
        let parts = (0..60 / size).flat_map(|k| {
            loader.request(k * size..(k + 1) * size).unwrap();
            bits(&loader.receive().unwrap()).0
        });
        parts.collect()
    };
    assert_eq!(rows(1), rows(60));
    assert_eq!(rows(4), rows(15));
}

#[test]
fn sequential_keeps_the_order() {
    let mut loader = Loader::sequential(Arc::new(Counting::new(5)), Device::Cpu).unwrap();
    loader.request(1..4).unwrap();
    let inputs = loader.receive().unwrap().inputs.to_vec2::<f32>().unwrap();
    assert_eq!(inputs, [[1.0, 1.25], [2.0, 2.25], [3.0, 3.25]]);
}

#[test]
fn a_failing_row_fails_its_request_only() {
    let data = Counting { fails_at: Some(4), panics_at: Some(7), ..Counting::new(10) };
    let mut loader = Loader::sequential(Arc::new(data), Device::Cpu).unwrap();
    for positions in [0..3, 3..6, 6..8, 8..10] {
        loader.request(positions).unwrap();
    }
    assert!(loader.receive().is_ok());
    assert!(matches!(loader.receive().unwrap_err(), DataError::NoPixels { name } if name == "row 4"));
    let panic = loader.receive().unwrap_err();
    assert!(matches!(&panic, DataError::Panicked { start: 6, end: 8, .. }), "{panic}");
    assert!(panic.to_string().contains("row 7 is cursed"), "{panic}");
    assert_eq!(loader.receive().unwrap().targets.to_vec1::<u32>().unwrap(), [2, 0]);
}

#[test]
fn wrong_requests_are_errors_and_are_not_served() {
    let mut loader =
        Loader::new(Arc::new(Counting::new(10)), Order::new(1, 10).unwrap(), Device::Cpu).unwrap();
    assert!(matches!(loader.receive().unwrap_err(), DataError::NothingRequested));
    assert!(matches!(loader.request(3..3).unwrap_err(), DataError::EmptyRequest { start: 3, end: 3 }));
    assert!(matches!(loader.receive().unwrap_err(), DataError::NothingRequested));
    loader.request(18..20).unwrap();
    assert_eq!(loader.receive().unwrap().positions, 18..20);

    let other = Loader::new(Arc::new(Counting::new(10)), Order::new(1, 11).unwrap(), Device::Cpu);
    assert!(matches!(other.err().unwrap(), DataError::OrderLength { order: 11, dataset: 10, .. }));
}

/// Counts how many batches were gathered, slowly.
struct Slow {
    inner: Counting,
    n_gathered: AtomicU64,
}

impl Dataset for Slow {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn content_hash(&self) -> Result<String, DataError> {
        self.inner.content_hash()
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], out: RowsMut<'_>) -> Result<(), DataError> {
        std::thread::sleep(Duration::from_millis(2));
        self.n_gathered.fetch_add(1, Ordering::SeqCst);
        self.inner.gather(rows, out)
    }
    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.inner.label(index)
    }
}

#[test]
fn a_loader_works_ahead_only_so_far_and_drops_with_requests_outstanding() {
    let slow = Arc::new(Slow { inner: Counting::new(1_000), n_gathered: AtomicU64::new(0) });
    let dataset: Arc<dyn Dataset> = Arc::<Slow>::clone(&slow);
    let mut loader = Loader::sequential(dataset, Device::Cpu).unwrap();
    for k in 0..1_000 {
        loader.request(k..k + 1).unwrap();
    }
    std::thread::sleep(Duration::from_millis(150));
    let most = READY_BATCHES as u64;
    assert_eq!(slow.n_gathered.load(Ordering::SeqCst), most);
    loader.receive().unwrap();
    drop(loader);
    assert!(slow.n_gathered.load(Ordering::SeqCst) <= most + 1);
    // The thread is gone, and with it its share of the data set.
    assert_eq!(Arc::strong_count(&slow), 1);
}

#[test]
fn an_iterator_left_half_way_leaves_nothing_behind() {
    for n_threads in [0, 1, 3] {
        let config = LoaderConfig { n_threads, n_ready: 4 };
        let order = Order::sequential(100).unwrap();
        let mut loader = Loader::with(Arc::new(Counting::new(100)), order, Device::Cpu, config).unwrap();
        for start in [0u64, 50, 7] {
            let requests = (start..start + 20).map(|k| k..k + 1);
            let positions = loader.iter(requests).take(2).map(|batch| batch.unwrap().positions);
            assert_eq!(positions.collect::<Vec<_>>(), [start..start + 1, start + 1..start + 2]);
            assert_eq!(loader.n_outstanding(), 0, "{n_threads} threads");
        }
        assert!(matches!(loader.receive().unwrap_err(), DataError::NothingRequested));
        // Nor does what was in work come later.
        for start in 30..60 {
            loader.request(start..start + 2).unwrap();
            assert_eq!(loader.receive().unwrap().positions, start..start + 2);
        }
    }
}

#[test]
fn a_request_that_is_refused_comes_in_its_turn() {
    let config = LoaderConfig { n_threads: 2, n_ready: 3 };
    let order = Order::sequential(10).unwrap();
    let mut loader = Loader::with(Arc::new(Counting::new(10)), order, Device::Cpu, config).unwrap();
    let found: Vec<Option<u64>> =
        loader.iter([0..1, 1..3, 3..3, 3..5]).map(|batch| batch.ok().map(|b| b.positions.start)).collect();
    assert_eq!(found, [Some(0), Some(1), None, Some(3)]);
}

#[test]
fn a_batch_that_no_memory_holds_is_an_error() {
    for n_threads in [0, 1] {
        let config = LoaderConfig { n_threads, n_ready: 1 };
        let order = Order::sequential(10).unwrap();
        let mut loader = Loader::with(Arc::new(Counting::new(10)), order, Device::Cpu, config).unwrap();
        for end in [u64::MAX, 1 << 62, 1 << 48] {
            loader.request(0..end).unwrap();
            let error = loader.receive().unwrap_err();
            assert!(matches!(error, DataError::Setting { .. }), "{error}");
            assert!(error.to_string().contains(&end.to_string()), "{error}");
        }
        loader.request(2..4).unwrap();
        assert_eq!(loader.receive().unwrap().n_examples, 2);
    }
}

#[test]
fn an_iterator_keeps_as_many_batches_ready_as_the_loader_may() {
    for n_ready in [1, 3] {
        let slow = Arc::new(Slow { inner: Counting::new(100), n_gathered: AtomicU64::new(0) });
        let dataset: Arc<dyn Dataset> = Arc::<Slow>::clone(&slow);
        let config = LoaderConfig { n_threads: 1, n_ready };
        let order = Order::sequential(100).unwrap();
        let mut loader = Loader::with(dataset, order, Device::Cpu, config).unwrap();
        let mut iter = loader.iter((0..100).map(|k| k..k + 1));
        iter.next().unwrap().unwrap();
        // While the caller has the first, and does not ask for another.
        let wanted = 1 + n_ready as u64;
        let patience = (0..5_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            slow.n_gathered.load(Ordering::SeqCst) == wanted
        });
        assert!(patience, "{} of {wanted}", slow.n_gathered.load(Ordering::SeqCst));
    }
}

/// One use of a loader.
#[derive(Clone, Debug)]
enum Use {
    Request(u64, u64),
    Receive,
    ReceiveAndRecycle,
    /// So many batches of an iterator, of which so many are taken.
    Iterate(u64, usize),
}

fn any_use() -> impl Strategy<Value = Use> {
    prop_oneof![
        4 => (0u64..60, 0u64..9).prop_map(|(start, n)| Use::Request(start, n)),
        3 => Just(Use::Receive),
        3 => Just(Use::ReceiveAndRecycle),
        1 => (0u64..12, 0usize..14).prop_map(|(n, taken)| Use::Iterate(n, taken)),
    ]
}

proptest! {
    /// Whatever is asked for, in whatever order, what was asked for first comes first, and rows that fail or panic
    /// touch no other request.
    #[test]
    fn any_sequence_of_uses_delivers_what_was_asked_for(
        uses in proptest::collection::vec(any_use(), 1..60),
        n_threads in 0usize..5,
        n_ready in 1usize..4,
    ) {
        let data = || Counting { fails_at: Some(11), panics_at: Some(23), ..Counting::new(30) };
        let order = Order::new(5, 30).unwrap();
        let config = LoaderConfig { n_threads, n_ready };
        let mut loader = Loader::with(Arc::new(data()), order.clone(), Device::Cpu, config).unwrap();
        let check = |positions: std::ops::Range<u64>, found: Result<Batch, DataError>| {
            let indices: Vec<u64> = positions.clone().map(|position| order.index(position)).collect();
            match found {
                Ok(batch) => {
                    assert_eq!(batch.positions, positions);
                    let inputs = batch.inputs.to_vec2::<f32>().unwrap();
                    assert_eq!(inputs.iter().map(|x| x[0] as u64).collect::<Vec<_>>(), indices);
                    Some(batch)
                }
                Err(_) => {
                    assert!(indices.contains(&11) || indices.contains(&23));
                    None
                }
            }
        };
        let mut asked = std::collections::VecDeque::new();
        for step in uses {
            match step {
                Use::Request(start, n) => {
                    assert_eq!(loader.request(start..start + n).is_ok(), 0 < n);
                    if 0 < n {
                        asked.push_back(start..start + n);
                    }
                }
                Use::Receive | Use::ReceiveAndRecycle => match asked.pop_front() {
                    None => assert!(matches!(loader.receive().unwrap_err(), DataError::NothingRequested)),
                    Some(positions) => {
                        let found = loader.receive();
                        if let (Some(batch), Use::ReceiveAndRecycle) = (check(positions, found), &step) {
                            loader.recycle(batch);
                        }
                    }
                },
                Use::Iterate(n, taken) => {
                    asked.extend((0..n).map(|k| 3 * k..3 * k + 3));
                    let mut iter = loader.iter((0..n).map(|k| 3 * k..3 * k + 3));
                    for _ in 0..taken {
                        match (asked.pop_front(), iter.next()) {
                            (Some(positions), Some(found)) => drop(check(positions, found)),
                            (None, None) => {}
                            (asked, _) => panic!("asked for {asked:?}"),
                        }
                    }
                    asked.clear();
                }
            }
            assert_eq!(loader.n_outstanding(), asked.len());
        }
    }
}
