//! CSV files: what becomes of good ones, and how bad ones are refused.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::path::{Path, PathBuf};

use batchwise_data::{
    At, DataError, Dataset, Missing, Row, RowsMut, Splits, TableConfig, Target, Task, TestRows, ValuesMut,
    open, read_table,
};
use common::gather;
use proptest::prelude::*;

const GOOD: &str = "a,b,kind,y\n1,10,red,0.5\n2,20,blue,1.5\n3,30,red,2.5\n4,40,green,3.5\n";

/// A folder with `train.csv` and `test.csv`.
fn folder(train: impl AsRef<[u8]>, test: impl AsRef<[u8]>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("train.csv"), train).unwrap();
    std::fs::write(dir.path().join("test.csv"), test).unwrap();
    dir
}

fn read(train: &str, test: &str, config: &TableConfig) -> Result<Splits, DataError> {
    read_table("table", folder(train, test).path(), config)
}

/// The place and text of the error of a bad training file.
fn error_of(train: impl AsRef<[u8]>, config: &TableConfig) -> (At, String) {
    let error = read_table("table", folder(&train, &train).path(), config).unwrap_err();
    let message = error.to_string();
    let DataError::Format { path, at, .. } = error else { panic!("{message}") };
    assert!(path.ends_with("train.csv"), "{message}");
    (at, message)
}

/// Inputs and targets of a set with targets that are values.
fn gather_values(dataset: &dyn Dataset) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let schema = dataset.schema();
    let rows: Vec<Row> = (0..dataset.len()).map(Row::new).collect();
    let mut inputs = vec![f32::NAN; rows.len() * schema.input_len()];
    let mut targets = vec![f32::NAN; rows.len() * schema.target_len()];
    let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::F32(&mut targets) };
    dataset.gather(&rows, out).unwrap();
    let rows = |values: &[f32], n: usize| values.chunks(n).map(<[f32]>::to_vec).collect();
    (rows(&inputs, schema.input_len()), rows(&targets, schema.target_len()))
}

fn with_missing(missing: Missing) -> TableConfig {
    TableConfig { missing, ..TableConfig::new(&["y"]) }
}

#[test]
fn numbers_are_standardised_and_categories_spread() {
    let splits = read(GOOD, "y,kind,b,a,more\n0.5,green,20,2.5,x\n", &TableConfig::new(&["y"])).unwrap();
    let schema = splits.train.schema();
    assert_eq!(schema.columns, ["a", "b", "kind=blue", "kind=green", "kind=red"]);
    assert_eq!((schema.input_shape.as_slice(), schema.n_outputs()), (&[5][..], 1));
    let Target::Values { values } = &schema.target else { panic!("{schema:?}") };
    let deviation = 1.25f64.sqrt();
    assert_eq!((values[0].name.as_str(), values[0].mean, values[0].deviation), ("y", 2.0, deviation));

    let (inputs, targets) = gather_values(splits.train.as_ref());
    let (one, three) = ((0.5 / deviation) as f32, (1.5 / deviation) as f32);
    assert_eq!(inputs[1], [-one, -one, 1.0, 0.0, 0.0]);
    assert_eq!(inputs[3], [three, three, 0.0, 1.0, 0.0]);
    assert_eq!(targets.concat(), [-three, -one, one, three]);
    // By the training rows, and by the names of the columns.
    let (inputs, targets) = gather_values(splits.test.as_ref());
    assert_eq!((inputs[0].as_slice(), targets[0][0]), (&[0.0, -one, 0.0, 1.0, 0.0][..], -three));
    assert_eq!((splits.train.resident_bytes(), splits.test.resident_bytes()), (4 * 4 * 4, 4 * 4));
    assert!(matches!(splits.train.label(0).unwrap_err(), DataError::NoClasses { .. }));
}

