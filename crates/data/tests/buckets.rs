//! Bucketed batches hold every sequence once, within their limits, and go on where they stopped.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::Arc;

use batchwise_data::{
    BucketLimits, Buckets, DataError, Dataset, Loader, Order, PADDING, Request, Row, RowsMut, Schema, Target,
    TargetValue, Unit, ValuesMut, gather_batch,
};
use candle_core::Device;
use proptest::prelude::*;

/// Sequence i is i·100, i·100 + 1, …, each followed by the next.
struct Sequences {
    schema: Schema,
    lengths: Vec<usize>,
}

impl Sequences {
    fn new(lengths: &[usize]) -> Sequences {
        let longest = lengths.iter().copied().max().unwrap();
        let schema = Schema { uneven: true, ..Schema::tokens("sequences", longest, 1_000_000) };
        Sequences { schema, lengths: lengths.to_vec() }
    }
}

impl Dataset for Sequences {
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn len(&self) -> u64 {
        self.lengths.len() as u64
    }
    fn content_hash(&self) -> Result<String, DataError> {
        Ok("00".to_owned())
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        let (inputs, targets) = (out.inputs.u32()?, out.targets.u32()?);
        let width = inputs.len() / rows.len();
        for (k, row) in rows.iter().enumerate() {
            let length = self.lengths[row.index as usize];
            for i in 0..width {
                let token = row.index as u32 * 100 + i as u32;
                inputs[k * width + i] = if i < length { token } else { 0 };
                targets[k * width + i] = if i < length { token + 1 } else { PADDING };
            }
        }
        Ok(())
    }
    fn label(&self, _: u64) -> Result<u32, DataError> {
        Err(DataError::NoClasses { name: "sequences".to_owned() })
    }
    fn length(&self, index: u64) -> Result<usize, DataError> {
        Ok(self.lengths[index as usize])
    }
}

fn limits() -> impl Strategy<Value = BucketLimits> {
    let rows = prop_oneof![Just(None), (1u64..20).prop_map(Some)];
    (prop_oneof![Just(None), (50u64..500).prop_map(Some)], rows, 1u64..150)
        .prop_filter("one limit", |(tokens, rows, _)| tokens.is_some() || rows.is_some())
        .prop_map(|(tokens, rows, window)| BucketLimits { tokens, rows, window })
}

fn orders(seed: u64, len: u64) -> [Order; 3] {
    let with_replacement = Order::with_replacement(seed, len).unwrap();
    [Order::new(seed, len).unwrap(), Order::sequential(len).unwrap(), with_replacement]
}

