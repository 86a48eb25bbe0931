//! What is written reads back.

use super::table::{Cell, Column, Kind};
use super::{Format, What, metrics, trials};
use crate::store::tests::sample;
use crate::store::{Filter, Store};
use crate::sweep::Root;
use std::fs::{self, File};
use std::path::Path;

/// Names and cells that are hard to write.
fn table() -> (Vec<Column>, Vec<Vec<Cell>>) {
    let columns = vec![
        Column::new("plain", Kind::Text),
        Column::new("odd \"name\", with\na line", Kind::Text),
        Column::new("integer", Kind::Integer),
        Column::new("unsigned", Kind::Unsigned),
        Column::new("number", Kind::Number),
        Column::new("flag", Kind::Flag),
    ];
    let text = |text: &str| Cell::Text(text.to_owned());
    let rows = vec![
        vec![
            text("a"),
            text("x,\"y\"\r\nz\té"),
            Cell::Integer(i64::MIN),
            Cell::Unsigned(u64::MAX),
            Cell::Number(0.1 + 0.2),
            Cell::Flag(true),
        ],
        vec![text("b"), Cell::Null, Cell::Null, Cell::Null, Cell::Null, Cell::Null],
        vec![
            text("c"),
            text(" "),
            Cell::Integer(i64::MAX),
            Cell::Unsigned(0),
            Cell::Number(-1e-300),
            Cell::Flag(false),
        ],
    ];
    (columns, rows)
}

fn write(format: Format, path: &Path, columns: &[Column], rows: &[Vec<Cell>]) {
    let mut file = File::create(path).unwrap();
    let mut sink = super::open(format, columns.to_vec(), &mut file, path).unwrap();
    rows.iter().for_each(|row| sink.row(row.clone()).unwrap());
    sink.finish().unwrap();
}

/// A cell from a text, which is empty where it is null.
fn parse(kind: Kind, text: &str) -> Cell {
    match kind {
        _ if text.is_empty() => Cell::Null,
        Kind::Text => Cell::Text(text.to_owned()),
        Kind::Integer => Cell::Integer(text.parse().unwrap()),
        Kind::Unsigned => Cell::Unsigned(text.parse().unwrap()),
        Kind::Number => Cell::Number(text.parse().unwrap()),
        Kind::Flag => Cell::Flag(text.parse().unwrap()),
    }
}

fn read_csv(path: &Path, columns: &[Column]) -> Vec<Vec<Cell>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names, columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>());
    let row = |row: csv::StringRecord| {
        columns.iter().zip(row.iter()).map(|(column, text)| parse(column.kind, text)).collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

fn read_json_lines(path: &Path, columns: &[Column]) -> Vec<Vec<Cell>> {
    let text = fs::read_to_string(path).unwrap();
    let cell = |object: &serde_json::Value, column: &Column| {
        let value = &object[&column.name];
        match column.kind {
            _ if value.is_null() => Cell::Null,
            Kind::Text => Cell::Text(value.as_str().unwrap().to_owned()),
            Kind::Integer => Cell::Integer(value.as_i64().unwrap()),
            Kind::Unsigned => Cell::Unsigned(value.as_u64().unwrap()),
            Kind::Number => Cell::Number(value.as_f64().unwrap()),
            Kind::Flag => Cell::Flag(value.as_bool().unwrap()),
        }
    };
    let row = |line: &str| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object.as_object().unwrap().len(), columns.len());
        columns.iter().map(|column| cell(&object, column)).collect()
    };
    text.lines().map(row).collect()
}

#[cfg(feature = "parquet")]
fn read_parquet(path: &Path, columns: &[Column]) -> Vec<Vec<Cell>> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let cell = |(name, field): (&String, &Field), column: &Column| {
        assert_eq!(name, &column.name);
        match (field, column.kind) {
            (Field::Null, _) => Cell::Null,
            (Field::Str(text), Kind::Text) => Cell::Text(text.clone()),
            (Field::Long(n), Kind::Integer) => Cell::Integer(*n),
            (Field::ULong(n), Kind::Unsigned) => Cell::Unsigned(*n),
            (Field::Double(x), Kind::Number) => Cell::Number(*x),
            (Field::Bool(flag), Kind::Flag) => Cell::Flag(*flag),
            other => panic!("{name}: {other:?}"),
        }
    };
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    rows.map(|row| row.get_column_iter().zip(columns).map(|(field, column)| cell(field, column)).collect())
        .collect()
}

type Read = fn(&Path, &[Column]) -> Vec<Vec<Cell>>;

const FORMATS: &[(Format, &str, Read)] = &[
    (Format::Csv, "x.csv", read_csv),
    (Format::JsonLines, "x.jsonl", read_json_lines),
    #[cfg(feature = "parquet")]
    (Format::Parquet, "x.parquet", read_parquet),
];

#[test]
fn every_form_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let (columns, rows) = table();
    for (format, name, read) in FORMATS {
        let path = dir.path().join(name);
        write(*format, &path, &columns, &rows);
        assert_eq!(read(&path, &columns), rows, "{name}");
        write(*format, &path, &columns, &[]);
        assert_eq!(read(&path, &columns), Vec::<Vec<Cell>>::new(), "{name}");
    }
}

#[test]
fn more_rows_than_a_group_holds() {
    let dir = tempfile::tempdir().unwrap();
    let columns = [Column::new("n", Kind::Integer)];
    let row = |n: i64| vec![if n % 7 == 0 { Cell::Null } else { Cell::Integer(n) }];
    let rows: Vec<Vec<Cell>> = (0..(1 << 17) + 3).map(row).collect();
    for (format, name, read) in FORMATS {
        let path = dir.path().join(name);
        write(*format, &path, &columns, &rows);
        assert_eq!(read(&path, &columns), rows, "{name}");
    }
}

#[test]
fn trials_and_metrics_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(&dir.path().join("root"));
    let (done, failed) = (sample::done(&root, 8, 0.1, 1), sample::failed(&root, 16));
    sample::waiting(&root, 4, 0.1, 1);
    sample::sweep(&root, "one", &[&failed, &done]);
    let mut store = Store::open(&root).unwrap();
    store.refresh(&root).unwrap();
    for (_, name, read) in FORMATS {
        let path = dir.path().join(name);
        for (sweep, n_trials) in [(None, 3), (Some("one"), 2)] {
            let (columns, rows) = trials::table(&store.records(&Filter { sweep, state: None }).unwrap());
            assert!(columns.iter().any(|column| column.name == "parameter_odd \"name\",\nof it"));
            let exported = store.export(What::Trials, sweep, &path).unwrap();
            assert_eq!((exported.rows, rows.len() as u64), (n_trials, n_trials), "{name}");
            assert_eq!(read(&path, &columns), rows, "{name}");
            let exported = store.export(What::Metrics, sweep, &path).unwrap();
            let lines = read(&path, &metrics::columns());
            assert_eq!((exported.rows, lines.len()), (7, 7), "{name}");
            let of_done = Cell::Text(done.id().to_owned());
            assert!(lines.iter().all(|line| line[0] == of_done), "{name}");
            assert_eq!(lines[0][7..9], [Cell::Number(1.0 / 41.0), Cell::Null], "{name}");
        }
    }
    assert!(store.export(What::Trials, Some("two"), &dir.path().join("y.csv")).is_err());
    assert!(store.export(What::Trials, None, &dir.path().join("y.txt")).is_err());
    assert!(!dir.path().join("y.csv").exists(), "nothing is written where nothing is to write");
}