#[test]
fn spelling_changes_nothing() {
    let hash = |text: &[u8]| {
        let dir = folder(text, GOOD);
        let splits = read_table("table", dir.path(), &TableConfig::new(&["y"])).unwrap();
        splits.train.content_hash().unwrap()
    };
    let plain = hash(GOOD.as_bytes());
    let same = [
        format!("\u{feff}{GOOD}"),
        GOOD.replace('\n', "\r\n"),
        GOOD.replace('\n', "\n\n\n"),
        GOOD.trim_end().to_owned(),
        GOOD.replace(',', " , "),
        GOOD.replace("red", "\"red\"").replace("10", "\"1e1\"").replace("a,b", "\"a\",b"),
    ];
    for text in same {
        assert_eq!(hash(text.as_bytes()), plain, "{text:?}");
    }
    for text in [GOOD.replace("20", "21"), GOOD.replace("red", "rot"), GOOD.replace("a,", "A,")] {
        let dir = folder(&text, &text);
        let splits = read_table("table", dir.path(), &TableConfig::new(&["y"])).unwrap();
        assert_ne!(splits.train.content_hash().unwrap(), plain, "{text:?}");
    }
    let quoted = "a,\"b,\"\"c\"\"\",y\n1,\"x\ny\",1\n2,\"x,y\",2\n";
    let splits = read(quoted, quoted, &TableConfig::new(&["y"])).unwrap();
    assert_eq!(splits.train.schema().columns, ["a", "b,\"c\"=x\ny", "b,\"c\"=x,y"]);
}

#[test]
fn classes_by_name_and_by_number() {
    let splits = read(GOOD, GOOD, &TableConfig::new(&["kind"])).unwrap();
    let Target::Class { names, n_classes: 3 } = &splits.train.schema().target else { panic!() };
    assert_eq!(names, &["blue", "green", "red"]);
    assert_eq!(gather(splits.train.as_ref(), &[3, 0, 1, 2]).unwrap().1, [1, 2, 0, 2]);
    assert_eq!(splits.train.label(3).unwrap(), 1);
    assert!(matches!(splits.train.label(4).unwrap_err(), DataError::IndexOutOfRange { .. }));

    let numbers = "x,y\n1,10\n2,-1\n3,9\n4,10\n";
    let config = TableConfig { task: Some(Task::Class), ..TableConfig::new(&["y"]) };
    let splits = read(numbers, numbers, &config).unwrap();
    let Target::Class { names, .. } = &splits.train.schema().target else { panic!() };
    assert_eq!(names, &["-1", "9", "10"]);
    let (at, message) = error_of(numbers.replace("9", "9.5"), &config);
    assert!(at == At::Line(4) && message.contains("9.5") && message.contains("whole number"), "{message}");
    let (_, message) = error_of("x,y\n1,3\n2,3\n", &config);
    assert!(message.contains("only `3`") && message.contains("at least 2"), "{message}");
    let error = read(numbers, "x,y\n1,9\n\n1,7\n", &config).unwrap_err().to_string();
    assert!(
        error.contains("test.csv`, line 4") && error.contains("`7`") && error.contains("`-1`, `9`, `10`"),
        "{error}"
    );
    // A column that begins with a number, as categories.
    let config = TableConfig { categories: vec!["x".to_owned()], ..TableConfig::new(&["y"]) };
    let splits = read(numbers, numbers, &config).unwrap();
    assert_eq!(splits.train.schema().columns, ["x=1", "x=2", "x=3", "x=4"]);
}

#[test]
fn several_targets_and_constant_columns() {
    let text = "a,b,c,d\n1,7,0.1,1\n2,7,0.1,5\n3,7,0.1,9\n";
    let splits = read(text, text, &TableConfig::new(&["d", "c"])).unwrap();
    let (inputs, targets) = gather_values(splits.train.as_ref());
    assert_eq!(inputs.iter().map(|row| row[1]).collect::<Vec<_>>(), [0.0; 3]);
    let high = 1.5f32.sqrt();
    assert_eq!(targets, [[-high, 0.0], [0.0, 0.0], [high, 0.0]]);
    let config = TableConfig { task: Some(Task::Class), ..TableConfig::new(&["d", "c"]) };
    assert!(matches!(read(text, text, &config).unwrap_err(), DataError::Setting { field: "target", .. }));
}

