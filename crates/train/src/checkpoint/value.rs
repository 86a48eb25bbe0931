//! A state as JSON that comes back to the bit.

use super::CheckpointError;
use super::format::brief;
use serde::Serialize;
use serde::ser::{self, Error as _, Serializer};
use serde_json::Value;
use std::fmt;

/// A state as JSON, for [`super::Manifest::state`]: each finite number comes back to the bit.
///
/// JSON has no infinity and no NaN, and `serde_json` writes `null` in their place without a word, which would be found at
/// the resume only. They are refused here, by key: a state that has one is broken, or should have an `Option`.
///
/// # Errors
/// [`CheckpointError::Unstorable`] with the key of the first number that is not finite, such as `schedule.rates.2`, or of
/// something else that JSON cannot hold.
///
/// ```
/// use batchwise_train::checkpoint::to_value;
///
/// assert_eq!(to_value("noise", &(0.1, Some(3)))?, serde_json::json!([0.1, 3]));
/// let error = to_value("noise", &(0.1, Some(f64::NAN))).unwrap_err();
/// assert!(error.to_string().contains("`noise.1`: it is NaN"));
/// # Ok::<(), batchwise_train::checkpoint::CheckpointError>(())
/// ```
pub fn to_value<T: Serialize + ?Sized>(name: &str, state: &T) -> Result<Value, CheckpointError> {
    let mut walk = Walk { key: name.to_owned() };
    let refused = |key: &str, found: &str, allowed| CheckpointError::Unstorable {
        name: format!("`{}`", brief(key)),
        found: brief(found),
        allowed,
    };
    state.serialize(&mut walk).map_err(|error| match error {
        Refusal::NotFinite(value) => refused(&walk.key, &value.to_string(), "a finite number"),
        Refusal::Other(message) => refused(&walk.key, &message, "what JSON can hold"),
    })?;
    serde_json::to_value(state).map_err(|error| refused(name, &error.to_string(), "what JSON can hold"))
}

/// Visits each number of a value; at an error the key stays where it was found.
struct Walk {
    key: String,
}

impl Walk {
    fn below<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Refusal> {
        let len = self.key.len();
        if len != 0 {
            self.key.push('.');
        }
        self.key.push_str(name);
        value.serialize(&mut *self)?;
        self.key.truncate(len);
        Ok(())
    }
}

#[derive(Debug)]
enum Refusal {
    NotFinite(f64),
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite(value) => value.fmt(f),
            Self::Other(message) => message.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }
}

/// Methods for what holds no number.
macro_rules! leaves {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), Refusal> { Ok(()) })*
    };
}

impl<'a> Serializer for &'a mut Walk {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    leaves!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str);

    fn serialize_f32(self, value: f32) -> Result<(), Refusal> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Refusal> {
        if value.is_finite() { Ok(()) } else { Err(Refusal::NotFinite(value)) }
    }

    fn serialize_none(self) -> Result<(), Refusal> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refusal> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Refusal> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.below(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Refusal> {
        Ok(Parts::new(self, Some(variant)))
    }
}

/// What is inside a list or a map.
struct Parts<'a> {
    walk: &'a mut Walk,
    /// The key's length outside.
    len: usize,
    n: usize,
    name: String,
}

impl<'a> Parts<'a> {
    fn new(walk: &'a mut Walk, variant: Option<&str>) -> Self {
        let len = walk.key.len();
        if let Some(variant) = variant {
            walk.key.push('.');
            walk.key.push_str(variant);
        }
        Self { walk, len, n: 0, name: String::new() }
    }

    fn next<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        self.walk.below(&self.n.to_string(), value)?;
        self.n += 1;
        Ok(())
    }

    fn finish(self) -> Result<(), Refusal> {
        self.walk.key.truncate(self.len);
        Ok(())
    }
}

/// The traits of lists and of structs, each with a method of its own name.
macro_rules! parts {
    (list: $($list:ident.$element:ident),*; named: $($named:ident),*) => {
        $(impl ser::$list for Parts<'_> {
            type Ok = ();
            type Error = Refusal;

            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
                self.next(value)
            }

            fn end(self) -> Result<(), Refusal> {
                self.finish()
            }
        })*
        $(impl ser::$named for Parts<'_> {
            type Ok = ();
            type Error = Refusal;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Refusal> {
                self.walk.below(name, value)
            }

            fn end(self) -> Result<(), Refusal> {
                self.finish()
            }
        })*
    };
}

parts!(list: SerializeSeq.serialize_element, SerializeTuple.serialize_element, SerializeTupleStruct.serialize_field,
    SerializeTupleVariant.serialize_field; named: SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        let key = serde_json::to_value(key).map_err(Refusal::custom)?;
        self.name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let name = std::mem::take(&mut self.name);
        self.walk.below(&name, value)
    }

    fn end(self) -> Result<(), Refusal> {
        self.finish()
    }
}
