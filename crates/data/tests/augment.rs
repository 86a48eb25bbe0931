//! Augmentation through the front door: what is chosen depends on seed, epoch and index alone, and is what it says.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::sync::Arc;

use batchwise_data::{
    AugmentConfig, Augmented, Batches, ByteImages, DataError, Dataset, LastBatch, Loader, Order, Row,
    RowsMut, Target, ValuesMut, gather_batch,
};
use candle_core::Device;
use common::Counting;

const N: usize = 64;
const SIDE: usize = 6;
const LEN: usize = 2 * SIDE * SIDE;

/// Images of two channels that differ everywhere, each of its own class.
fn images() -> Arc<ByteImages> {
    let pixels: Vec<u8> =
        (0..(N * LEN) as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let labels = (0..N as u32).collect();
    Arc::new(ByteImages::new("images", [2, SIDE, SIDE], pixels, labels, Vec::new(), None).unwrap())
}

fn augmented(settings: &str) -> Augmented {
    Augmented::new(images(), AugmentConfig::default().with_settings(settings).unwrap(), 7).unwrap()
}

fn rows(epoch: u64) -> Vec<Row> {
    (0..N as u64).map(|index| Row { index, epoch }).collect()
}

fn inputs(dataset: &Augmented, rows: &[Row]) -> Vec<f32> {
    let mut inputs = vec![f32::NAN; rows.len() * LEN];
    let mut targets = vec![0; rows.len()];
    let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::U32(&mut targets) };
    dataset.gather(rows, out).unwrap();
    assert!(rows.iter().zip(targets).all(|(row, target)| row.index == u64::from(target)));
    inputs
}

fn mixtures(dataset: &Augmented, rows: &[Row]) -> (Vec<f32>, Vec<f32>) {
    let (mut inputs, mut targets) = (vec![f32::NAN; rows.len() * LEN], vec![f32::NAN; rows.len() * N]);
    let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::F32(&mut targets) };
    dataset.gather(rows, out).unwrap();
    (inputs, targets)
}

/// The image, moved as `crop` moves it and mirrored, by plain loops; padding is the byte 0.
fn variant(pixels: &[u8], down: i64, right: i64, is_flipped: bool) -> Vec<u8> {
    let side = SIDE as i64;
    let mut out = Vec::new();
    for channel in 0..2 {
        for row in 0..side {
            for column in 0..side {
                let column = if is_flipped { side - 1 - column } else { column };
                let (row, column) = (row + down, column + right);
                let is_inside = (0..side).contains(&row) && (0..side).contains(&column);
                out.push(if is_inside {
                    pixels[((channel * side + row) * side + column) as usize]
                } else {
                    0
                });
            }
        }
    }
    out
}

fn normalised(dataset: &Augmented, pixels: &[u8]) -> Vec<f32> {
    let normaliser = dataset.normaliser().unwrap();
    let value = |(k, pixel): (usize, &u8)| {
        let channel = k / (SIDE * SIDE);
        ((f64::from(*pixel) / 255.0 - normaliser.mean()[channel]) / normaliser.deviation()[channel]) as f32
    };
    pixels.iter().enumerate().map(value).collect()
}