#[test]
fn missing_values_by_policy() {
    let text = "a,kind,y\n1,red,1\n,blue,2\n5,NA,3\n6,red,4\n";
    let (at, message) = error_of(text, &with_missing(Missing::Refuse));
    assert_eq!(at, At::Line(3));
    for part in ["`a`", "missing", "missing=mean", "missing=drop", "zero"] {
        assert!(message.contains(part), "{part}: {message}");
    }

    let inputs = |missing| gather_values(read(text, text, &with_missing(missing)).unwrap().train.as_ref()).0;
    let dropped = inputs(Missing::Drop);
    assert_eq!(dropped, [[-1.0, 1.0], [1.0, 1.0]]);
    // The mean of 1, 5 and 6 is 4, of which the deviations are 3, 0, 1 and 2.
    let deviation = 3.5f64.sqrt();
    let by_mean: Vec<f32> = [-3.0, 0.0, 1.0, 2.0].map(|x| (x / deviation) as f32).to_vec();
    let rows = inputs(Missing::Mean);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), by_mean);
    assert_eq!(rows[2][1..], [0.0, 0.0], "no category at all");
    let deviation = 6.5f64.sqrt();
    let by_zero: Vec<f32> = [-2.0, -3.0, 2.0, 3.0].map(|x| (x / deviation) as f32).to_vec();
    assert_eq!(inputs(Missing::Zero).iter().map(|row| row[0]).collect::<Vec<_>>(), by_zero);

    let target = "a,y\n1,1\n2,?\n3,4\n";
    for missing in [Missing::Refuse, Missing::Mean, Missing::Zero] {
        assert_eq!(error_of(target, &with_missing(missing)).0, At::Line(3));
    }
    assert_eq!(read(target, target, &with_missing(Missing::Drop)).unwrap().train.len(), 2);
    let (at, message) = error_of("a,b,y\n1,,1\n2,null,2\n", &with_missing(Missing::Mean));
    assert!(at == At::File && message.contains("`b`") && message.contains("missing throughout"), "{message}");
}

