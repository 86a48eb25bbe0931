//! The whole procedure on the built-in images: the answer is complete, it repeats, and memory never changes it.

use serde_json::Value;
use std::sync::OnceLock;
use tests::Place;
use tests::image_set::ImageSet;
use tests::json::{self, assert_close, at, list, number, text, whole};

const ADVISE: [&str; 9] =
    ["advise", "--examples", "2000", "--max-batch", "64", "--model", "mlp", "--json", "--quiet"];

/// One run of `advise` with its folder, for all tests.
fn advised() -> &'static (Place, Value) {
    static RUN: OnceLock<(Place, Value)> = OnceLock::new();
    RUN.get_or_init(|| {
        let place = Place::new();
        let advice = place.run(&[&ADVISE[..], &["--out", "out"]].concat()).json();
        (place, advice)
    })
}

#[test]
fn the_advice_holds_every_field() {
    let advice = &advised().1;
    assert_eq!(whole(advice, "/schema"), 1);
    let learning_rate = number(advice, "/learning_rate");
    assert!(0.0 < learning_rate && learning_rate < 10.0, "{learning_rate}");
    for field in ["/learning_rate_rule", "/binding", "/grade", "/next_measurement", "/speed/model"] {
        text(advice, field);
    }
    for (i, _) in list(advice, "/reasons").iter().enumerate() {
        text(advice, &format!("/reasons/{i}"));
    }
    for point in list(advice, "/memory/points") {
        assert!(0 < whole(point, "/batch") && 0 < whole(point, "/peak_bytes"));
    }
    assert!(0 < whole(advice, "/memory/fixed_bytes") && 0.0 < number(advice, "/memory/bytes_per_example"));
    for point in list(advice, "/speed/points") {
        assert!(0 < whole(point, "/batch") && 0.0 < number(point, "/seconds"), "{point}");
        assert!(0.0 <= number(point, "/spread"), "{point}");
    }
    for field in ["/speed/overhead_seconds", "/speed/seconds_per_example", "/speed/knee"] {
        assert!(0.0 <= number(advice, field), "{field}");
    }
    assert_eq!(text(advice, "/noise/unit"), "examples");
    for point in list(advice, "/noise/points") {
        whole(point, "/examples_seen");
        assert!(number(point, "/g2").is_finite() && 0.0 < number(point, "/tr_sigma"), "{point}");
        for bound in ["/phi", "/low", "/high"] {
            at(point, bound);
        }
        if let (Some(phi), Some(low)) = (point["phi"].as_f64(), point["low"].as_f64()) {
            assert!(low <= phi && point["high"].as_f64().is_none_or(|high| phi <= high), "{point}");
        }
        text(point, "/grade");
    }
    for run in list(advice, "/confirmation") {
        assert!(0 < whole(run, "/batch") && 0.0 < number(run, "/learning_rate"), "{run}");
        assert!(0.0 < number(run, "/train_loss") && 0.0 < number(run, "/seconds"), "{run}");
        assert!((0.0..=1.0).contains(&number(run, "/test_accuracy")), "{run}");
    }
}

#[test]
fn the_parts_of_the_advice_agree() {
    let advice = &advised().1;
    let [batch, micro, steps] =
        ["/batch_size", "/micro_batch", "/accumulation_steps"].map(|field| whole(advice, field));
    assert_eq!(steps, batch.div_ceil(micro), "{batch} in micro-batches of {micro}, the last may be short");
    let [low, high] = [0, 1].map(|i| whole(advice, &format!("/equivalent_batch_sizes/{i}")));
    assert!(low <= batch && batch <= high && high <= 64, "{low} <= {batch} <= {high} <= --max-batch");
    let confirmed: Vec<u64> = list(advice, "/confirmation").iter().map(|run| whole(run, "/batch")).collect();
    assert!(confirmed.contains(&batch), "the advised batch was run: {confirmed:?}");
    assert!(batch == 1 || confirmed.contains(&(batch / 2)), "so was its half: {confirmed:?}");
    assert!(64 < batch * 2 || confirmed.contains(&(batch * 2)), "so was its double: {confirmed:?}");
    let examples: Vec<u64> =
        list(advice, "/confirmation").iter().map(|run| whole(run, "/examples")).collect();
    assert!(examples.iter().all(|n| *n == 2000), "all on the same number of examples: {examples:?}");
}

