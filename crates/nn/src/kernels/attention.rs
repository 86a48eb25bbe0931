//! Causal attention on packed queries, keys and values, tile by tile: no matrix of scores is ever kept (Dao et al. 2022,
//! algorithm 1; Dao 2023, §3).
#![expect(unsafe_code, reason = "threads write the columns of different heads in the same rows")]

use super::Element;
use super::element::with_scratch;
use super::threads::{self, Shared};
use super::tile::{self, LANES, Panel, TILE};
use crate::precision::Precision;
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// Sizes of a self-attention; its input is (n, positions, 3·heads·width): queries, keys and values side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) n: usize,
    pub(crate) positions: usize,
    pub(crate) heads: usize,
    /// Of one head, at least 1.
    pub(crate) width: usize,
    /// Of queries, keys, values, probabilities and the gradients of outputs and scores.
    pub(crate) precision: Precision,
}

/// One head of one example.
#[derive(Clone, Copy)]
struct Head {
    heads: Heads,
    /// Where its first query stands in the input, and its first output.
    query: usize,
    output: usize,
    /// Its place among all heads of all examples.
    number: usize,
}

impl Heads {
    fn of(self, number: usize) -> Head {
        let (example, head) = (number / self.heads, number % self.heads);
        let row = example * self.positions;
        let query = row * self.in_row() + head * self.width;
        Head { heads: self, query, output: row * self.out_row() + head * self.width, number }
    }

    fn out_row(self) -> usize {
        self.heads * self.width
    }

    fn in_row(self) -> usize {
        3 * self.out_row()
    }

    fn n_tiles(self) -> usize {
        self.positions.div_ceil(TILE)
    }

    /// Positions in a tile.
    fn in_tile(self, tile: usize) -> usize {
        TILE.min(self.positions - tile * TILE)
    }