#[test]
fn a_new_category_is_named_with_the_known_ones() {
    let test = GOOD.replace("green", "pink");
    let error = read(GOOD, &test, &TableConfig::new(&["y"])).unwrap_err().to_string();
    for part in ["test.csv", "line 5", "`kind`", "`pink`", "`blue`, `green`, `red`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn splits_by_fraction_key_and_file() {
    let mut text = "id,x,y\n".to_owned();
    (0..2_000).for_each(|row| text.push_str(&format!("{},{row},{}\n", row / 10, row % 7)));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.csv");
    std::fs::write(&path, &text).unwrap();
    let read =
        |test: TestRows| read_table("t", &path, &TableConfig { test, ..TableConfig::new(&["y"]) }).unwrap();
    let default = read(TestRows::Found);
    let same = read(TestRows::Fraction { fraction: 0.2, seed: 0 });
    assert_eq!(default.test.content_hash().unwrap(), same.test.content_hash().unwrap());
    assert_eq!(default.train.len() + default.test.len(), 2_000);
    // Five deviations of the binomial distribution.
    assert!((310..490).contains(&default.test.len()), "{}", default.test.len());
    let other = read(TestRows::Fraction { fraction: 0.2, seed: 1 });
    assert_ne!(other.test.content_hash().unwrap(), same.test.content_hash().unwrap());
    assert!((800..1_200).contains(&read(TestRows::Fraction { fraction: 0.5, seed: 0 }).test.len()));

    let keyed = read(TestRows::Key { column: "id".to_owned(), fraction: 0.2, seed: 0 });
    assert_eq!(keyed.train.schema().columns, ["x"]);
    assert!(keyed.test.len() % 10 == 0 && (200..600).contains(&keyed.test.len()), "{}", keyed.test.len());

    // Rows that are added at the end leave the others on their side.
    let before = default.train.len();
    std::fs::write(&path, text + "0,1,2\n0,1,3\n0,1,4\n").unwrap();
    assert!((before..=before + 3).contains(&read(TestRows::Found).train.len()));

    std::fs::create_dir(dir.path().join("held")).unwrap();
    std::fs::write(dir.path().join("held/out.csv"), "id,x,y\n1,2,3\n").unwrap();
    let given = read(TestRows::File(PathBuf::from("held/out.csv")));
    assert_eq!((given.train.len(), given.test.len()), (2_003, 1));
    for fraction in [0.0, 1.0, f64::NAN, -1.0] {
        let test = TestRows::Fraction { fraction, seed: 0 };
        let error = read_table("t", &path, &TableConfig { test, ..TableConfig::new(&["y"]) }).unwrap_err();
        assert!(matches!(error, DataError::Setting { field: "test", .. }), "{error}");
    }
    let error = read_table(
        "t",
        folder(GOOD, GOOD).path(),
        &TableConfig { test: TestRows::Fraction { fraction: 0.5, seed: 0 }, ..TableConfig::new(&["y"]) },
    );
    assert!(error.unwrap_err().to_string().contains("test.csv"));
}

#[test]
fn names_with_settings() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("one")).unwrap();
    std::fs::write(at("one/some.csv"), GOOD.replace(',', ";")).unwrap();
    std::fs::write(at("one/readme.md"), "text").unwrap();
    std::fs::write(at("two.tsv"), GOOD.replace(',', "\t")).unwrap();
    std::fs::write(at("three.CSV"), GOOD).unwrap();
    let open = |spec: &str| open(spec, Some(dir.path()));
    let by_name = open("one:target=y,separator=;,test_file=../three.CSV,drop=kind").err();
    assert!(by_name.unwrap().to_string().contains("list of columns"), "the separator holds for both");
    let splits = open("two.tsv:target=y,test=0.5,drop=kind+b").unwrap();
    assert_eq!(splits.train.schema().columns, ["a"]);
    assert_eq!(splits.train.schema().name, "two.tsv");
    assert_eq!(
        open("one:target=y,separator=;,test=0.5,drop=kind").unwrap().train.schema().columns,
        ["a", "b"]
    );
    let spec = format!("{}:target=kind,test_file=two.tsv", at("three.CSV").display());
    assert_eq!(open(&spec).unwrap().test.schema().n_classes(), Some(3));

    let error_of = |settings: &str| open(&format!("three.CSV:{settings}")).unwrap_err().to_string();
    for (settings, parts) in [
        ("", &["target is nothing", "three.CSV", "`a`, `b`, `kind`, `y`"][..]),
        ("target=z", &["target is `z`", "`y`"]),
        ("target=y+y", &["target", "once"]),
        ("target=y,drop=x", &["drop is `x`", "`a`"]),
        ("target=y,drop=y", &["target is `y`"]),
        ("target=y,categories=x", &["categories is `x`"]),
        ("target=y,key=x", &["key is `x`"]),
        ("target=y,key=y", &["key is y"]),
        ("target=y,missing=guess", &["missing is guess", "refuse, drop, mean, zero"]),
        ("target=y,task=rank", &["task is rank", "class, values"]),
        ("target=kind,task=values", &["target `kind`", "categories", "numbers"]),
        ("target=y,test=2", &["test is 2", "below 1"]),
        ("target=y,test=x", &["test is x", "below 1"]),
        ("target=y,seed=-1", &["seed is -1"]),
        ("target=y,separator=ab", &["separator is ab", "tab"]),
        ("target=y,test_file=x.csv,seed=1", &["test_file", "nothing together"]),
        ("target=y,test_file=absent.csv", &["absent.csv"]),
        ("target=y,colour=red", &["`colour`", "target, task, missing"]),
        ("target=y,drop=a+b+kind", &["list of columns", "`y`"]),
    ] {
        let error = error_of(settings);
        parts.iter().for_each(|part| assert!(error.contains(part), "{settings}: {part} is not in {error}"));
    }
    // Two files that are no pair are no table.
    std::fs::write(at("one/other.csv"), GOOD).unwrap();
    assert!(matches!(open("one:target=y").unwrap_err(), DataError::UnknownFormat { .. }));
}

