//! A keyed bijection of `0..len` that is evaluated index by index: an additive Feistel network with cycle walking.

use pulp::{Arch, NullaryFnOnce};

use crate::stream::Stream;

/// Indices that are computed side by side in vector registers.
const LANES: usize = 32;
/// Fewer than this are computed one by one.
const MIN_BULK: u64 = 4;

const MAX_PAIRS: usize = 12;
const FEW_PAIRS: usize = 6;
/// Below this many values a network of few rounds is told from chance by counting over many keys.
const SMALL: u64 = 1 << 12;

/// The bijection: a value is a cell of a table of `n_rows` × `n_columns`, and rounds shift its row by a function of
/// its column and its column by a function of its row.
///
/// The table is the least near-square one that holds `len` cells, so that fewer than `n_rows` cells are too many and a
/// walk past them is rare. The number of rows is even: a shift by one row is then an odd permutation, so that both
/// parities occur.
pub(crate) struct Feistel {
    len: u64,
    n_rows: u32,
    n_columns: u32,
    n_pairs: usize,
    /// For each pair of rounds the key that shifts rows and the key that shifts columns.
    keys: [[Key; 2]; MAX_PAIRS],
}

#[derive(Clone, Copy)]
struct Key {
    before: u32,
    between: u32,
}

impl Feistel {
    /// A permutation of at least 4 and at most [`super::MAX_LEN`] values.
    pub(super) fn new(stream: &mut Stream, len: u64) -> Feistel {
        // At most 2^20, so that the columns fit as well.
        let n_rows = (len.isqrt() & !1).max(2);
        let n_pairs = if len < SMALL { MAX_PAIRS } else { FEW_PAIRS };
        let mut keys = [[Key { before: 0, between: 0 }; 2]; MAX_PAIRS];
        for key in keys.iter_mut().take(n_pairs).flatten() {
            *key = Key { before: stream.word(), between: stream.word() };
        }
        Feistel { len, n_rows: n_rows as u32, n_columns: len.div_ceil(n_rows) as u32, n_pairs, keys }
    }

    /// Where the bijection sends `offset`, which is below `len`.
    pub(super) fn index(&self, offset: u64) -> u64 {
        // The walk follows the cycle of `offset`, which must come back below `len`: it ends.
        let mut value = self.encrypt(offset);
        while self.len <= value {
            value = self.encrypt(value);
        }
        value
    }

    /// Calls `each` with the index of each of the `n` offsets from `first` on, which are all below `len`.
    pub(super) fn for_each(&self, first: u64, n: u64, mut each: impl FnMut(u64)) {
        if n < MIN_BULK {
            (first..first + n).for_each(|offset| each(self.index(offset)));
            return;
        }
        let arch = Arch::new();
        for start in (0..n).step_by(LANES) {
            let mut values = arch.dispatch(Chunk { network: self, first: first + start });
            let values = &mut values[..LANES.min((n - start) as usize)];
            for value in values {
                // Rare: see the size of the table.
                while self.len <= *value {
                    *value = self.encrypt(*value);
                }
                each(*value);
            }
        }
    }

    fn encrypt(&self, value: u64) -> u64 {
        let columns = u64::from(self.n_columns);
        let (mut rows, mut columns) = ([(value / columns) as u32], [(value % columns) as u32]);
        self.rounds(&mut rows, &mut columns);
        self.join(rows[0], columns[0])
    }

    #[inline(always)]
    fn join(&self, row: u32, column: u32) -> u64 {
        u64::from(row) * u64::from(self.n_columns) + u64::from(column)
    }

    #[inline(always)]
    fn rounds<const N: usize>(&self, rows: &mut [u32; N], columns: &mut [u32; N]) {
        for [row_key, column_key] in &self.keys[..self.n_pairs] {
            for (row, column) in rows.iter_mut().zip(columns.iter_mut()) {
                *row = row_key.shift(*row, *column, self.n_rows);
                *column = column_key.shift(*column, *row, self.n_columns);
            }
        }
    }
}

impl Key {
    /// `value + hash(other)` modulo `n`.
    #[inline(always)]
    fn shift(self, value: u32, other: u32, n: u32) -> u32 {
        // The finaliser of MurmurHash3 with a second key inside, without its last step, which would reach only bits
        // that the reduction to 0..n does not see.
        let mut hash = other ^ self.before;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13 ^ self.between).wrapping_mul(0xc2b2_ae35);
        let sum = value.wrapping_add(((u64::from(hash) * u64::from(n)) >> 32) as u32);
        // Both terms are below n, at most 2^20 + 2: what wrapped below zero is the greater of the two.
        sum.min(sum.wrapping_sub(n))
    }
}

/// The values of [`LANES`] offsets from `first` on, not yet walked below `len`.
struct Chunk<'a> {
    network: &'a Feistel,
    first: u64,
}

impl NullaryFnOnce for Chunk<'_> {
    type Output = [u64; LANES];

    #[inline(always)]
    fn call(self) -> [u64; LANES] {
        let Chunk { network, first } = self;
        let n_columns = u64::from(network.n_columns);
        let (mut row, mut column) = ((first / n_columns) as u32, (first % n_columns) as u32);
        let (mut rows, mut columns) = ([0; LANES], [0; LANES]);
        // Lanes past the end of the table compute something that nobody looks at.
        for lane in 0..LANES {
            (rows[lane], columns[lane]) = (row, column);
            let is_last = u32::from(column + 1 == network.n_columns);
            row += is_last;
            column = (column + 1) * (1 - is_last);
        }
        network.rounds(&mut rows, &mut columns);
        let mut values = [0; LANES];
        for lane in 0..LANES {
            values[lane] = network.join(rows[lane], columns[lane]);
        }
        values
    }
}
