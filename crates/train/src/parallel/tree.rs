//! A sum in the order of a balanced binary tree.

/// The sum of a row of values in the order of one fixed binary tree over their index.
///
/// Node k of level l covers the leaves k·2^l to (k+1)·2^l − 1. Its value is the sum of its two children; a child
/// without a leaf is absent, and then the value is the other child's, to which nothing is added. So the sum of n values
/// depends on n and on the values alone: not on how many leaves the tree has room for, nor on who adds which subtree.
/// Values that are added one after the other, as in a plain loop, would have to be added by one worker.
///
/// At most ⌊log₂ n⌋ + 1 values are kept at once.
///
/// ```
/// use batchwise_train::parallel::TreeSum;
///
/// let mut sum = TreeSum::new();
/// for word in ["a", "b", "c", "d", "e"] {
///     sum.push(word.to_owned(), |left, right| *left = format!("({left}{right})"));
/// }
/// let sum = sum.finish(|left, right| *left = format!("({left}{right})"));
/// assert_eq!(sum.as_deref(), Some("(((ab)(cd))e)"));
/// ```
#[derive(Debug, Clone)]
pub struct TreeSum<T> {
    /// Subtrees that are complete, with their levels, which fall from left to right.
    nodes: Vec<(u32, T)>,
}

impl<T> TreeSum<T> {
    /// The sum of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Takes in the next leaf. `add(left, right)` adds the right value to the left one.
    pub fn push(&mut self, leaf: T, mut add: impl FnMut(&mut T, T)) {
        let (mut level, mut node) = (0, leaf);
        while let Some((_, mut left)) = self.nodes.pop_if(|(of_left, _)| *of_left == level) {
            add(&mut left, node);
            node = left;
            level += 1;
        }
        self.nodes.push((level, node));
    }

    /// The whole sum, or `None` without a leaf.
    pub fn finish(mut self, mut add: impl FnMut(&mut T, T)) -> Option<T> {
        let (_, mut node) = self.nodes.pop()?;
        while let Some((_, mut left)) = self.nodes.pop() {
            add(&mut left, node);
            node = left;
        }
        Some(node)
    }
}

impl<T> Default for TreeSum<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The sum of numbers in the tree's order; 0 for none.
pub(super) fn tree_sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = TreeSum::new();
    values.into_iter().for_each(|value| sum.push(value, |left, right| *left += right));
    sum.finish(|left, right| *left += right).unwrap_or(0.0)
}
