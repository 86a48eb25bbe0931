//! The real MNIST family, where the machine has it: counts, gzip against plain files, and a training that learns.

#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use flate2::read::GzDecoder;
use std::fs::File;
use std::path::PathBuf;
use tests::image_set::FILES;
use tests::json::{at, list, number, text, whole};
use tests::{Place, root};

/// `data` in the shared folder: `$BATCHWISE_SHARED`, or `../shared` beside the workspace.
fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("BATCHWISE_SHARED").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| root().join("../shared")).join("data");
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not there, so the real data sets are not read", folder.display());
        return None;
    }
    Some(folder.canonicalize().expect("the folder is there"))
}

fn describe(place: &Place, arguments: &[&str]) -> serde_json::Value {
    place.run(&[&["data", "--json", "--quiet"], arguments].concat()).json()
}

#[test]
fn the_real_sets_are_read_whole() {
    let Some(shared) = shared() else { return };
    let place = Place::new();
    let dir = shared.to_string_lossy();
    for name in ["mnist", "fashion-mnist"] {
        let info = describe(&place, &["--data", name, "--data-dir", &dir]);
        assert_eq!((whole(&info, "/train_len"), whole(&info, "/test_len")), (60_000, 10_000), "{name}");
        assert_eq!(whole(&info, "/schema/target/n_classes"), 10, "{name}");
        assert_eq!(list(&info, "/schema/input_shape"), [1, 28, 28], "{name}");
        for (part, n) in [("train", 60_000), ("test", 10_000)] {
            let counts = list(&info, &format!("/{part}_classes/counts"));
            assert_eq!(counts.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(), n, "{name}, {part}");
        }
        if name == "fashion-mnist" {
            assert!(list(&info, "/train_classes/counts").iter().all(|count| *count == 6000), "{info}");
        }
    }
}

#[test]
fn plain_and_gzip_files_hold_the_same_examples() {
    let Some(shared) = shared() else { return };
    let place = Place::new();
    let plain = place.path().join("plain");
    std::fs::create_dir(&plain).expect("a folder can be made");
    for name in FILES {
        let packed = File::open(shared.join("mnist").join(format!("{name}.gz"))).expect("the file is there");
        let mut unpacked = File::create(plain.join(name)).expect("a file can be made");
        std::io::copy(&mut GzDecoder::new(packed), &mut unpacked).expect("it unpacks");
    }
    let from_plain = describe(&place, &["--data", "plain"]);
    let from_gzip = describe(&place, &["--data", "mnist", "--data-dir", &shared.to_string_lossy()]);
    for field in ["/train_hash", "/test_hash", "/train_classes", "/train_inputs"] {
        assert_eq!(at(&from_plain, field), at(&from_gzip, field), "{field}");
    }
    let other = describe(&place, &["--data", "fashion-mnist", "--data-dir", &shared.to_string_lossy()]);
    assert_ne!(at(&other, "/train_hash"), at(&from_gzip, "/train_hash"), "other images, another hash");
}

#[test]
fn a_tenth_of_fashion_mnist_teaches_much_and_repeats() {
    let Some(shared) = shared() else { return };
    let place = Place::new();
    let dir = shared.to_string_lossy();
    let train = || {
        let arguments = ["train", "--data", "fashion-mnist", "--data-dir", &dir, "--model", "mlp"];
        place.run(&[&arguments[..], &["--examples", "6000", "--json", "--quiet"]].concat()).json()
    };
    let (first, again) = (train(), train());
    let accuracy = number(&first, "/test_accuracy");
    assert!(0.7 < accuracy, "only {accuracy} of the test set is classified right");
    assert_eq!(text(&first, "/weights_sha256"), text(&again, "/weights_sha256"));
    assert_eq!(at(&first, "/test_loss"), at(&again, "/test_loss"));
}
