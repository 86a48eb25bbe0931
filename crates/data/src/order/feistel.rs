//! A keyed bijection of `0..len` that is evaluated index by index: an additive Feistel network with cycle walking.

use pulp::{Arch, NullaryFnOnce};

use crate::stream::Stream;

/// Indices that are computed side by side in vector registers.
const LANES: usize = 32;
/// Fewer than this are computed one by one.
const MIN_BULK: u64 = 4;

/// Enough for the shortest network, of 8 rows.
const MAX_PAIRS: u32 = 8;
const MIN_PAIRS: u32 = 4;
/// How far from chance, as a power of two, a network may be.
const BITS: u32 = 20;

/// The bijection: a value is a cell of a table of `n_rows` × `n_columns`, and rounds shift its row by a function of
/// its column and its column by a function of its row.
///
/// The table is the least near-square one that holds `len` cells, so that fewer than `n_rows` cells are too many and a
/// walk past them is rare. The number of rows is even: a shift by one row is then an odd permutation, so that both
/// parities occur.
///
/// A network of p pairs of rounds over r rows is told from chance by two of its values with an advantage of about
/// r^(1-p) (compare the attacks of Patarin, Generic Attacks on Feistel Schemes, ASIACRYPT 2001). Short tables get more
/// rounds, so that it is below 2^-20 everywhere.
#[derive(Debug)]
pub(crate) struct Feistel {
    len: u64,
    n_rows: u32,
    n_columns: u32,
    n_pairs: usize,
    /// For each pair of rounds the key that shifts rows and the key that shifts columns.
    keys: [[Key; 2]; MAX_PAIRS as usize],
}

#[derive(Clone, Copy, Debug)]
struct Key {
    before: u32,
    between: u32,
}

impl Feistel {
    /// A permutation of at least 64 and at most [`super::MAX_LEN`] values.
    pub(super) fn new(stream: &mut Stream, len: u64) -> Feistel {
        // At most 2^20, so that the columns fit as well.
        let n_rows = len.isqrt().max(8) & !1;
        let n_pairs = (1 + BITS.div_ceil(n_rows.ilog2())).clamp(MIN_PAIRS, MAX_PAIRS) as usize;
        let mut keys = [[Key { before: 0, between: 0 }; 2]; MAX_PAIRS as usize];
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

    /// Calls `each` with the indices of the `n` offsets from `first` on, which are all below `len`, part by part.
    pub(super) fn for_each(&self, first: u64, n: u64, mut each: impl FnMut(&[u64])) {
        if n < MIN_BULK {
            (first..first + n).for_each(|offset| each(&[self.index(offset)]));
            return;
        }
        let arch = Arch::new();
        let mut values = [0; LANES];
        for start in (0..n).step_by(LANES) {
            let greatest = arch.dispatch(Chunk { network: self, first: first + start, values: &mut values });
            let values = &mut values[..LANES.min((n - start) as usize)];
            // Rare: see the size of the table.
            if self.len <= greatest {
                for value in values.iter_mut() {
                    while self.len <= *value {
                        *value = self.encrypt(*value);
                    }
                }
            }
            each(values);
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

/// Writes the values of [`LANES`] offsets from `first` on, not yet walked below `len`, and returns the greatest.
struct Chunk<'a> {
    network: &'a Feistel,
    first: u64,
    values: &'a mut [u64; LANES],
}

impl NullaryFnOnce for Chunk<'_> {
    type Output = u64;

    #[inline(always)]
    fn call(self) -> u64 {
        let Chunk { network, first, values } = self;
        let n_columns = u64::from(network.n_columns);
        let (row, column) = ((first / n_columns) as u32, (first % n_columns) as u32);
        let (mut rows, mut columns) = ([0; LANES], [0; LANES]);
        // Lanes past the end of the table compute something that nobody looks at.
        if network.n_columns < LANES as u32 {
            let (mut row, mut column) = (row, column);
            for lane in 0..LANES {
                (rows[lane], columns[lane]) = (row, column);
                column += 1;
                if column == network.n_columns {
                    (row, column) = (row + 1, 0);
                }
            }
        } else {
            for lane in 0..LANES {
                let ahead = column + lane as u32;
                let is_next = network.n_columns <= ahead;
                rows[lane] = row + u32::from(is_next);
                columns[lane] = ahead.min(ahead.wrapping_sub(network.n_columns));
            }
        }
        network.rounds(&mut rows, &mut columns);
        let mut greatest = 0;
        for lane in 0..LANES {
            values[lane] = network.join(rows[lane], columns[lane]);
            greatest = greatest.max(values[lane]);
        }
        greatest
    }
}