    /// The width of a head in whole registers.
    fn padded(self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    fn rounds(self) -> bool {
        self.precision == Precision::Bf16
    }

    fn scale(self) -> f64 {
        1.0 / (self.width as f64).sqrt()
    }

    /// The output (n, positions, heads·width), and ln Σ exp(score) for each row of each head's scores.
    pub(crate) fn forward<T: Element>(self, qkv: &[T]) -> (Vec<T>, Vec<T>) {
        let len = self.n * self.positions * self.out_row();
        let mut out = Vec::with_capacity(len);
        let mut log_sums = vec![T::ZERO; self.n * self.heads * self.positions];
        let tiles = self.n_tiles();
        {
            let (out, log_sums) =
                (Shared::new(&mut out.spare_capacity_mut()[..len]), Shared::new(&mut log_sums));
            threads::for_each(self.n * self.heads * tiles, |item| {
                let (head, tile) = (self.of(item / tiles), item % tiles);
                let padded = self.padded();
                let lengths = [TILE * padded, TILE * padded, padded * TILE, TILE * padded, TILE * TILE];
                with_tiles(lengths, |[q, o, kt, v, scores]| {
                    let forward = Forward { qkv, head, tile, q, o, kt, v, scores };
                    let rows = self.in_tile(tile);
                    let from = head.number * self.positions + tile * TILE;
                    // SAFETY: the rows of one tile of one head, which are this item's alone.
                    let log_sums = unsafe { log_sums.part(from, rows) };
                    pulp::Arch::new().dispatch(Run(forward, log_sums, &out));
                });
            });
        }
        // SAFETY: the items have written each position of each head of each example.
        unsafe { out.set_len(len) };
        (out, log_sums)
    }

    /// The input's gradient, from what [`Heads::forward`] returned and the output's gradient.
    pub(crate) fn backward<T: Element>(self, qkv: &[T], out: &[T], log_sums: &[T], dy: &[T]) -> Vec<T> {
        let mut gradient = Vec::with_capacity(qkv.len());
        {
            let gradient = Shared::new(&mut gradient.spare_capacity_mut()[..qkv.len()]);
            threads::for_each(self.n * self.heads, |number| {
                let padded = self.padded();
                let (wide, square) = (TILE * padded, TILE * TILE);
                let all = self.n_tiles() * wide;
                let lengths = [wide, all, wide, wide, wide, wide, wide, wide, square, square, self.positions];
                with_tiles(lengths, |[q, dq, k, kt, dk, vt, dv, dy_tile, scores, slopes, shares]| {
                    let head = self.of(number);
                    let tiles =
                        BackwardTiles { q, dq, k, kt, dk, vt, dv, dy: dy_tile, scores, slopes, shares };
                    let log_sums = &log_sums[number * self.positions..][..self.positions];
                    pulp::Arch::new().dispatch(Backward {
                        qkv,
                        out,
                        log_sums,
                        dy,
                        head,
                        tiles,
                        gradient: &gradient,
                    });
                });
            });
        }
        // SAFETY: the items have written queries, keys and values of each head of each example.
        unsafe { gradient.set_len(qkv.len()) };
        gradient
    }
}

/// Runs `work` with pieces of this thread's scratch buffer, each from a cache line's start where registers are as long.
fn with_tiles<T: Element, const N: usize>(lengths: [usize; N], work: impl FnOnce([&mut [T]; N])) {
    const LINE: usize = 64;
    let lengths = lengths.map(|len| len.next_multiple_of(LINE));
    with_scratch(lengths.iter().sum::<usize>() + LINE, |scratch: &mut [T]| {
        let from = scratch.as_ptr().align_offset(LINE).min(LINE);
        let mut rest = &mut scratch[from..];
        work(lengths.map(|len| {
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            piece
        }));
    });
}

impl Head {
    /// The numbers of one position: its query, key or value, or (with the output's strides) what comes out.
    fn row<'a, T>(&self, x: &'a [T], part: usize, position: usize) -> &'a [T] {
        let Heads { width, .. } = self.heads;
        &x[self.query + position * self.heads.in_row() + part * self.heads.out_row()..][..width]
    }

    fn out_row<'a, T>(&self, x: &'a [T], position: usize) -> &'a [T] {
        &x[self.output + position * self.heads.out_row()..][..self.heads.width]
    }

    /// Copies rows, each filled up with zeros, and rows of zeros after them up to a whole block.
    #[inline(always)]
    fn pack<'a, T: Element>(&self, to: &mut [T], rows: usize, row: impl Fn(usize) -> &'a [T], scale: T) {
        let padded = self.heads.padded();
        let rounds = self.heads.rounds();
        for (i, to) in to.chunks_exact_mut(padded).enumerate().take(rows.next_multiple_of(tile::BLOCK)) {
            if i < rows {
                let (to, row) = (to.as_chunks_mut::<LANES>().0, row(i).as_chunks::<LANES>());
                for (to, row) in to.iter_mut().zip(row.0) {
                    // By value: slices that might overlap would be copied number by number.
                    *to = if rounds {
                        row.map(
                            #[inline(always)]
                            |v| v.to_bf16() * scale,
                        )
                    } else {
                        row.map(
                            #[inline(always)]
                            |v| v * scale,
                        )
                    };
                }
                if let Some(to) = to.get_mut(row.0.len()) {
                    to[row.1.len()..].fill(T::ZERO);
                    let of = |v: T| if rounds { v.to_bf16() } else { v };
                    to.iter_mut().zip(row.1).for_each(|(to, v)| *to = of(*v) * scale);
                }
            } else {
                to.fill(T::ZERO);
            }
        }
    }

    /// Copies rows as columns of a matrix that is [`TILE`] wide, with zeros after them.
    #[inline(always)]
    fn pack_columns<'a, T: Element>(&self, to: &mut [T], rows: usize, row: impl Fn(usize) -> &'a [T]) {
        let width = self.heads.width;
        if rows < TILE {
            to[..width * TILE].fill(T::ZERO);
        }
        // Eight at a time, so that a cache line is written while it is at hand.
        let mut i = 0;
        while i < rows {
            let n = (rows - i).min(8);
            if n == 8 {
                let eight: [&[T]; 8] = std::array::from_fn(|j| &row(i + j)[..width]);
                for (c, to) in to.chunks_exact_mut(TILE).enumerate().take(width) {
                    let to = &mut to[i..i + 8];
                    for j in 0..8 {
                        to[j] = eight[j][c];
                    }
                }
            } else {
                for j in i..i + n {
                    row(j).iter().enumerate().for_each(|(c, v)| to[c * TILE + j] = *v);
                }
            }
            i += n;
        }
        if self.heads.rounds() {
            round_all(&mut to[..width * TILE]);
        }
    }
}