#[test]
fn the_verified_peak_is_within_5_percent_of_the_predicted() {
    let advice = &advised().1;
    let [predicted, verified] =
        ["/memory/predicted_peak_bytes", "/memory/verified_peak_bytes"].map(|field| number(advice, field));
    assert_close("predicted and verified peak", predicted, verified, 0.05);
}

#[test]
fn the_files_hold_what_was_printed_and_where_it_comes_from() {
    let (place, advice) = advised();
    assert_eq!(json::read(&place.path().join("out/advice.json")), *advice);
    let names = json::assert_all_parse(&place.path().join("out"));
    for name in ["advice.json", "report.html", "provenance.json"] {
        assert!(names.iter().any(|other| other == name), "{name} is missing: {names:?}");
    }
    let origin = at(advice, "/provenance");
    for field in ["/version", "/model", "/optimizer", "/device", "/device_description", "/platform"] {
        text(origin, field);
    }
    assert!(origin.get("commit").is_some(), "null where it is not known, but there");
    assert_eq!(
        list(origin, "/command")[..8],
        ADVISE[..8].iter().map(|word| Value::from(*word)).collect::<Vec<_>>()
    );
    assert_eq!(whole(origin, "/seed"), 1);
    assert!(1_700_000_000 < whole(origin, "/started_at") && 0 < whole(origin, "/threads"));
    assert_eq!(text(origin, "/data/name"), "glyphs");
    for hash in ["/data/train_hash", "/data/test_hash"] {
        assert_eq!(text(origin, hash).len(), 64, "{hash}");
    }
}

#[test]
fn the_same_seed_gives_the_same_noise_bit_for_bit() {
    let noise = |seed: &str| {
        let arguments =
            ["noise", "--examples", "1000", "--max-batch", "64", "--model", "mlp", "--json", "--seed"];
        let mut value = Place::new().run(&[&arguments[..], &[seed]].concat()).json();
        value.as_object_mut().expect("an object").remove("provenance");
        value
    };
    let first = noise("3");
    assert_eq!(first, noise("3"));
    assert_ne!(first, noise("4"), "another seed is another training");
    let (_, advice) = advised();
    let again = Place::new().run(&ADVISE).json();
    assert_eq!(at(advice, "/noise"), at(&again, "/noise"));
    assert_eq!(at(advice, "/learning_rate_search"), at(&again, "/learning_rate_search"));
}

fn train(extra: &[&str]) -> Value {
    let common = ["train", "--model", "mlp", "--json", "--quiet"];
    Place::new().run(&[&common, extra].concat()).json()
}

#[test]
fn the_same_seed_gives_the_same_weights_bit_for_bit() {
    for optimizer in ["sgd", "adamw"] {
        let hash = |seed: &str| {
            let run = train(&["--examples", "1500", "--optimizer", optimizer, "--seed", seed]);
            let hash = text(&run, "/weights_sha256").to_owned();
            assert_eq!(hash.len(), 64);
            (hash, at(&run, "/test_loss").clone())
        };
        assert_eq!(hash("1"), hash("1"), "{optimizer}");
        assert_ne!(hash("1").0, hash("2").0, "{optimizer}");
    }
}

/// Two runs that differ only in how the batch is split.
fn assert_same_training(whole_batch: &Value, split: &Value) {
    for field in ["/steps", "/examples", "/batch_size"] {
        assert_eq!(whole(whole_batch, field), whole(split, field), "{field}");
    }
    for field in ["/train_loss", "/test_loss"] {
        assert_close(field, number(whole_batch, field), number(split, field), 1e-4);
    }
    let accuracy = [whole_batch, split].map(|run| number(run, "/test_accuracy"));
    assert!((accuracy[0] - accuracy[1]).abs() <= 1e-3, "test accuracies {accuracy:?}");
}

#[test]
fn a_smaller_micro_batch_changes_only_memory() {
    let settings = ["--batch", "96", "--examples", "2000"];
    let one = train(&settings);
    let split = train(&[&settings[..], &["--micro-batch", "20"]].concat());
    assert_eq!((whole(&one, "/micro_batch"), whole(&split, "/micro_batch")), (96, 20));
    assert_same_training(&one, &split);
    let peak = |run: &Value| whole(run, "/memory/peak_bytes");
    assert_ne!(peak(&one), peak(&split));
}

