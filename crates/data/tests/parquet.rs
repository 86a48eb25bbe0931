//! Parquet files: columns and images, as other programs write them, and every way in which a file can be wrong.
//!
//! The files in `fixtures` were made with pyarrow 26.0.1 and Pillow: `table.parquet` in two row groups with zstd and
//! pages of version 2, `images.parquet` with snappy, and with the columns and metadata that the Hugging Face library
//! `datasets` writes for its features `Image` and `ClassLabel`.
#![cfg(feature = "parquet")]
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use batchwise_data::{DataError, Missing, Splits, TableConfig, Target, Task, TestRows, open, read_table};
use common::gather;
use image::{DynamicImage, ImageFormat, RgbImage};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The values of one column; `None` is null.
enum Data<'a> {
    Int(&'a [Option<i64>]),
    Double(&'a [Option<f64>]),
    Bytes(&'a [Option<Vec<u8>>]),
}

/// Writes optional columns, all in one row group.
fn write(path: &Path, columns: &[(&str, Data<'_>)], metadata: Option<&str>) {
    let fields: Vec<&str> = columns.iter().map(|(field, _)| *field).collect();
    let schema = Arc::new(parse_message_type(&format!("message m {{ {} }}", fields.join(" "))).unwrap());
    let entry = metadata.map(|text| vec![KeyValue::new("huggingface".to_owned(), text.to_owned())]);
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(entry);
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut columns = columns.iter();
    fn put<T: DataType>(
        writer: &mut parquet::file::writer::SerializedColumnWriter<'_>,
        values: impl Iterator<Item = Option<T::T>> + Clone,
    ) {
        let levels: Vec<i16> = values.clone().map(|value| i16::from(value.is_some())).collect();
        let values: Vec<T::T> = values.flatten().collect();
        writer.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
    }
    while let Some(mut column) = group.next_column().unwrap() {
        match &columns.next().unwrap().1 {
            Data::Int(values) => put::<Int64Type>(&mut column, values.iter().copied()),
            Data::Double(values) => put::<DoubleType>(&mut column, values.iter().copied()),
            Data::Bytes(values) => {
                put::<ByteArrayType>(
                    &mut column,
                    values.iter().map(|value| value.clone().map(ByteArray::from)),
                );
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn some<T: Clone>(values: &[T]) -> Vec<Option<T>> {
    values.iter().cloned().map(Some).collect()
}

fn texts(values: &[&str]) -> Vec<Option<Vec<u8>>> {
    values.iter().map(|text| Some(text.as_bytes().to_vec())).collect()
}

/// An encoded image of two rows and three columns.
fn png(red: u8) -> Vec<u8> {
    encode(RgbImage::from_fn(3, 2, |x, y| [red, x as u8, y as u8].into()).into())
}

fn encode(image: DynamicImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn error_of(path: &Path, config: &TableConfig) -> String {
    let error = read_table("bad", path, config).unwrap_err().to_string();
    assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_parquet_file_is_the_same_as_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let text = "a,kind,y\n1,red,0.5\n2,blue,1.5\n,red,2.5\n4,,3.5\n5,blue,4.5\n";
    let csv = dir.path().join("table.csv");
    std::fs::write(&csv, text).unwrap();
    let path = dir.path().join("table.parquet");
    let mut kinds = texts(&["red", "blue", "red", "", "blue"]);
    kinds[3] = None;
    let columns = [
        ("optional int64 a;", Data::Int(&[Some(1), Some(2), None, Some(4), Some(5)])),
        ("optional binary kind (STRING);", Data::Bytes(&kinds)),
        ("optional double y;", Data::Double(&some(&[0.5, 1.5, 2.5, 3.5, 4.5]))),
    ];
    write(&path, &columns, None);
    for missing in [Missing::Mean, Missing::Zero, Missing::Drop] {
        for target in ["y", "kind"] {
            // Kinds are missing in one row, which a target must not be.
            if target == "kind" && missing != Missing::Drop {
                continue;
            }
            let test = TestRows::Fraction { fraction: 0.4, seed: 3 };
            let config = TableConfig { missing, test, ..TableConfig::new(&[target]) };
            let (by_text, by_parquet) =
                (read_table("t", &csv, &config).unwrap(), read_table("t", &path, &config).unwrap());
            assert_eq!(by_text.train.schema(), by_parquet.train.schema());
            let hashes =
                |splits: &Splits| [&splits.train, &splits.test].map(|set| set.content_hash().unwrap());
            assert_eq!(hashes(&by_text), hashes(&by_parquet));
        }
    }
    let same_file = TestRows::File("table.parquet".into());
    let error = error_of(&path, &TableConfig { test: same_file, ..TableConfig::new(&["y"]) });
    assert!(error.contains("row 2") && error.contains("`a`") && error.contains("missing=mean"), "{error}");
    let test = TestRows::File("table.csv".into());
    let config = TableConfig { missing: Missing::Mean, test, ..TableConfig::new(&["y"]) };
    let splits = read_table("t", &path, &config).unwrap();
    assert_eq!(splits.train.content_hash().unwrap(), splits.test.content_hash().unwrap());
}

#[test]
fn columns_as_pyarrow_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train", "test"] {
        std::fs::copy(fixture("table.parquet"), dir.path().join(format!("{part}.parquet"))).unwrap();
    }
    let read = |settings: &str| open(&format!("{}:{settings}", dir.path().display()), None);
    let splits = read("target=flag,missing=zero,drop=when+list").unwrap();
    let schema = splits.train.schema();
    assert_eq!(schema.columns, ["a", "b", "u", "y", "kind=blue", "kind=red"]);
    let Target::Class { names, .. } = &schema.target else { panic!("{schema:?}") };
    assert_eq!(names, &["false", "true"]);
    let (inputs, targets) = gather(splits.test.as_ref(), &[0, 1, 2, 3]).unwrap();
    assert_eq!(targets, [1, 0, 1, 1]);
    // The largest number without a sign stays the largest.
    let column = |k: usize| -> Vec<f32> { inputs.chunks(6).map(|row| row[k]).collect() };
    assert!(column(2)[2] > 1.7, "{:?}", column(2));
    assert_eq!(column(5), [1.0, 0.0, 0.0, 1.0]);
    let mean = [1.0, 2.0, 0.0, 4.0].iter().sum::<f64>() / 4.0;
    let deviation = ([1.0, 2.0, 0.0, 4.0].iter().map(|x: &f64| (x - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    assert_eq!(column(0)[3], ((4.0 - mean) / deviation) as f32);

    let error = read("target=y,drop=when").unwrap_err().to_string();
    assert!(
        error.contains("`list`") && error.contains("made of parts") && error.contains("drop=list"),
        "{error}"
    );
    let error = read("target=y,drop=list").unwrap_err().to_string();
    assert!(
        error.contains("`when`") && error.contains("Timestamp") && error.contains("drop=when"),
        "{error}"
    );
    let error = read("target=y,drop=list+when").unwrap_err().to_string();
    // Not a number is missing, as in text.
    assert!(error.contains("row 2") && error.contains("`a`"), "{error}");
    let error = read("target=y,drop=list+when+a+kind").unwrap_err().to_string();
    assert!(error.contains("row 3") && error.contains("`b`"), "{error}");
}

#[test]
fn images_as_hugging_face_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    for part in ["train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"] {
        std::fs::copy(fixture("images.parquet"), dir.path().join(format!("data/{part}.parquet"))).unwrap();
    }
    let splits = open(dir.path().to_str().unwrap(), None).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (8, 4));
    let schema = splits.train.schema();
    assert_eq!(schema.input_shape, [3, 2, 3]);
    let Target::Class { names, n_classes: 3 } = &schema.target else { panic!("{schema:?}") };
    assert_eq!(names, &["cat", "dog", "emu"]);
    assert_eq!((splits.test.label(0).unwrap(), splits.train.label(5).unwrap()), (2, 0));
    let mut pixels = [0; 18];
    splits.train.pixels(6, &mut pixels).unwrap();
    assert_eq!(pixels[..6], [20, 21, 22, 23, 24, 25]);
    assert_eq!((pixels[6], pixels[17]), (70, 125));
    // A grey image among coloured ones.
    splits.train.pixels(3, &mut pixels).unwrap();
    assert_eq!((pixels[0], pixels[6], pixels[17]), (30, 30, 35));
    // Standardised channel by channel, over the training images.
    let (inputs, _) = gather(splits.train.as_ref(), &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
    for channel in 0..3 {
        let values: Vec<f64> =
            inputs.chunks(18).flat_map(|image| &image[6 * channel..][..6]).map(|x| f64::from(*x)).collect();
        let mean = values.iter().sum::<f64>() / 48.0;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 48.0).sqrt();
        assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6, "{channel}: {mean} ± {deviation}");
    }
    // One file, split by a fraction.
    let path = fixture("images.parquet");
    let splits = open(&format!("{}:test=0.5,seed=2", path.display()), None).unwrap();
    assert_eq!((splits.train.len() + splits.test.len(), splits.train.schema().n_classes()), (4, Some(3)));
    let error = open(&format!("{}:task=values", path.display()), None).unwrap_err().to_string();
    assert!(error.contains("class, where inputs are images"), "{error}");
    let error = open(&format!("{}:target=name", path.display()), None).unwrap_err().to_string();
    assert!(error.contains("`name`") && error.contains("`label`"), "{error}");
}

#[test]
fn bad_images_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.parquet");
    let config =
        TableConfig { test: TestRows::Fraction { fraction: 0.5, seed: 1 }, ..TableConfig::new(&["label"]) };
    let labels = some(&[0, 1, 0, 1, 2, 2, 0, 1]);
    let write = |images: &[Option<Vec<u8>>], labels: &[Option<i64>], metadata: Option<&str>| {
        let columns =
            [("optional binary image;", Data::Bytes(images)), ("optional int64 label;", Data::Int(labels))];
        write(&path, &columns, metadata);
    };
    let images: Vec<Option<Vec<u8>>> = (0..8).map(|k| Some(png(k))).collect();
    write(&images, &labels, None);
    let splits = read_table("t", &path, &config).unwrap();
    assert_eq!((splits.train.len() + splits.test.len(), splits.train.schema().n_classes()), (8, Some(3)));

    let with = |row: usize, image: Option<Vec<u8>>| {
        let mut images = images.clone();
        images[row] = image;
        write(&images, &labels, None);
        error_of(&path, &config)
    };
    let error = with(5, Some(encode(RgbImage::new(2, 3).into())));
    assert!(error.contains("row 5") && error.contains("3x3x2") && error.contains("3x2x3"), "{error}");
    let error = with(6, Some(png(3)[..40].to_vec()));
    assert!(error.contains("row 6") && error.contains("unreadable"), "{error}");
    let error = with(3, Some(b"hello".to_vec()));
    assert!(error.contains("row 3") && error.contains("PNG or JPEG"), "{error}");
    let error = with(3, Some(Vec::new()));
    assert!(error.contains("row 3"), "{error}");
    let error = with(2, None);
    assert!(error.contains("row 2") && error.contains("missing=drop"), "{error}");
    // A header of 30,000 by 30,000 pixels, and nothing behind it.
    let mut bomb = png(1);
    bomb[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    for row in [0, 4] {
        let error = with(row, Some(bomb.clone()));
        assert!(error.contains(&format!("row {row}")), "{error}");
    }
    // As many zeros as deflate can hide: the size is in proportion, the sum of all rows is not.
    let large = encode(DynamicImage::new_luma8(8_000, 8_000));
    write(&vec![Some(large); 8], &labels, None);
    let error = error_of(&path, &config);
    assert!(error.contains("bytes of pixels so far"), "{error}");

    let mut holes = images.clone();
    (holes[0], holes[1], holes[7]) = (None, None, None);
    write(&holes, &labels, None);
    let splits = read_table("t", &path, &TableConfig { missing: Missing::Drop, ..config.clone() }).unwrap();
    assert_eq!(splits.train.len() + splits.test.len(), 5);
    let names = r#"{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}"#;
    write(&images, &labels, Some(names));
    let error = error_of(&path, &config);
    assert!(error.contains("row 4") && error.contains("`label`") && error.contains("0..2"), "{error}");
    write(&images, &some(&[0, 1, 0, -1, 0, 1, 0, 1]), Some(names));
    let error = error_of(&path, &config);
    assert!(error.contains("row 3") && error.contains("missing"), "{error}");
    // Metadata that makes no sense is as none.
    for text in ["", "{", "[]", r#"{"info": {"features": {"label": {"names": ["a", "a"]}}}}"#] {
        write(&images, &labels, Some(text));
        let splits = read_table("t", &path, &config).unwrap();
        let Target::Class { names, .. } = &splits.train.schema().target else { panic!() };
        assert_eq!(names, &["0", "1", "2"]);
    }
}

#[test]
fn bad_values_and_splits_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train-0.parquet");
    let numbers = some(&[1.0, 2.0, f64::INFINITY, 4.0]);
    let config = TableConfig::new(&["y"]);
    let write_table = |path: &Path, x: Data<'_>, field: &str| {
        write(path, &[(field, x), ("optional int64 y;", Data::Int(&some(&[1, 2, 3, 4])))], None);
    };
    write_table(&path, Data::Double(&numbers), "optional double x;");
    let error = error_of(&path, &config);
    assert!(error.contains("row 2") && error.contains("`x`") && error.contains("inf"), "{error}");
    let mut names = texts(&["a", "b", "c", "d"]);
    names[1] = Some(vec![b'x', 0xff]);
    write_table(&path, Data::Bytes(&names), "optional binary x (STRING);");
    let error = error_of(&path, &config);
    assert!(
        error.contains("row 1") && error.contains("0xff at byte 1") && error.contains("UTF-8"),
        "{error}"
    );
    write_table(&path, Data::Bytes(&texts(&["BMW", "b", "c", "d"])), "optional binary x;");
    let config_class = TableConfig { task: Some(Task::Class), ..config.clone() };
    let folder = |other: &str, data: Data<'_>, field: &str| {
        write_table(&dir.path().join(other), data, field);
        let error = read_table("t", dir.path(), &config_class);
        std::fs::remove_file(dir.path().join(other)).unwrap();
        error
    };
    let same =
        folder("test.parquet", Data::Bytes(&texts(&["d", "c", "b", "BMW"])), "optional binary x;").unwrap();
    assert_eq!(same.test.schema().n_classes(), Some(4));
    let error = folder("test-1.parquet", Data::Bytes(&texts(&["d", "c", "e", "BMW"])), "optional binary x;")
        .unwrap_err();
    let error = error.to_string();
    assert!(error.contains("test-1.parquet`, row 2") && error.contains("`e`"), "{error}");
    for (name, field, part) in [
        ("test.parquet", "optional double x;", "categories, as in training"),
        ("train-1.parquet", "optional double x;", "categories in `x`"),
        ("train-1.parquet", "optional double z;", "x, y"),
        ("test.parquet", "optional double z;", "`x`"),
    ] {
        let error = folder(name, Data::Double(&some(&[1.0; 4])), field).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
    let more = folder("train-1.parquet", Data::Bytes(&texts(&["d", "c", "b", "BMW"])), "optional binary x;")
        .unwrap();
    assert_eq!(more.train.len() + more.test.len(), 8);
    let empty: [Option<f64>; 0] = [];
    write(
        &path,
        &[("optional double x;", Data::Double(&empty)), ("optional double y;", Data::Double(&empty))],
        None,
    );
    assert!(matches!(read_table("t", &path, &config).unwrap_err(), DataError::Empty { .. }));
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"a,y\n1,2\n", &[0; 100]] {
        std::fs::write(&path, bytes).unwrap();
        error_of(&path, &config);
    }
}

/// Reads damaged bytes: all well, or an error that names the file.
fn try_damaged(path: &Path, bytes: &[u8], target: &str) {
    // A new file each time: writing over one makes some file systems wait for the disk.
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
    let drop = if target == "y" { vec!["list".to_owned(), "when".to_owned()] } else { Vec::new() };
    let test = TestRows::Fraction { fraction: 0.5, seed: 5 };
    let config = TableConfig { missing: Missing::Drop, drop, test, ..TableConfig::new(&[target]) };
    if let Err(error) = read_table("damaged", path, &config) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
}

const BASES: [(&str, &str); 2] = [("table.parquet", "y"), ("images.parquet", "label")];

#[test]
fn cut_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.parquet");
    for (name, target) in BASES {
        let good = std::fs::read(fixture(name)).unwrap();
        for n_bytes in 0..good.len() {
            try_damaged(&path, &good[..n_bytes], target);
            // With the end of the file in place, so that more of it is believed.
            if n_bytes % 7 == 0 {
                let mut bytes = good[..n_bytes].to_vec();
                bytes.extend(&good[good.len() - (good.len() - n_bytes).min(600)..]);
                try_damaged(&path, &bytes, target);
            }
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.parquet");
    for (name, target) in BASES {
        let good = std::fs::read(fixture(name)).unwrap();
        for (at, bit) in (0..good.len()).flat_map(|at| [(at, at % 8), (at, (at + 3) % 8)]) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            try_damaged(&path, &bytes, target);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn spliced_files_never_panic(
        (base, at, removed, same_length) in (0..2usize, 0usize..100_000, 0usize..20, any::<bool>()),
        chunk in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20),
            // Large numbers of Thrift.
            Just(vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
            Just(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (name, target) = BASES[base];
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        let at = at % bytes.len();
        let removed = if same_length { chunk.len() } else { removed };
        let end = (at + removed).min(bytes.len());
        bytes.splice(at..end, chunk);
        try_damaged(&dir.path().join("damaged.parquet"), &bytes, target);
    }
}
