//! JSON lines and CSV read back.

use crate::records::{Kind, Told, full, told};
use batchwise_train::observe::{Line, Table};
use proptest::prelude::*;

fn written(kind: Kind, told: &[Told]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut observer = kind.create(folder.path());
    told.iter().for_each(|told| told.to(observer.as_mut()).unwrap());
    assert_eq!(observer.path(), Some(kind.path(folder.path()).as_path()));
    let text = std::fs::read_to_string(kind.path(folder.path())).unwrap();
    assert_eq!(observer.sync().unwrap(), text.len() as u64);
    text
}

/// Cells by row, as RFC 4180 has them.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.push(chars.next().unwrap()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            char => cell.push(char),
        }
    }
    assert!(!is_quoted && row.is_empty() && cell.is_empty(), "the last row is not whole");
    rows
}

/// Equal in what they say: numbers that are none are equal.
fn debug(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn parsed(cell: &str) -> Option<f64> {
    (!cell.is_empty()).then(|| cell.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_lines_read_back_to_the_bit(told in told()) {
        let text = written(Kind::JsonLines, &told);
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(lines.len(), told.len());
        for (line, told) in lines.iter().zip(&told) {
            match (line, told) {
                (Line::Step(read), Told::Step(record)) => prop_assert_eq!(debug(read), debug(record)),
                (Line::Evaluation(read), Told::Evaluation(record)) => {
                    prop_assert_eq!(debug(read), debug(record));
                }
                _ => prop_assert!(false, "another kind: {line:?}"),
            }
        }
    }

    #[test]
    fn tables_read_back_to_the_bit(told in told()) {
        let steps: Vec<_> = told.iter().filter_map(|t| match t { Told::Step(r) => Some(r), _ => None }).collect();
        let evaluations: Vec<_> =
            told.iter().filter_map(|t| match t { Told::Evaluation(r) => Some(r), _ => None }).collect();

        let rows = cells(&written(Kind::Csv(Table::Steps), &told));
        prop_assert_eq!(rows.len(), 1 + steps.len());
        let column = |name: &str| rows[0].iter().position(|head| head == name).unwrap();
        for (row, record) in rows[1..].iter().zip(&steps) {
            prop_assert_eq!(row.len(), rows[0].len());
            let cell = |name: &str| row[column(name)].as_str();
            for (name, count) in [
                ("examples", record.examples),
                ("steps", record.steps),
                ("batch", record.batch),
                ("batch_size", record.batch_size),
                ("n_micro_batches", record.n_micro_batches),
                ("skipped", record.skipped),
                ("n_readings", record.n_readings),
            ] {
                prop_assert_eq!(cell(name), count.to_string());
            }
            let phi = record.phi.as_ref();
            prop_assert_eq!(cell("phi_grade"), phi.map_or("", |phi| phi.grade()));
            for (name, number) in [
                ("epoch", Some(record.epoch)),
                ("seconds", Some(record.seconds)),
                ("loss", Some(record.loss)),
                ("learning_rate", Some(record.learning_rate)),
                ("gradient_norm", record.gradient_norm),
                ("update_norm", record.update_norm),
                ("clipped", record.clipped),
                ("g2", record.g2),
                ("tr_sigma", record.tr_sigma),
                ("phi", phi.and_then(|phi| phi.value())),
                ("phi_low", phi.and_then(|phi| phi.low())),
                ("phi_high", phi.and_then(|phi| phi.high())),
                ("examples_per_second", Some(record.examples_per_second)),
                ("data_wait_seconds", Some(record.data_wait_seconds)),
            ] {
                prop_assert_eq!(debug(parsed(cell(name))), debug(number), "{}", name);
            }
        }

        let rows = cells(&written(Kind::Csv(Table::Evaluations), &told));
        prop_assert_eq!(rows.len(), 1 + evaluations.len());
        for (row, record) in rows[1..].iter().zip(&evaluations) {
            let [examples, steps, seconds, set, loss, loss_error, accuracy, accuracy_error] =
                row.as_slice() else { panic!("{row:?}") };
            prop_assert_eq!((examples, steps), (&record.examples.to_string(), &record.steps.to_string()));
            prop_assert_eq!(set, &record.set);
            let numbers = [seconds, loss, loss_error, accuracy, accuracy_error].map(|cell| parsed(cell));
            let want = [
                Some(record.seconds), Some(record.loss), record.loss_error, record.accuracy, record.accuracy_error,
            ];
            prop_assert_eq!(debug(numbers), debug(want));
        }

        let rows = cells(&written(Kind::Csv(Table::Groups), &told));
        let want: Vec<Vec<String>> = steps
            .iter()
            .flat_map(|r| r.groups.iter().flatten().map(move |group| (r, group)))
            .map(|(r, (name, g2, tr_sigma))| {
                let counts = [r.examples, r.steps, r.n_readings].map(|count| count.to_string());
                let [examples, steps, n] = counts;
                vec![examples, steps, name.clone(), debug(g2), debug(tr_sigma), n]
            })
            .collect();
        prop_assert_eq!(&rows[1..], &want[..]);
    }
}

#[test]
fn what_is_not_finite_is_told_from_what_is_missing() {
    let [Told::Step(mut record), _] = full(0) else { panic!() };
    record.loss = f64::INFINITY;
    record.gradient_norm = Some(f64::NAN);
    record.update_norm = None;
    let told = [Told::Step(record)];
    let line: serde_json::Value = serde_json::from_str(&written(Kind::JsonLines, &told)).unwrap();
    assert_eq!(line["loss"], "Infinity");
    assert_eq!(line["gradient_norm"], "NaN");
    assert!(line["update_norm"].is_null());
    let rows = cells(&written(Kind::Csv(Table::Steps), &told));
    let cell = |name: &str| rows[1][rows[0].iter().position(|head| head == name).unwrap()].as_str();
    assert_eq!((cell("loss"), cell("gradient_norm"), cell("update_norm")), ("inf", "NaN", ""));
}
