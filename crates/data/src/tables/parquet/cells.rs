//! One column while it is read.

use image::ImageFormat;

use super::super::categories::{Categories, is_missing};
use super::Bad;
use super::images::ImageRows;
use super::metadata::{Field, Kind};

/// One column while it is read.
pub(super) enum Cells {
    /// So many missing values of bytes that may be text or images.
    Unknown(usize),
    Numbers(Vec<f64>),
    Categories(Categories),
    Images(ImageRows),
}

impl Cells {
    pub(super) fn new(field: &Field) -> Cells {
        match &field.kind {
            Kind::Number | Kind::Unsigned => Cells::Numbers(Vec::new()),
            Kind::Bool | Kind::Text => Cells::Categories(Categories::default()),
            Kind::Classes(names) => Cells::Categories(Categories::declared(names.clone())),
            Kind::Bytes => Cells::Unknown(0),
            Kind::Image => Cells::Images(ImageRows::default()),
        }
    }

    pub(super) fn push_number(&mut self, number: Option<f64>) -> Result<(), Bad> {
        match (self, number) {
            (Cells::Numbers(numbers), None) => numbers.push(f64::NAN),
            (Cells::Numbers(_), Some(number)) if number.is_infinite() => {
                return Err((number.to_string(), "a finite number".to_owned()));
            }
            (Cells::Numbers(numbers), Some(number)) => numbers.push(number),
            // -1 says that a row has no class.
            (Cells::Categories(classes), None | Some(-1.0)) => classes.push_missing(),
            (Cells::Categories(classes), Some(number)) => match number {
                class if 0.0 <= class && class < classes.names.len() as f64 && class.fract() == 0.0 => {
                    classes.codes.push(class as u32);
                }
                _ => return Err((number.to_string(), format!("0..{}, the classes", classes.names.len()))),
            },
            (Cells::Unknown(_) | Cells::Images(_), _) => {}
        }
        Ok(())
    }

    pub(super) fn push_bool(&mut self, value: Option<bool>) -> Result<(), Bad> {
        if let Cells::Categories(categories) = self {
            match value {
                None => categories.push_missing(),
                Some(value) => categories.push(if value { "true" } else { "false" }),
            }
        }
        Ok(())
    }

    pub(super) fn push_bytes(&mut self, bytes: Option<&[u8]>, n_file_bytes: usize) -> Result<(), Bad> {
        if let (Cells::Unknown(n), Some(bytes)) = (&*self, bytes) {
            *self = match image::guess_format(bytes) {
                Ok(ImageFormat::Png | ImageFormat::Jpeg) => Cells::Images(ImageRows::missing(*n)),
                // A text may begin as images of other formats do: `BMW`.
                _ => {
                    let mut categories = Categories::default();
                    (0..*n).for_each(|_| categories.push_missing());
                    Cells::Categories(categories)
                }
            };
        }
        match (self, bytes) {
            (Cells::Unknown(n), _) => *n += 1,
            (Cells::Categories(categories), None) => categories.push_missing(),
            (Cells::Categories(categories), Some(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|error| {
                    let at = error.valid_up_to();
                    (format!("byte {:#04x} at byte {at} of the text", bytes[at]), "UTF-8".to_owned())
                })?;
                match text.trim() {
                    text if is_missing(text) => categories.push_missing(),
                    text => categories.push(text),
                }
            }
            (Cells::Images(images), bytes) => images.push(bytes, n_file_bytes)?,
            (Cells::Numbers(_), _) => {}
        }
        Ok(())
    }
}