#[test]
fn bad_lines_are_named() {
    let config = TableConfig::new(&["y"]);
    let cases: [(&[u8], At, &[&str]); 14] = [
        (b"a,y\n1,2\n3,4,5\n", At::Line(3), &["number of fields", "3", "2"]),
        (b"a,y\r\n\r\n1,2\r\n\r\n3\r\n", At::Line(5), &["number of fields", "1", "2"]),
        (b"a,y\r1,2\r3\r", At::Line(3), &["number of fields"]),
        (b"a,y\n\"1\n\n\",2\nx,3\n", At::Line(5), &["`x`"]),
        (b"a,y\n1,2\n\"3,4\n5,6\n", At::Line(3), &["number of fields", "1"]),
        (b"a,y\n1,2\nx,4\n", At::Line(3), &["`a`", "`x`", "finite number", "categories=a"]),
        (b"a,y\n1,2\n3,inf\n", At::Line(3), &["`y`", "`inf`", "finite number"]),
        (b"a,y\n-Infinity,2\n3,4\n", At::Line(2), &["`a`", "`-Infinity`"]),
        (b"a,y\n1,2\n3,1e400\n", At::Line(3), &["`y`", "`1e400`"]),
        (b"a,y\n1,2\n3,nan\n", At::Line(3), &["`y`", "missing"]),
        (b"a,y\n1,2\n3,4\xff5\n", At::Line(3), &["`y`", "0xff at byte 1", "UTF-8"]),
        (b"a,\xfe\n1,2\n", At::Line(1), &["column 2", "0xfe", "UTF-8"]),
        (b"a,y,a\n1,2,3\n", At::Line(1), &["column 3", "`a`", "column 1"]),
        (b"1,2.5\n3,4\n", At::Line(1), &["header", "1,2.5", "names"]),
    ];
    for (bytes, expected, parts) in cases {
        let (at, message) = error_of(bytes, &config);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(at, expected, "{text:?}: {message}");
        parts.iter().for_each(|part| assert!(message.contains(part), "{text:?}: {part} is not in {message}"));
    }
    for text in ["", "\n\n", "a,y\n", "a,y"] {
        let error = read(text, GOOD, &config).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{text:?}: {error}");
    }
    let error = read("y\n1\n2\n", GOOD, &config).unwrap_err().to_string();
    assert!(error.contains("at least 1 column"), "{error}");
    let (_, message) = error_of("a,y\n1e300,1\n-1e300,2\n", &config);
    assert!(message.contains("`a`") && message.contains("1e300"), "{message}");
    let error = read("a,y\n1,1\n2,2\n", "a,y\n1e300,1\n", &config).unwrap_err().to_string();
    assert!(error.contains("test.csv`, line 2"), "{error}");
    let error = read("a,y\n1,1\n2,2\n", "a,y\nx,1\n", &config).unwrap_err().to_string();
    assert!(error.contains("test.csv`, line 2") && error.contains("`x`"), "{error}");
    let error = read("a,y\n1,1\n2,2\n", "b,y\n1,1\n", &config).unwrap_err().to_string();
    assert!(error.contains("test.csv") && error.contains("`a`"), "{error}");
}

