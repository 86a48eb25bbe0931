//! A Parquet file with a column `label`.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    common::dependency_may_panic();
    common::open_files(&[("table.parquet", table)], "table.parquet", "target=label,missing=mean");
});