/// Rounds to bf16, compiled for the caller's registers.
#[inline(always)]
fn round_all<T: Element>(x: &mut [T]) {
    x.iter_mut().for_each(|x| *x = x.to_bf16());
}

struct Forward<'a, T> {
    qkv: &'a [T],
    head: Head,
    tile: usize,
    q: &'a mut [T],
    o: &'a mut [T],
    kt: &'a mut [T],
    v: &'a mut [T],
    scores: &'a mut [T],
}

/// A tile of queries, where its log-sums go, and where its output goes.
struct Run<'a, 'b, T>(Forward<'a, T>, &'a mut [T], &'a Shared<'b, MaybeUninit<T>>);

impl<T: Element> WithSimd for Run<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(Forward { qkv, head, tile, q, o, kt, v, scores }, log_sums, out) = self;
        let heads = head.heads;
        let (rows, padded) = (heads.in_tile(tile), heads.padded());
        let minus_infinity = T::from_f64(f64::NEG_INFINITY);
        let (mut largest, mut sums) = ([minus_infinity; TILE], [T::ZERO; TILE]);
        head.pack(q, rows, |i| head.row(qkv, 0, tile * TILE + i), T::from_f64(heads.scale()));
        for keys in 0..=tile {
            let n_keys = heads.in_tile(keys);
            let is_last = keys == tile;
            head.pack_columns(kt, n_keys, |i| head.row(qkv, 1, keys * TILE + i));
            head.pack(v, n_keys, |i| head.row(qkv, 2, keys * TILE + i), T::ONE);
            let of_scores = Panel { rows, columns: TILE, depth: heads.width, is_causal: is_last };
            tile::scores(simd, scores, q, padded, kt, of_scores);
            for (i, row) in scores.chunks_exact_mut(TILE).enumerate().take(rows) {
                let seen = if is_last { i + 1 } else { n_keys };
                let before = largest[i];
                let (most, sum) = tile::exponentials(row, seen, before);
                let fade = (before - most).exp();
                largest[i] = most;
                sums[i] = sums[i] * fade + sum;
                if keys != 0 {
                    o[i * padded..][..padded].iter_mut().for_each(|o| *o *= fade);
                }
            }
            // Their sums are those of what has not been rounded, as of a softmax in f32.
            if heads.rounds() {
                round_all(&mut scores[..rows * TILE]);
            }
            scores[rows * TILE..rows.next_multiple_of(tile::BLOCK) * TILE].fill(T::ZERO);
            let of_values = Panel { rows, columns: padded, depth: n_keys, is_causal: is_last };
            tile::product(simd, o, scores, v, of_values, keys != 0);
        }
        for i in 0..rows {
            let from = head.output + (tile * TILE + i) * heads.out_row();
            // SAFETY: one head's numbers of one position, which are this item's alone.
            let to = unsafe { out.part(from, heads.width) };
            let share = T::ONE / sums[i];
            write(to, o[i * padded..].iter().map(|o| *o * share));
            log_sums[i] = largest[i] + T::from_f64(sums[i].widen().ln());
        }
    }
}

struct BackwardTiles<'a, T> {
    q: &'a mut [T],
    k: &'a mut [T],
    kt: &'a mut [T],
    dk: &'a mut [T],
    vt: &'a mut [T],
    dv: &'a mut [T],
    dy: &'a mut [T],
    scores: &'a mut [T],
    slopes: &'a mut [T],
    /// Of all positions.
    dq: &'a mut [T],
    /// Σ dy·y for each position.
    shares: &'a mut [T],
}