fn rows_of(requests: &[Request]) -> Vec<Row> {
    requests.iter().flat_map(|request| request.rows.clone().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_row_comes_once_in_its_epoch_and_limits_are_kept(
        seed: u64, lengths in proptest::collection::vec(1usize..=50, 1..200), limits in limits(),
    ) {
        let data = Sequences::new(&lengths);
        let len = data.len();
        for order in orders(seed, len) {
            let mut buckets = Buckets::new(&data, &order, 0..3 * len, limits).unwrap();
            let requests: Vec<Request> = buckets.by_ref().collect();
            let mut position = 0;
            let (mut tokens, mut padded) = (0, 0);
            for request in &requests {
                let rows = request.rows.as_ref().unwrap();
                prop_assert_eq!(request.positions.clone(), position..position + rows.len() as u64);
                position = request.positions.end;
                let of_rows = || rows.iter().map(|row| lengths[row.index as usize] as u64);
                let longest = of_rows().max().unwrap();
                prop_assert!(longest * rows.len() as u64 <= limits.tokens.unwrap_or(u64::MAX));
                prop_assert!(rows.len() as u64 <= limits.rows.unwrap_or(u64::MAX));
                prop_assert!(rows.iter().all(|row| row.epoch == rows[0].epoch));
                tokens += of_rows().sum::<u64>();
                padded += longest * rows.len() as u64;
            }
            prop_assert_eq!(position, 3 * len);
            // Window by window the same rows as the order holds.
            let mut found = rows_of(&requests);
            let mut expected = Vec::new();
            order.rows(0..3 * len, &mut expected);
            for epoch in 0..3 {
                let epoch = (epoch * len) as usize..((epoch + 1) * len) as usize;
                let windows = found[epoch.clone()].chunks_mut(limits.window as usize);
                for (found, expected) in windows.zip(expected[epoch].chunks_mut(limits.window as usize)) {
                    found.sort_by_key(|row| row.index);
                    expected.sort_by_key(|row| row.index);
                    prop_assert_eq!(found, expected);
                }
            }
            let stats = buckets.stats();
            prop_assert_eq!((stats.tokens, stats.padded_tokens), (tokens, padded));
            prop_assert_eq!((stats.batches, stats.rows), (requests.len() as u64, 3 * len));
            prop_assert_eq!(stats.padding(), (padded - tokens) as f64 / padded as f64);
            let by_epoch: u64 = (0..3).map(|epoch| buckets.epoch_stats(epoch).padded_tokens).sum();
            prop_assert_eq!(by_epoch, padded);
        }
    }

    #[test]
    fn the_end_of_any_batch_is_enough_to_go_on(
        seed: u64, lengths in proptest::collection::vec(1usize..=50, 1..100), limits in limits(), end in 0u64..250,
    ) {
        let data = Sequences::new(&lengths);
        for order in orders(seed, data.len()) {
            let buckets = || Buckets::new(&data, &order, 0..end, limits).unwrap();
            let whole: Vec<Request> = buckets().collect();
            // The end matters to nothing before it.
            let longer: Vec<Request> = Buckets::new(&data, &order, 0..500, limits).unwrap().collect();
            prop_assert_eq!(&longer[..whole.len()], &whole[..]);
            prop_assert!(whole.last().is_none_or(|last| last.positions.start < end && end <= last.positions.end));
            let mut starts: Vec<u64> = whole.iter().map(|request| request.positions.start).collect();
            for (k, start) in starts.iter().enumerate() {
                let rest: Vec<Request> = Buckets::new(&data, &order, *start..end, limits).unwrap().collect();
                prop_assert_eq!(&rest[..], &whole[k..]);
            }
            // Anywhere else is refused.
            starts.extend(whole.last().map(|last| last.positions.end));
            for start in (0..end).filter(|start| !starts.contains(start)) {
                let error = Buckets::new(&data, &order, start..end, limits).unwrap_err().to_string();
                prop_assert!(error.contains(&format!("is {start}, allowed is where a batch begins")), "{}", error);
            }
        }
    }

    #[test]
    fn masks_weights_and_padding_are_exact(
        seed: u64, lengths in proptest::collection::vec(1usize..=50, 1..60), limits in limits(),
    ) {
        let data = Sequences::new(&lengths);
        let order = Order::new(seed, data.len()).unwrap();
        let mut total = 0;
        for request in Buckets::new(&data, &order, 0..data.len(), limits).unwrap() {
            let rows = request.rows.clone().unwrap();
            let batch = gather_batch(&data, &order, request, &Device::Cpu).unwrap();
            let longest = rows.iter().map(|row| lengths[row.index as usize]).max().unwrap();
            let shape = [rows.len(), longest];
            prop_assert_eq!(batch.inputs.dims(), shape);
            prop_assert_eq!(batch.targets.dims(), shape);
            let mask = batch.mask.unwrap().to_vec2::<f32>().unwrap();
            let (inputs, targets) = (batch.inputs.to_vec2::<u32>().unwrap(), batch.targets.to_vec2::<u32>().unwrap());
            for (k, row) in rows.iter().enumerate() {
                for i in 0..longest {
                    let token = row.index as u32 * 100 + i as u32;
                    let expected =
                        if i < lengths[row.index as usize] { (token, token + 1, 1.0) } else { (0, PADDING, 0.0) };
                    prop_assert_eq!((inputs[k][i], targets[k][i], mask[k][i]), expected);
                }
            }
            let n_real = targets.iter().flatten().filter(|target| **target != PADDING).count() as u64;
            prop_assert_eq!((batch.weight, batch.n_examples), (n_real, rows.len()));
            total += batch.weight;
        }
        prop_assert_eq!(total, lengths.iter().sum::<usize>() as u64);
    }
}

#[test]
fn a_window_of_like_lengths_pads_less_and_comes_shuffled() {
    let lengths: Vec<usize> = (0..5_000).map(|i| 1 + i * 7_919 % 200).collect();
    let data = Sequences::new(&lengths);
    let order = Order::new(3, 5_000).unwrap();
    let buckets = |window| {
        let limits = BucketLimits { tokens: Some(2_000), rows: None, window };
        Buckets::new(&data, &order, 0..5_000, limits).unwrap()
    };
    let padding = [1, 10, 100, 5_000].map(|window| buckets(window).epoch_stats(0).padding());
    // One sequence a batch has none; beyond that, wider windows have less.
    assert_eq!(padding[0], 0.0);
    assert!(padding[2] < padding[1] && padding[3] < padding[2] && padding[3] < 0.03, "{padding:?}");
    // Batches do not come from the shortest on, and come otherwise in the next epoch.
    let longest =
        |request: Request| request.rows.unwrap().iter().map(|row| lengths[row.index as usize]).max().unwrap();
    let lengths_in_turn: Vec<usize> = buckets(5_000).map(longest).collect();
    assert!(!lengths_in_turn.is_sorted());
    let limits = BucketLimits { tokens: Some(2_000), ..BucketLimits::default() };
    let next: Vec<usize> = Buckets::new(&data, &order, 5_000..10_000, limits).unwrap().map(longest).collect();
    assert_ne!(lengths_in_turn, next);
}

#[test]
fn each_window_has_a_shuffle_of_its_own() {
    let data = Sequences::new(&[5; 40]);
    let order = Order::new(3, 40).unwrap();
    let limits = BucketLimits { tokens: None, rows: Some(1), window: 20 };
    let requests: Vec<Request> = Buckets::new(&data, &order, 0..160, limits).unwrap().collect();
    // Of like lengths a window has its positions in another order: which, window by window.
    let found = rows_of(&requests);
    let mut rows = Vec::new();
    order.rows(0..160, &mut rows);
    let shuffles: Vec<Vec<usize>> = found
        .chunks(20)
        .zip(rows.chunks(20))
        .map(|(found, rows)| {
            found.iter().map(|row| rows.iter().position(|other| other == row).unwrap()).collect()
        })
        .collect();
    for (k, shuffle) in shuffles.iter().enumerate() {
        assert!(shuffles[..k].iter().all(|other| other != shuffle), "window {k}: {shuffle:?}");
    }
    // These numbers are for ever: stored runs resume from them.
    assert_eq!(shuffles[1][..6], [13, 12, 15, 2, 11, 17]);
}

#[test]
fn a_loader_takes_bucketed_batches() {
    let data: Arc<dyn Dataset> = Arc::new(Sequences::new(&[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]));
    let order = Order::new(2, 11).unwrap();
    let limits = BucketLimits { tokens: Some(12), ..BucketLimits::default() };
    let buckets = || Buckets::new(data.as_ref(), &order, 0..22, limits).unwrap();
    let mut loader = Loader::new(Arc::clone(&data), order.clone(), Device::Cpu).unwrap();
    let batches: Vec<_> = loader.iter(buckets()).map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.weight).sum::<u64>(), 2 * 44);
    for (batch, request) in batches.iter().zip(buckets()) {
        let twin = gather_batch(data.as_ref(), &order, request, &Device::Cpu).unwrap();
        assert_eq!(batch.positions, twin.positions);
        assert_eq!(batch.inputs.to_vec2::<u32>().unwrap(), twin.inputs.to_vec2::<u32>().unwrap());
    }
}

