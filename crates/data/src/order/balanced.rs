//! Drawing each class equally often.

use std::collections::HashMap;

use super::permutation::Permutation;
use crate::stream::Stream;
use crate::{DataError, Dataset};

const DOMAIN: &[u8; 16] = b"batchwise/class1";
/// Draws of one class that are computed at once; only speed depends on it.
const MOST_AHEAD: u64 = 64;

/// The examples of each class that occurs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Members {
    /// Example numbers, class after class.
    examples: Vec<u64>,
    /// Where each class begins in `examples`, and the end.
    starts: Vec<usize>,
}

impl Members {
    /// # Errors
    ///
    /// What [`Dataset::label`] returns.
    pub(super) fn of(dataset: &dyn Dataset) -> Result<Members, DataError> {
        let labels: Result<Vec<u32>, DataError> =
            (0..dataset.len()).map(|index| dataset.label(index)).collect();
        Ok(Members::new(&labels?))
    }

    pub(super) fn new(labels: &[u32]) -> Members {
        let mut examples: Vec<u64> = (0..labels.len() as u64).collect();
        let label = |example: &u64| labels[*example as usize];
        // Stable: within a class examples keep their order.
        examples.sort_by_key(label);
        let mut starts = vec![0];
        let ends = examples.windows(2).enumerate().filter(|(_, pair)| label(&pair[0]) != label(&pair[1]));
        starts.extend(ends.map(|(i, _)| i + 1));
        starts.push(examples.len());
        Members { examples, starts }
    }

    pub(super) fn n_examples(&self) -> u64 {
        self.examples.len() as u64
    }

    fn n_classes(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    fn class(&self, class: u64) -> &[u64] {
        &self.examples[self.starts[class as usize]..self.starts[class as usize + 1]]
    }

    /// Calls `each` with the examples at `n` positions from `first` on, part by part.
    ///
    /// Block t of as many positions as there are classes holds the t-th draw of every class. The draws of a class of n
    /// examples are permutations of them one after another, n draws each.
    pub(super) fn for_each(&self, seed: u64, first: u64, n: u64, mut each: impl FnMut(&[u64])) {
        let n_classes = self.n_classes();
        let last_block = first.saturating_add(n.saturating_sub(1)) / n_classes;
        // Of each class the draws that come next, computed side by side.
        let mut ahead: HashMap<u64, Ahead> = HashMap::new();
        let mut done = 0;
        while done < n {
            let (block, skip) = ((first + done) / n_classes, (first + done) % n_classes);
            let part = (n_classes - skip).min(n - done);
            let classes = Permutation::new(Stream::new(DOMAIN, seed, block, 0), n_classes);
            classes.for_each(skip, part, |classes| {
                for class in classes {
                    let ahead = ahead.entry(*class).or_default();
                    if ahead.examples.len() as u64 <= block - ahead.first {
                        let n = (last_block - block).saturating_add(1).min(MOST_AHEAD);
                        self.draw(seed, *class, block, n, ahead);
                    }
                    each(&[ahead.examples[(block - ahead.first) as usize]]);
                }
            });
            done += part;
        }
    }

    /// Draws `n` examples of a class from its draw number `first` on, but no more than its permutation has left.
    fn draw(&self, seed: u64, class: u64, first: u64, n: u64, ahead: &mut Ahead) {
        let members = self.class(class);
        let len = members.len() as u64;
        let (pass, offset) = (first / len, first % len);
        let permutation = Permutation::new(Stream::new(DOMAIN, seed, pass, 1 + class), len);
        ahead.first = first;
        ahead.examples.clear();
        permutation.for_each(offset, n.min(len - offset), |indices| {
            ahead.examples.extend(indices.iter().map(|index| members[*index as usize]));
        });
    }
}

/// Some draws of one class.
#[derive(Default)]
struct Ahead {
    first: u64,
    examples: Vec<u64>,
}