#[test]
fn wide_and_long_is_refused_or_cheap() {
    let config = TableConfig::new(&["y"]);
    let (_, message) = error_of(",".repeat(100_000), &config);
    assert!(message.contains("100001") && message.contains("65536"), "{message}");
    let (_, message) = error_of(format!("y,{}\n1,2\n", "x".repeat(2_000)), &config);
    assert!(message.contains("2000 bytes"), "{message}");
    let mut many = "a,y\n".to_owned();
    (0..2_000).for_each(|row| many.push_str(&format!("n{row},{row}\n")));
    let (_, message) = error_of(&many, &config);
    assert!(message.contains("`a`") && message.contains("2000") && message.contains("drop=a"), "{message}");
    // As classes they are fine, and are kept as numbers.
    let splits = read(&many, &many, &TableConfig::new(&["a"])).unwrap();
    assert_eq!((splits.train.schema().n_classes(), splits.train.resident_bytes()), (Some(2_000), 16_000));
}

/// Reads damaged bytes with every policy: all well, or an error that names the file.
fn try_damaged(path: &Path, bytes: &[u8]) {
    // A new file each time: writing over one makes some file systems wait for the disk.
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
    for missing in [Missing::Mean, Missing::Drop, Missing::Refuse] {
        for target in ["y", "kind"] {
            let config = TableConfig { missing, ..TableConfig::new(&[target]) };
            match read_table("damaged", path, &config) {
                Ok(splits) => assert!(splits.train.len() + splits.test.len() < 100),
                Err(error) => {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    assert!(error.to_string().contains(name), "{error}");
                }
            }
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.csv");
    let good = GOOD.replace("green,", "\"gr,\"\"een\",") + "5,,,4.5\r\n6,60,red,1e3\n";
    for n_bytes in 0..=good.len() {
        try_damaged(&path, &good.as_bytes()[..n_bytes]);
    }
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 1 << bit;
        try_damaged(&path, &bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn spliced_files_never_panic(
        at in 0..GOOD.len(),
        removed in 0usize..20,
        chunk in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20),
            "[0-9eE.,\"\n\r\\-]{0,20}".prop_map(String::into_bytes),
        ],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes.splice(at..(at + removed).min(GOOD.len()), chunk);
        try_damaged(&dir.path().join("damaged.csv"), &bytes);
    }

    /// Whatever the numbers, the training rows come out with mean 0 and deviation 1, and can be computed back.
    #[test]
    fn standardised_numbers_can_be_computed_back(numbers in proptest::collection::vec(-1e6f64..1e6, 2..40)) {
        let mut text = "x,y\n".to_owned();
        numbers.iter().for_each(|number| text.push_str(&format!("{},{number}\n", -number)));
        let splits = read(&text, &text, &TableConfig::new(&["y"])).unwrap();
        let (inputs, targets) = gather_values(splits.train.as_ref());
        let Target::Values { values } = &splits.train.schema().target else { panic!() };
        let n = numbers.len() as f64;
        let (mut sum, mut squares) = (0.0, 0.0);
        for ((input, target), number) in inputs.iter().zip(&targets).zip(&numbers) {
            let value = f64::from(target[0]);
            prop_assert!((values[0].mean + values[0].deviation * value - number).abs() < 1e-6 * 1e6);
            prop_assert!((input[0] + target[0]).abs() < 1e-4);
            sum += value;
            squares += value * value;
        }
        prop_assert!((sum / n).abs() < 1e-4);
        prop_assert!((squares / n - 1.0).abs() < 1e-4 || squares == 0.0);
    }
}

#[cfg(unix)]
#[test]
fn links_lead_where_the_user_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link.csv");
    std::os::unix::fs::symlink(dir.path().join("gone.csv"), &link).unwrap();
    let error = read_table("t", &link, &TableConfig::new(&["y"])).unwrap_err();
    assert!(matches!(&error, DataError::Read { path, .. } if *path == link), "{error}");
    std::os::unix::fs::symlink(&link, dir.path().join("loop.csv")).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(dir.path().join("loop.csv"), &link).unwrap();
    read_table("t", &link, &TableConfig::new(&["y"])).unwrap_err();
    let folder = dir.path().join("folder.csv");
    std::fs::create_dir(&folder).unwrap();
    assert!(matches!(
        read_table("t", &folder, &TableConfig::new(&["y"])),
        Err(DataError::UnknownFormat { .. })
    ));
}
