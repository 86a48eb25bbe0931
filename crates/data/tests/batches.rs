//! Batches cut an order without loss, whatever their sizes, and go on where they stopped.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::ops::Range;

use batchwise_data::{Batches, DataError, LastBatch, Order};
use proptest::prelude::*;

const ALL: [LastBatch; 3] = [LastBatch::Keep, LastBatch::Drop, LastBatch::Wrap];

fn batches(len: u64, positions: Range<u64>, size: u64, last: LastBatch) -> Batches {
    Batches::new(&Order::sequential(len).unwrap(), positions, size, last).unwrap()
}

/// What the three ways to end an epoch mean, position by position.
fn plain(len: u64, positions: Range<u64>, size: u64, last: LastBatch) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut open: Vec<u64> = Vec::new();
    for position in positions {
        open.push(position);
        let (is_full, ends_epoch) = (open.len() as u64 == size, (position + 1).is_multiple_of(len));
        if is_full || ends_epoch && last == LastBatch::Keep {
            found.push(open[0]..position + 1);
            open.clear();
        } else if ends_epoch && last == LastBatch::Drop {
            open.clear();
        }
    }
    if let (Some(first), true) = (open.first(), last != LastBatch::Drop) {
        found.push(*first..open[open.len() - 1] + 1);
    }
    found
}

proptest! {
    #[test]
    fn batches_are_what_the_words_say(len in 1u64..40, start in 0u64..100, n in 0u64..200, size in 1u64..50) {
        for last in ALL {
            let found: Vec<_> = batches(len, start..start + n, size, last).collect();
            prop_assert_eq!(found, plain(len, start..start + n, size, last), "{:?}", last);
        }
    }

    #[test]
    fn sizes_may_change_and_nothing_is_lost(
        len in 1u64..40,
        start in 0u64..100,
        sizes in proptest::collection::vec(1u64..60, 1..30),
    ) {
        for last in ALL {
            let mut batches = batches(len, start..u64::MAX, 1, last);
            let mut position = start;
            for size in &sizes {
                batches.set_size(*size).unwrap();
                let before = batches.position();
                prop_assert_eq!(before, position);
                // Made anew from the one integer, batches go on in the same way.
                let order = Order::sequential(len).unwrap();
                let mut resumed = Batches::new(&order, before..u64::MAX, *size, last).unwrap();
                let batch = batches.next();
                prop_assert_eq!(resumed.next(), batch.clone());
                prop_assert_eq!(&resumed, &batches);
                let Some(batch) = batch else {
                    // Only a batch that no epoch fills ends what has no end.
                    prop_assert!(last == LastBatch::Drop && len < *size);
                    break;
                };
                match last {
                    LastBatch::Keep => {
                        prop_assert_eq!(batch.start, position);
                        prop_assert_eq!(batch.end, (position + size).min((position / len + 1) * len));
                    }
                    LastBatch::Drop => {
                        prop_assert_eq!(batch.end - batch.start, *size);
                        prop_assert_eq!(batch.start / len, (batch.end - 1) / len);
                        prop_assert!(batch.start == position || batch.start % len == 0 && batch.start - position < *size);
                    }
                    LastBatch::Wrap => prop_assert_eq!(batch.clone(), position..position + size),
                }
                position = batch.end;
            }
        }
    }

    #[test]
    fn any_ends_are_fine(len in 1u64..40, start: u64, end: u64, size in prop_oneof![1u64..50, Just(u64::MAX)]) {
        for last in ALL {
            for (start, end) in [(start, end), (u64::MAX - start % 100, u64::MAX), (start, start)] {
                let mut batches = batches(len, start..end, size, last);
                for _ in 0..5 {
                    let before = batches.position();
                    let Some(batch) = batches.next() else { break };
                    prop_assert!(before <= batch.start && batch.start < batch.end && batch.end <= end);
                    prop_assert_eq!(batches.position(), batch.end);
                }
                prop_assert!(start <= batches.position());
                if end <= start {
                    prop_assert_eq!(batches.next(), None);
                }
            }
        }
    }
}

#[test]
fn a_size_of_nothing_is_an_error() {
    let order = Order::sequential(3).unwrap();
    let error = Batches::new(&order, 0..3, 0, LastBatch::Keep).unwrap_err();
    assert!(matches!(error, DataError::Setting { field: "the batch size", .. }));
    let mut batches = Batches::new(&order, 0..3, 2, LastBatch::Keep).unwrap();
    batches.set_size(0).unwrap_err();
    // The size stays what it was.
    assert_eq!(batches.next(), Some(0..2));
}