struct Backward<'a, 'b, T> {
    qkv: &'a [T],
    out: &'a [T],
    log_sums: &'a [T],
    dy: &'a [T],
    head: Head,
    tiles: BackwardTiles<'a, T>,
    gradient: &'a Shared<'b, MaybeUninit<T>>,
}

impl<T: Element> WithSimd for Backward<'_, '_, T> {
    type Output = ();

    /// With P = exp(S − log-sum) and dP = dy·vᵀ: dv = Pᵀ·dy, dS = P∘(dP − Σ dy·y), dq = dS·k/√d, dk = dSᵀ·q/√d.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, out, log_sums, dy: of_y, head, tiles, gradient } = self;
        let BackwardTiles { q, dq, k, kt, dk, vt, dv, dy, scores, slopes, shares } = tiles;
        let heads = head.heads;
        let (padded, scale) = (heads.padded(), T::from_f64(heads.scale()));
        // One head's query, key or value of one position.
        let to = |part: usize, position: usize| {
            let from = head.query + position * heads.in_row() + part * heads.out_row();
            // SAFETY: each head of each example is one item's alone, and no two of these live at once.
            unsafe { gradient.part(from, heads.width) }
        };
        for (position, share) in shares.iter_mut().enumerate().take(heads.positions) {
            *share = tile::dot(head.out_row(out, position), head.out_row(of_y, position));
        }
        for keys in 0..heads.n_tiles() {
            let n_keys = heads.in_tile(keys);
            head.pack(k, n_keys, |i| head.row(qkv, 1, keys * TILE + i), T::ONE);
            head.pack_columns(kt, n_keys, |i| head.row(qkv, 1, keys * TILE + i));
            head.pack_columns(vt, n_keys, |i| head.row(qkv, 2, keys * TILE + i));
            for tile in keys..heads.n_tiles() {
                let (rows, is_first) = (heads.in_tile(tile), tile == keys);
                head.pack(q, rows, |i| head.row(qkv, 0, tile * TILE + i), scale);
                head.pack(dy, rows, |i| head.out_row(of_y, tile * TILE + i), T::ONE);
                let square = Panel { rows, columns: TILE, depth: heads.width, is_causal: is_first };
                tile::scores(simd, scores, q, padded, kt, square);
                tile::scores(simd, slopes, dy, padded, vt, square);
                let both = scores.chunks_exact_mut(TILE).zip(slopes.chunks_exact_mut(TILE));
                for (i, (p, ds)) in both.enumerate().take(rows.next_multiple_of(tile::BLOCK)) {
                    if rows <= i {
                        p.fill(T::ZERO);
                        ds.fill(T::ZERO);
                        continue;
                    }
                    let seen = if is_first { i + 1 } else { n_keys };
                    tile::score_gradients(p, ds, seen, log_sums[tile * TILE + i], shares[tile * TILE + i]);
                }
                if heads.rounds() {
                    round_all(&mut scores[..rows * TILE]);
                    round_all(&mut slopes[..rows * TILE]);
                }
                let down = Panel { rows: n_keys, columns: padded, depth: rows, is_causal: is_first };
                tile::transposed_product(simd, dv, scores, dy, down, !is_first);
                tile::transposed_product(simd, dk, slopes, q, down, !is_first);
                let across = Panel { rows, columns: padded, depth: n_keys, is_causal: is_first };
                let dq = &mut dq[tile * TILE * padded..][..TILE * padded];
                tile::product(simd, dq, slopes, k, across, keys != 0);
            }
            for i in 0..n_keys {
                write(to(1, keys * TILE + i), dk[i * padded..].iter().copied());
                write(to(2, keys * TILE + i), dv[i * padded..].iter().copied());
            }
        }
        for (position, dq) in dq.chunks_exact(padded).enumerate().take(heads.positions) {
            write(to(0, position), dq.iter().map(|dq| *dq * scale));
        }
    }
}

/// Writes as many numbers as there is room for.
#[inline(always)]
fn write<T>(to: &mut [MaybeUninit<T>], values: impl Iterator<Item = T>) {
    for (to, value) in to.iter_mut().zip(values) {
        to.write(value);
    }
}