fn are_close(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn without_transforms_it_is_the_set_itself() {
    let plain = augmented("");
    let (expected, _) = common::gather(images().as_ref(), &[5, 9]).unwrap();
    assert_eq!(inputs(&plain, &[Row { index: 5, epoch: 3 }, Row { index: 9, epoch: 0 }]), expected);
    assert_eq!(plain.schema(), images().schema());
}

#[test]
fn every_image_is_one_of_the_variants_in_its_share() {
    let dataset = augmented("crop=1,flip");
    let mut counts = [0u32; 18];
    let mut pixels = vec![0; LEN];
    let n_epochs = 40;
    for epoch in 0..n_epochs {
        for (index, found) in inputs(&dataset, &rows(epoch)).chunks(LEN).enumerate() {
            dataset.pixels(index as u64, &mut pixels).unwrap();
            let kinds = (0..18i64).map(|kind| (kind / 6 - 1, kind % 6 / 2 - 1, kind % 2 == 1));
            let matches = |(down, right, is_flipped)| {
                are_close(found, &normalised(&dataset, &variant(&pixels, down, right, is_flipped)))
            };
            let kinds: Vec<usize> =
                kinds.enumerate().filter(|(_, kind)| matches(*kind)).map(|(k, _)| k).collect();
            assert_eq!(kinds.len(), 1, "example {index} of epoch {epoch} is variants {kinds:?}");
            counts[kinds[0]] += 1;
        }
    }
    // Binomial(2560, 1/18): within five deviations.
    let n = n_epochs as f64 * N as f64;
    let deviation = (n / 18.0 * 17.0 / 18.0).sqrt();
    assert!(counts.iter().all(|count| (f64::from(*count) - n / 18.0).abs() < 5.0 * deviation), "{counts:?}");
}

#[test]
fn epoch_and_seed_choose_and_nothing_else() {
    for settings in ["crop=2", "shift=2", "flip", "erase=1", "crop=3,shift=1,flip=true,erase=0.5"] {
        let dataset = augmented(settings);
        let whole = inputs(&dataset, &rows(3));
        assert_eq!(inputs(&dataset, &rows(3)), whole, "{settings}");
        assert_ne!(inputs(&dataset, &rows(4)), whole, "{settings}");
        // One by one, backwards.
        for row in rows(3).iter().rev() {
            let at = row.index as usize * LEN;
            assert_eq!(inputs(&dataset, &[*row]), whole[at..at + LEN], "{settings}");
        }
        let config = AugmentConfig::default().with_settings(settings).unwrap();
        assert_ne!(inputs(&Augmented::new(images(), config, 8).unwrap(), &rows(3)), whole, "{settings}");
    }
}

#[test]
fn mixtures_are_what_their_targets_say() {
    let dataset = augmented("mixup=0.4");
    assert!(matches!(&dataset.schema().target, Target::Mixture { n_classes: N, .. }));
    let plain = inputs(&augmented(""), &rows(0));
    let image = |class: usize| &plain[class * LEN..][..LEN];
    let mut lambdas = Vec::new();
    let mut partners = vec![0u32; N];
    let n_epochs = 100;
    for epoch in 0..n_epochs {
        let (inputs, targets) = mixtures(&dataset, &rows(epoch));
        for (index, (input, target)) in inputs.chunks(LEN).zip(targets.chunks(N)).enumerate() {
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let partner = (0..N).find(|class| *class != index && 0.0 < target[*class]);
            let lambda = target[index];
            let expected: Vec<f32> = match partner {
                None => image(index).to_vec(),
                Some(partner) => {
                    assert_eq!(
                        target.iter().filter(|weight| 0.0 < **weight).count(),
                        1 + usize::from(0.0 < lambda)
                    );
                    partners[partner] += 1;
                    lambdas.push(f64::from(lambda));
                    let mix = |(a, b): (&f32, &f32)| a * lambda + b * (1.0 - lambda);
                    image(index).iter().zip(image(partner)).map(mix).collect()
                }
            };
            assert!(are_close(input, &expected), "example {index} of epoch {epoch}");
        }
    }
    // Beta(0.4, 0.4) has mean 1/2 and variance 1 / (4 (2 alpha + 1)).
    let n = lambdas.len() as f64;
    let mean = lambdas.iter().sum::<f64>() / n;
    let variance = lambdas.iter().map(|lambda| (lambda - 0.5).powi(2)).sum::<f64>() / n;
    assert!((mean - 0.5).abs() < 5.0 * (1.0 / 7.2 / n).sqrt(), "{mean}");
    assert!((variance - 1.0 / 7.2).abs() < 5.0 * 0.1 / n.sqrt(), "{variance}");
    // Each example is a partner as often as any other: Poisson of about 100.
    assert!(partners.iter().all(|count| (50..150).contains(count)), "{partners:?}");
}

#[test]
fn mixtures_repeat_and_mix_transformed_images() {
    let dataset = augmented("crop=2,flip,erase=0.3,mixup=1");
    let whole = mixtures(&dataset, &rows(2));
    let all = rows(2);
    let (first, second) = all.split_at(13);
    let parts = [mixtures(&dataset, first), mixtures(&dataset, second)];
    assert_eq!([&parts[0].0[..], &parts[1].0[..]].concat(), whole.0);
    assert_eq!([&parts[0].1[..], &parts[1].1[..]].concat(), whole.1);
    assert_ne!(mixtures(&dataset, &rows(3)).1, whole.1);
}

#[test]
fn the_loader_gives_the_same_with_threads() {
    let dataset: Arc<dyn Dataset> = Arc::new(augmented("crop=2,flip,erase=0.5,mixup=0.2"));
    let order = Order::new(3, N as u64).unwrap();
    let mut loader = Loader::new(Arc::clone(&dataset), order.clone(), Device::Cpu).unwrap();
    for batch in loader.iter(Batches::new(&order, 0..3 * N as u64, 10, LastBatch::Keep).unwrap()) {
        let batch = batch.unwrap();
        let twin = gather_batch(dataset.as_ref(), &order, batch.positions.clone(), &Device::Cpu).unwrap();
        assert_eq!(batch.targets.dims(), [batch.n_examples, N]);
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&batch.inputs), values(&twin.inputs));
        assert_eq!(values(&batch.targets), values(&twin.targets));
    }
}

