//! Looking at every example of a data set.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_data::{DataError, Dataset, Row, RowsMut, Schema, check_examples, open};
use common::Counting;

#[test]
fn good_sets_have_no_fault() {
    let splits = open("glyphs:train=1000,test=100", None).unwrap();
    let mut seen = Vec::new();
    assert_eq!(check_examples(splits.train.as_ref(), &mut |n| seen.push(n)).unwrap(), []);
    assert_eq!(seen, [256, 512, 768, 1000]);
}

#[test]
fn the_example_that_cannot_be_gathered_is_named() {
    let mut set = Counting::new(600);
    set.fails_at = Some(300);
    let faults = check_examples(&set, &mut |_| ()).unwrap();
    assert_eq!((faults.len(), faults[0].index), (1, 300));
    assert!(faults[0].what.contains("row 300"), "{faults:?}");
}

/// Input 7 is infinite, and the class of example 9 does not exist.
struct Bad(Counting);

impl Dataset for Bad {
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
    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.0.label(index)
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        let inputs = batchwise_data::ValuesMut::F32(out.inputs.f32()?);
        self.0
            .gather(rows, RowsMut { inputs, targets: batchwise_data::ValuesMut::U32(out.targets.u32()?) })?;
        for (k, row) in rows.iter().enumerate() {
            match row.index {
                7 => out.inputs.f32()?[2 * k] = f32::INFINITY,
                8 => out.inputs.f32()?[2 * k + 1] = f32::NAN,
                9 => out.targets.u32()?[k] = 3,
                _ => (),
            }
        }
        Ok(())
    }
}

#[test]
fn values_that_cannot_be_are_named() {
    let faults = check_examples(&Bad(Counting::new(20)), &mut |_| ()).unwrap();
    let indices: Vec<u64> = faults.iter().map(|fault| fault.index).collect();
    assert_eq!(indices, [7, 8, 9]);
    assert!(faults[0].what.contains("an input is inf") && faults[1].what.contains("NaN"), "{faults:?}");
    assert!(faults[2].what.contains("a target is 3, allowed is 0..3"), "{faults:?}");
}
