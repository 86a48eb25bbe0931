//! A reader of event files that shares nothing with their writer, and what it finds.

use crate::records::{Kind, STARTED, Told, full, told};
use batchwise_estimate::fieller::Ratio;
use batchwise_train::observe::Record;
use proptest::prelude::*;
use std::path::Path;

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) wall_time: f64,
    pub(crate) step: i64,
    pub(crate) version: Option<String>,
    pub(crate) scalars: Vec<(String, f32)>,
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    !crc
}

fn is_masked(bytes: &[u8], stored: &[u8]) -> bool {
    let crc = crc32c(bytes);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    masked.to_le_bytes() == stored
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes")
}

/// The fields of a message: number, and value as bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let value = varint(&mut bytes);
                fields.push((key >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    fields
}

fn scalar(value: &[u8]) -> (String, f32) {
    let (mut tag, mut number) = (String::new(), None);
    for (field, value) in fields(value) {
        match field {
            1 => tag = String::from_utf8(value).unwrap(),
            2 => number = Some(f32::from_le_bytes(value.try_into().unwrap())),
            other => panic!("field {other} of a value"),
        }
    }
    (tag, number.unwrap())
}

fn event(data: &[u8]) -> Event {
    let mut event = Event { wall_time: f64::NAN, step: 0, version: None, scalars: Vec::new() };
    for (field, value) in fields(data) {
        match field {
            1 => event.wall_time = f64::from_le_bytes(value.try_into().unwrap()),
            2 => event.step = i64::from_le_bytes(value.try_into().unwrap()),
            3 => event.version = Some(String::from_utf8(value).unwrap()),
            5 => event.scalars = fields(&value).iter().map(|(_, value)| scalar(value)).collect(),
            other => panic!("field {other} of an event"),
        }
    }
    event
}

/// All events of a file, each with both checksums right.
pub(crate) fn read(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_at(12);
        assert!(is_masked(&head[..8], &head[8..]));
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let (data, after) = after.split_at(length);
        let (crc, after) = after.split_at(4);
        assert!(is_masked(data, crc));
        events.push(event(data));
        rest = after;
    }
    events
}

fn written(told: &[Told]) -> Vec<Event> {
    let folder = tempfile::tempdir().unwrap();
    let mut observer = Kind::TensorBoard.create(folder.path());
    told.iter().for_each(|told| told.to(observer.as_mut()).unwrap());
    read(&Kind::TensorBoard.path(folder.path()))
}

/// What the table in the documentation of `TensorBoard` says of a record.
pub(crate) fn wanted(told: &Told) -> Vec<(String, f64)> {
    let mut wanted = Vec::new();
    let mut want = |tag: &str, value: Option<f64>| wanted.extend(value.map(|x| (tag.to_owned(), x)));
    match told {
        Told::Step(r) => {
            let n = Some(r.n_readings as f64).filter(|n| 0.0 < *n);
            let mean = |sum: Option<f64>| Some(sum? / n?);
            want("loss/train", Some(r.loss));
            want("learning_rate", Some(r.learning_rate));
            want("batch_size", Some(r.batch_size as f64));
            want("micro_batches", Some(r.n_micro_batches as f64));
            want("epoch", Some(r.epoch));
            want("steps", Some(r.steps as f64));
            want("gradient_norm", r.gradient_norm);
            want("update_norm", r.update_norm);
            want("clipped", r.clipped);
            want("skipped", Some(r.skipped as f64));
            want("examples_per_second", Some(r.examples_per_second));
            want("data_wait_seconds", Some(r.data_wait_seconds));
            let (value, low, high) = match r.phi {
                Some(Ratio::Measured { value, low, high }) => (Some(value), Some(low), Some(high)),
                Some(Ratio::LowerBound { low }) => (None, Some(low), None),
                _ => (None, None, None),
            };
            want("noise/phi", value);
            want("noise/phi_low", low);
            want("noise/phi_high", high);
            want("noise/g2", mean(r.g2));
            want("noise/tr_sigma", mean(r.tr_sigma));
            for (name, g2, tr_sigma) in r.groups.iter().flatten() {
                want(&format!("noise_g2/{name}"), mean(Some(*g2)));
                want(&format!("noise_tr_sigma/{name}"), mean(Some(*tr_sigma)));
            }
        }
        Told::Evaluation(r) => {
            let set = if r.set == "train" { "train_evaluated" } else { &r.set };
            want(&format!("loss/{set}"), Some(r.loss));
            want(&format!("loss_error/{set}"), r.loss_error);
            want(&format!("accuracy/{set}"), r.accuracy);
            want(&format!("accuracy_error/{set}"), r.accuracy_error);
        }
    }
    wanted
}

pub(crate) fn clock(told: &Told) -> (u64, f64) {
    match told {
        Told::Step(r) => (r.examples, STARTED as f64 + r.seconds),
        Told::Evaluation(r) => (r.examples, STARTED as f64 + r.seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_read_back(told in told()) {
        let events = written(&told);
        prop_assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
        prop_assert_eq!(events[0].wall_time, STARTED as f64);
        prop_assert!(events[0].scalars.is_empty());
        prop_assert_eq!(events.len(), 1 + told.len());
        for (event, told) in events[1..].iter().zip(&told) {
            prop_assert_eq!((event.step as u64, event.wall_time), clock(told));
            prop_assert_eq!(&event.version, &None);
            let want: Vec<(String, f32)> = wanted(told).into_iter().map(|(tag, x)| (tag, x as f32)).collect();
            prop_assert_eq!(format!("{:?}", event.scalars), format!("{want:?}"));
        }
    }
}

#[test]
fn a_noise_scale_without_a_value_shows_its_bound() {
    let record = Record { phi: Some(Ratio::LowerBound { low: 12.0 }), ..Record::default() };
    let scalars = written(&[Told::Step(record)]).remove(1).scalars;
    let noise: Vec<_> = scalars.iter().filter(|(tag, _)| tag.starts_with("noise")).collect();
    assert_eq!(noise, [&("noise/phi_low".to_owned(), 12.0)]);
}

#[test]
fn training_loss_and_an_evaluation_on_the_training_set_have_tags_of_their_own() {
    let [_, Told::Evaluation(record)] = full(1) else { panic!() };
    assert_eq!(record.set, "train");
    let events = written(&full(1));
    let tags = |i: usize| events[i].scalars.iter().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>();
    assert!(tags(1).contains(&"loss/train"));
    assert!(tags(2).contains(&"loss/train_evaluated") && !tags(2).contains(&"loss/train"));
}