#[test]
fn the_hash_names_every_setting() {
    let settings = ["", "crop=1", "shift=1", "flip", "erase=0.1", "mixup=0.1", "crop=2"];
    let mut hashes: Vec<String> =
        settings.iter().map(|settings| augmented(settings).content_hash().unwrap()).collect();
    hashes.push(Augmented::new(images(), AugmentConfig::default(), 8).unwrap().content_hash().unwrap());
    hashes.push(images().content_hash().unwrap());
    assert_eq!(augmented("flip").content_hash().unwrap(), hashes[3]);
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), settings.len() + 2);
}

#[test]
fn wrong_sets_and_settings_are_errors() {
    let new = |dataset: Arc<dyn Dataset>, settings: &str| {
        Augmented::new(dataset, AugmentConfig::default().with_settings(settings)?, 0).map(drop)
    };
    let error = new(Arc::new(Counting::new(5)), "").unwrap_err();
    assert!(matches!(error, DataError::NoPixels { .. }), "{error}");
    let error = new(Arc::new(augmented("mixup=1")), "flip").unwrap_err();
    assert!(matches!(error, DataError::NoClasses { .. }), "{error}");
    new(Arc::new(augmented("crop=1")), "flip").unwrap();
    for settings in [
        "crop=7",
        "shift=7",
        "crop=-1",
        "flip=maybe",
        "erase=1.5",
        "erase=NaN",
        "mixup=-1",
        "mixup=NaN",
        "mixup=1e-9",
        "mixup=inf",
    ] {
        let error = new(images(), settings).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{settings}: {error}");
    }
    let error = new(images(), "blur=1").unwrap_err();
    assert!(matches!(error, DataError::UnknownSetting { .. }), "{error}");

    let dataset = augmented("mixup=1");
    let (mut inputs, mut targets) = (vec![0.0; LEN], vec![0.0; N]);
    let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::F32(&mut targets) };
    let error = dataset.gather(&[Row::new(N as u64)], out).unwrap_err();
    assert!(matches!(error, DataError::IndexOutOfRange { .. }), "{error}");
    dataset.length(N as u64).unwrap_err();
    assert_eq!((dataset.length(0).unwrap(), dataset.label(3).unwrap(), dataset.len()), (1, 3, N as u64));
}