#[test]
fn a_third_of_the_memory_gives_the_same_training_in_smaller_micro_batches() {
    let memory =
        Place::new().run(&["memory", "--model", "mlp", "--max-batch", "256", "--json", "--quiet"]).json();
    let last = list(&memory, "/points").last().expect("points");
    assert_eq!(whole(last, "/batch"), 256);
    // By what was measured: the intercept of the fitted line may lie below what the smallest micro-batch takes.
    let least = whole(&memory, "/points/0/peak_bytes");
    let limit = least + (whole(last, "/peak_bytes") - least) / 3;
    let settings = ["--batch", "256", "--examples", "2560"];
    let one = train(&settings);
    let tight = train(&[&settings[..], &["--memory", &limit.to_string()]].concat());
    assert_eq!(whole(&one, "/micro_batch"), 256);
    assert!(whole(&tight, "/micro_batch") < 256, "{tight}");
    assert!(limit < whole(&one, "/memory/peak_bytes"), "the limit binds");
    assert!(whole(&tight, "/memory/peak_bytes") <= limit, "{limit} were allowed: {tight}");
    assert_same_training(&one, &tight);
}

#[test]
fn a_third_of_the_memory_gives_the_same_advice_in_smaller_micro_batches() {
    let place = Place::new();
    // Activations outweigh the gradients in the cnn, and noisy labels ask for a large batch.
    ImageSet { train: 2000, test: 400, random_labels: 70 }.write(&place.path().join("noisy"));
    let common = ["--data", "noisy", "--model", "cnn", "--max-batch", "64", "--json", "--quiet"];
    let run = |command: &[&str]| place.run(&[command, &common].concat()).json();
    let memory = run(&["memory"]);
    let (fixed, all) = (whole(&memory, "/fixed_bytes"), list(&memory, "/points").last().expect("points"));
    let limit = fixed + (whole(all, "/peak_bytes") - fixed) / 3;
    let free = run(&["advise"]);
    let tight = run(&["advise", "--memory", &limit.to_string()]);
    assert!(whole(&tight, "/memory/verified_peak_bytes") <= limit, "{limit} were allowed");
    assert_eq!(whole(&tight, "/memory/limit_bytes"), limit);
    for advice in [&free, &tight] {
        let peak = |name: &str| number(advice, &format!("/memory/{name}_peak_bytes"));
        assert_close("predicted and verified peak", peak("predicted"), peak("verified"), 0.05);
    }
    // What depends on the clock is not compared. All else is measured in the memory that is free, bit for bit the same.
    for part in ["/noise", "/learning_rate_search"] {
        assert_eq!(at(&free, part), at(&tight, part));
    }
    for point in list(&tight, "/speed/points") {
        let [batch, micro] = ["/batch", "/micro_batch"].map(|field| whole(point, field));
        assert_eq!(batch, micro, "the batch is decided by steps that take it whole: {point}");
    }
    let batch = whole(&tight, "/batch_size");
    let at_once = list(&memory, "/points").iter().find(|point| whole(point, "/batch") == batch);
    let at_once = whole(at_once.expect("every power of two up to 64"), "/peak_bytes");
    if limit < at_once {
        assert!(whole(&tight, "/micro_batch") < batch, "{at_once} bytes are not allowed");
        assert_eq!(text(&tight, "/binding"), "memory");
    }
}

#[test]
fn a_third_of_what_the_whole_batch_takes_gives_the_same_training() {
    // Here the activations outweigh all that is fixed, so a third is a third of everything.
    let train = |extra: &[&str]| {
        let common = ["train", "--model", "cnn", "--batch", "256", "--examples", "2560", "--json", "--quiet"];
        Place::new().run(&[&common, extra].concat()).json()
    };
    let one = train(&[]);
    let limit = whole(&one, "/memory/peak_bytes") / 3;
    let tight = train(&["--memory", &limit.to_string()]);
    assert_eq!(whole(&one, "/micro_batch"), 256);
    assert!(whole(&tight, "/micro_batch") < 256, "{tight}");
    assert!(whole(&tight, "/memory/peak_bytes") <= limit, "{limit} were allowed: {tight}");
    assert_same_training(&one, &tight);
}
