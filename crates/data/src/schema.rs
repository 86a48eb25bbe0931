//! What one data set is made of: names, shapes, element types, targets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What one data set is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The name it was opened by, e.g. `glyphs`.
    pub name: String,
    /// Shape of one input, without the batch dimension, e.g. `[1, 28, 28]` (channels, rows, columns), `[8]` (columns of
    /// a table) or `[128]` (positions of a sequence).
    pub input_shape: Vec<usize>,
    /// What the values of an input are.
    pub input_type: ElementType,
    /// Names of the values of an input, where they have names (the columns of a table); else empty.
    pub columns: Vec<String>,
    /// What is to be predicted.
    pub target: Target,
    /// What the loss is averaged over.
    pub unit: Unit,
    /// Whether inputs are sequences that differ in length; `input_shape` then holds the longest.
    pub uneven: bool,
}

/// The type of the values of inputs or targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// Measured values.
    F32,
    /// Class numbers or tokens.
    U32,
}

/// What is to be predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// One class number for each example (u32).
    Class {
        /// Targets are in `0..n_classes`.
        n_classes: usize,
        /// Their names, or empty where they have none.
        names: Vec<String>,
    },
    /// A probability for each class (f32): mixtures of examples.
    Mixture {
        /// Numbers in a target.
        n_classes: usize,
        /// Their names, or empty where they have none.
        names: Vec<String>,
    },
    /// Measured values (f32), standardised.
    Values {
        /// Each value of a target.
        values: Vec<TargetValue>,
    },
    /// For each position of the input the token that follows it (u32).
    NextToken {
        /// Tokens are in `0..n_tokens`.
        n_tokens: usize,
    },
}

/// One value that is to be predicted, and how it was standardised: a target t stands for `mean + deviation · t`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetValue {
    /// Its name, e.g. of a column.
    pub name: String,
    /// Its mean over the training examples, or 0 where it was left as it is.
    pub mean: f64,
    /// Its standard deviation over the training examples, or 1.
    pub deviation: f64,
}

/// What the loss is averaged over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Unit {
    /// One input with one target.
    Example,
    /// One position of a sequence; a batch size still counts sequences.
    Token,
}

impl Schema {
    /// Images of bytes, `[channels, rows, columns]`, with classes.
    pub fn images(name: &str, shape: [usize; 3], n_classes: usize) -> Schema {
        Schema::classes(name, &shape, n_classes)
    }

    /// Inputs of f32 with classes that have no names.
    pub fn classes(name: &str, input_shape: &[usize], n_classes: usize) -> Schema {
        Schema {
            name: name.to_owned(),
            input_shape: input_shape.to_vec(),
            input_type: ElementType::F32,
            columns: Vec::new(),
            target: Target::Class { n_classes, names: Vec::new() },
            unit: Unit::Example,
            uneven: false,
        }
    }

    /// Sequences of `context` tokens, each position with the token that follows it.
    pub fn tokens(name: &str, context: usize, n_tokens: usize) -> Schema {
        Schema {
            name: name.to_owned(),
            input_shape: vec![context],
            input_type: ElementType::U32,
            columns: Vec::new(),
            target: Target::NextToken { n_tokens },
            unit: Unit::Token,
            uneven: false,
        }
    }

    /// Values in one input: the product of [`Schema::input_shape`].
    pub fn input_len(&self) -> usize {
        self.input_shape.iter().product()
    }

    /// Shape of one target, without the batch dimension; empty for a class number.
    pub fn target_shape(&self) -> Vec<usize> {
        match &self.target {
            Target::Class { .. } => Vec::new(),
            Target::Mixture { n_classes, .. } => vec![*n_classes],
            Target::Values { values } => vec![values.len()],
            Target::NextToken { .. } => self.input_shape.clone(),
        }
    }

    /// Values in one target.
    pub fn target_len(&self) -> usize {
        self.target_shape().iter().product()
    }

    /// The classes, where targets are classes or mixtures of them.
    pub fn n_classes(&self) -> Option<usize> {
        match self.target {
            Target::Class { n_classes, .. } | Target::Mixture { n_classes, .. } => Some(n_classes),
            Target::Values { .. } | Target::NextToken { .. } => None,
        }
    }

    /// Numbers that a model must give for each example, or for each position of a sequence: one for each class, value
    /// or token.
    pub fn n_outputs(&self) -> usize {
        match &self.target {
            Target::Class { n_classes, .. } | Target::Mixture { n_classes, .. } => *n_classes,
            Target::Values { values } => values.len(),
            Target::NextToken { n_tokens } => *n_tokens,
        }
    }

    /// Positions of the longest sequence, 1 where inputs are no sequences.
    pub fn longest(&self) -> usize {
        match (&self.unit, self.uneven, self.input_shape.first()) {
            (Unit::Token, _, Some(longest)) | (Unit::Example, true, Some(longest)) => *longest,
            _ => 1,
        }
    }
}

impl Target {
    /// What the values of a target are.
    pub fn element_type(&self) -> ElementType {
        match self {
            Target::Class { .. } | Target::NextToken { .. } => ElementType::U32,
            Target::Mixture { .. } | Target::Values { .. } => ElementType::F32,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Unit::Example => "example",
            Unit::Token => "token",
        })
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ElementType::F32 => "f32",
            ElementType::U32 => "u32",
        })
    }
}