#[test]
fn what_cannot_be_batched_is_an_error() {
    let error = |lengths: &[usize], order_len, limits| {
        let order = Order::new(1, order_len).unwrap();
        Buckets::new(&Sequences::new(lengths), &order, 0..4, limits).unwrap_err().to_string()
    };
    let tokens = BucketLimits { tokens: Some(8), ..BucketLimits::default() };
    let too_long = error(&[8, 3, 9], 3, tokens);
    assert!(too_long.contains("is 9 at example 2 of `sequences`, allowed is 1..=8"), "{too_long}");
    let empty = error(&[8, 0], 2, tokens);
    assert!(empty.contains("is 0 at example 1"), "{empty}");
    assert!(error(&[1], 2, tokens).contains("the order permutes 2 examples"));
    assert!(error(&[1], 1, BucketLimits::default()).contains("missing"));
    assert!(error(&[1], 1, BucketLimits { window: 0, ..tokens }).contains("window"));
    assert!(error(&[1], 1, BucketLimits { tokens: Some(0), ..tokens }).contains("token limit"));
    assert!(error(&[1], 1, BucketLimits { rows: Some(0), ..tokens }).contains("row limit"));
}

#[test]
fn the_last_positions_there_are_do_not_overflow() {
    let data = Sequences::new(&[1, 2, 3]);
    let order = Order::new(1, 3).unwrap();
    let limits = BucketLimits { tokens: None, rows: Some(1), window: u64::MAX };
    let start = u64::MAX - 4;
    let n = Buckets::new(&data, &order, start..u64::MAX, limits).unwrap().take(10).count();
    assert!(3 < n, "{n}");
    assert_eq!(
        Buckets::new(&data, &order, std::ops::Range { start: 5, end: 2 }, limits).unwrap().next(),
        None
    );
    assert!(Buckets::new(&data, &order, 0..3, limits).unwrap().epoch_stats(u64::MAX).batches < 4);
}

/// Sequences, each with as many values to predict as the longest has positions.
struct Scored(Sequences);

impl Dataset for Scored {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn content_hash(&self) -> Result<String, DataError> {
        self.0.content_hash()
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        out.targets.f32()?.iter_mut().zip(0u8..).for_each(|(value, k)| *value = f32::from(k));
        let mut tokens = vec![0; out.inputs.len()];
        self.0.gather(rows, RowsMut { inputs: out.inputs, targets: ValuesMut::U32(&mut tokens) })
    }
    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.0.label(index)
    }
    fn length(&self, index: u64) -> Result<usize, DataError> {
        self.0.length(index)
    }
}

#[test]
fn only_targets_of_positions_are_as_long_as_the_sequences() {
    let mut sequences = Sequences::new(&[2, 3, 5]);
    let value = |k: u8| TargetValue { name: k.to_string(), mean: 0.0, deviation: 1.0 };
    sequences.schema.target = Target::Values { values: (0..5).map(value).collect() };
    sequences.schema.unit = Unit::Example;
    let order = Order::sequential(3).unwrap();
    let batch = gather_batch(&Scored(sequences), &order, 0..2, &Device::Cpu).unwrap();
    assert_eq!((batch.inputs.dims(), batch.targets.dims()), (&[2, 3][..], &[2, 5][..]));
    assert_eq!(batch.weight, 2);
}
