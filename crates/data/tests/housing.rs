//! The California housing table, where this machine has it, against figures computed anew from its text.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed helper fails its test; skips are said"
)]

use std::path::PathBuf;

use batchwise_data::{Dataset, Row, RowsMut, Target, ValuesMut, open};

fn shared_data() -> Option<PathBuf> {
    let from_environment = std::env::var_os("BATCHWISE_SHARED").map(PathBuf::from);
    let shared =
        from_environment.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let data = shared.join("data");
    let found = data.join("california-housing/housing.csv").is_file();
    if !found {
        eprintln!("SKIPPED: no california-housing in {}, set BATCHWISE_SHARED", data.display());
    }
    found.then_some(data)
}

/// All inputs and targets, row after row.
fn all(dataset: &dyn Dataset) -> (Vec<f32>, Vec<f32>) {
    let schema = dataset.schema();
    let rows: Vec<Row> = (0..dataset.len()).map(Row::new).collect();
    let mut inputs = vec![f32::NAN; rows.len() * schema.input_len()];
    let mut targets = vec![f32::NAN; rows.len()];
    let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::F32(&mut targets) };
    dataset.gather(&rows, out).unwrap();
    (inputs, targets)
}

#[test]
fn housing_is_as_its_text_says() {
    let Some(data) = shared_data() else { return };
    let splits = open("california-housing:target=median_house_value,missing=mean", Some(&data)).unwrap();
    let (train, test) = (splits.train.as_ref(), splits.test.as_ref());
    // The README of the set counts 20,640 rows; 20 % is 4,128, of which the binomial deviation is 57.
    assert_eq!(train.len() + test.len(), 20_640);
    assert!((3_840..4_420).contains(&test.len()), "{}", test.len());
    let schema = train.schema();
    let expected = [
        "longitude",
        "latitude",
        "housing_median_age",
        "total_rooms",
        "total_bedrooms",
        "population",
        "households",
        "median_income",
        "ocean_proximity=<1H OCEAN",
        "ocean_proximity=INLAND",
        "ocean_proximity=ISLAND",
        "ocean_proximity=NEAR BAY",
        "ocean_proximity=NEAR OCEAN",
    ];
    assert_eq!(schema.columns, expected);
    let Target::Values { values } = &schema.target else { panic!("{schema:?}") };
    let target = &values[0];
    assert_eq!(target.name, "median_house_value");

    let ((train_inputs, train_targets), (test_inputs, test_targets)) = (all(train), all(test));
    // The categories, as the README counts them.
    let width = schema.input_len();
    let count = |column: usize| -> f32 {
        train_inputs.chunks(width).chain(test_inputs.chunks(width)).map(|row| row[column]).sum()
    };
    assert_eq!((8..13).map(count).collect::<Vec<_>>(), [9_136.0, 6_551.0, 5.0, 2_290.0, 2_658.0]);
    // Training inputs and targets are standardised.
    for column in 0..8 {
        let values = || train_inputs.chunks(width).map(|row| f64::from(row[column]));
        let n = train.len() as f64;
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-5, "{column}: {mean} ± {deviation}");
    }

    // The text, read without any reader of CSV: no field of it is quoted.
    let text = std::fs::read_to_string(data.join("california-housing/housing.csv")).unwrap();
    let cells: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(cells.len(), 20_640);
    assert_eq!(cells.iter().filter(|row| row[4].is_empty()).count(), 207);
    assert_eq!(cells.iter().filter(|row| row[8] == "500001.0").count(), 965);
    let back = |target_value: &f32| target.mean + target.deviation * f64::from(*target_value);
    let capped =
        train_targets.iter().chain(&test_targets).filter(|t| (back(t) - 500_001.0).abs() < 0.5).count();
    assert_eq!(capped, 965);

    // Of a split that is known, each number comes out as computed from the text.
    let (dir, n_train) = (tempfile::tempdir().unwrap(), 16_512);
    let lines: Vec<&str> = text.lines().collect();
    let file = |rows: &[&str]| format!("{}\n{}\n", lines[0], rows.join("\n"));
    std::fs::write(dir.path().join("train.csv"), file(&lines[1..=n_train])).unwrap();
    std::fs::write(dir.path().join("test.csv"), file(&lines[n_train + 1..])).unwrap();
    let spec = format!("{}:target=median_house_value,missing=mean", dir.path().display());
    let splits = open(&spec, None).unwrap();
    let (mut inputs, mut targets) = all(splits.train.as_ref());
    let (test_inputs, test_targets) = all(splits.test.as_ref());
    inputs.extend(test_inputs);
    targets.extend(test_targets);
    assert_eq!(targets.len(), cells.len());
    for column in 0..9 {
        let numbers: Vec<Option<f64>> = cells.iter().map(|row| row[column].parse().ok()).collect();
        let there: Vec<f64> = numbers[..n_train].iter().copied().flatten().collect();
        let mean = there.iter().sum::<f64>() / there.len() as f64;
        let filled: Vec<f64> = numbers.iter().map(|number| number.unwrap_or(mean)).collect();
        let squares = filled[..n_train].iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let deviation = (squares / n_train as f64).sqrt();
        for (row, number) in filled.iter().enumerate() {
            let value = if column == 8 { targets[row] } else { inputs[row * width + column] };
            let expected = (number - mean) / deviation;
            assert!((f64::from(value) - expected).abs() < 1e-5, "{row}, {column}: {value} is not {expected}");
        }
    }
    // Over all rows the figures are near those of `describe()` in the README, for its own choice of 16,513 rows.
    let incomes: Vec<f64> = cells.iter().map(|row| row[7].parse().unwrap()).collect();
    let mean = incomes.iter().sum::<f64>() / incomes.len() as f64;
    assert!((mean - 3.875651).abs() < 0.03, "{mean}");
}

#[test]
fn housing_without_a_policy_says_which_there_are() {
    let Some(data) = shared_data() else { return };
    let error = open("california-housing:target=median_house_value", Some(&data)).unwrap_err().to_string();
    for part in ["housing.csv", "line 292", "`total_bedrooms`", "missing=mean", "missing=drop", "zero"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    let error = open("california-housing", Some(&data)).unwrap_err().to_string();
    assert!(error.contains("target") && error.contains("`median_house_value`"), "{error}");
    let dropped =
        open("california-housing:target=median_house_value,missing=drop,seed=3", Some(&data)).unwrap();
    assert_eq!(dropped.train.len() + dropped.test.len(), 20_433);
    let classes =
        open("california-housing:target=ocean_proximity,missing=zero,test=0.5", Some(&data)).unwrap();
    assert_eq!(classes.train.schema().n_classes(), Some(5));
}
