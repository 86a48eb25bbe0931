//! A table with a column of images: the images are the inputs, and one other column holds their classes.

use super::config::{Missing, TableConfig, Task};
use super::dataset::Targets;
use super::encode::{check_not_empty, deal_with_missing};
use super::parquet::Images;
use super::roles::Roles;
use super::split::{Side, split};
use super::table::Table;
use super::target::TargetFit;
use crate::{ByteImages, DataError, Splits, Target};

/// Both splits of a table with images. Columns that are neither images, target nor key are left out.
pub(crate) fn picture_splits(
    name: &str,
    mut train_table: Table,
    mut test_table: Option<Table>,
    config: &TableConfig,
) -> Result<Splits, DataError> {
    let mut config = config.clone();
    if config.target.is_empty() {
        config.target.push("label".to_owned());
    }
    if config.task.replace(Task::Class) == Some(Task::Values) {
        let (found, allowed) = ("values".to_owned(), "class, where inputs are images".to_owned());
        return Err(DataError::Setting { field: "task", found, allowed });
    }
    let mut roles = Roles::find(&train_table, &config)?;
    roles.inputs.clear();
    roles.prepare(&mut train_table, &config)?;
    let train_images = take_images(&mut train_table)?;
    let mut test_images = None;
    if let Some(table) = &mut test_table {
        roles.prepare(table, &config)?;
        let images = take_images(table)?;
        if images.shape != train_images.shape {
            let (what, found) = (format!("the shape of `{}`", images.name), format!("{:?}", images.shape));
            return Err(table.fault_of_file(
                what,
                found,
                format!("{:?}, as in training", train_images.shape),
            ));
        }
        test_images = Some(images);
    }
    let (mut train, mut test) = match &test_table {
        Some(table) => (Side::whole(&train_table), Side::whole(table)),
        None => split(&train_table, roles.key.as_deref(), &config.test)?,
    };
    for (side, images) in
        [(&mut train, &train_images), (&mut test, test_images.as_ref().unwrap_or(&train_images))]
    {
        deal_with_missing_images(side, images, config.missing)?;
        deal_with_missing(side, &roles, config.missing)?;
    }
    check_not_empty(&train, &test, &config)?;
    let fit = TargetFit::new(&train, &roles)?;
    let classes = |side: &Side<'_>| match fit.apply(side)? {
        Targets::Classes(classes) => Ok(classes),
        Targets::Values(..) => Err(DataError::NoClasses { name: name.to_owned() }),
    };
    let Target::Class { names, .. } = fit.schema() else {
        return Err(DataError::NoClasses { name: name.to_owned() });
    };
    let (train_labels, test_labels, shape) = (classes(&train)?, classes(&test)?, train_images.shape);
    let test_pixels = match test_images {
        Some(images) => pixels_of(images, &test.rows),
        None => copy_rows(&train_images, &test.rows),
    };
    let train_pixels = pixels_of(train_images, &train.rows);
    let splits =
        ByteImages::splits(name, shape, (train_pixels, train_labels), (test_pixels, test_labels), names)?;
    tracing::info!(name, train_len = splits.train.len(), test_len = splits.test.len(), "opened data set");
    Ok(splits)
}

fn take_images(table: &mut Table) -> Result<Images, DataError> {
    let images = table.images.take();
    images.ok_or_else(|| {
        table.fault_of_file(
            "what it holds".to_owned(),
            "no images".to_owned(),
            "images, as in training".to_owned(),
        )
    })
}

fn deal_with_missing_images(side: &mut Side<'_>, images: &Images, missing: Missing) -> Result<(), DataError> {
    let is_missing = |row: &usize| images.missing.binary_search(row).is_ok();
    if missing == Missing::Drop {
        side.rows.retain(|row| !is_missing(row));
        return Ok(());
    }
    match side.rows.iter().copied().find(is_missing) {
        None => Ok(()),
        Some(row) => {
            let expected = "an image (missing=drop leaves the row out)".to_owned();
            Err(side.table.fault(row, format!("column `{}`", images.name), "missing".to_owned(), expected))
        }
    }
}

/// The pixels of `rows`, without a copy where these are all.
fn pixels_of(images: Images, rows: &[usize]) -> Vec<u8> {
    if rows.len() * images.image_len() == images.pixels.len() {
        return images.pixels;
    }
    copy_rows(&images, rows)
}

fn copy_rows(images: &Images, rows: &[usize]) -> Vec<u8> {
    let len = images.image_len();
    let mut pixels = Vec::with_capacity(rows.len() * len);
    rows.iter().for_each(|row| pixels.extend_from_slice(&images.pixels[row * len..][..len]));
    pixels
}
