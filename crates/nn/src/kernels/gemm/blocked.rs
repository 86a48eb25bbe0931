//! Products of any size: operands are packed where that pays, and tiles of the result given to the threads.
#![expect(unsafe_code, reason = "threads write tiles of one matrix through pointers")]

use super::micro::{MAX_PANEL, MAX_ROWS, Path};
use super::workspace::with_buffer;
use super::{Finish, Matrix, Target, each, finish_block, pack};
use std::ops::Range;

/// Numbers along k in a block: panels stay in the nearest caches.
const BLOCK_K: usize = 512;
/// The same where a tile is contiguous along its rows and not packed: each k is a line of the cache, or two.
const BLOCK_IN_PLACE: usize = 128;
/// Columns in a block, so that all its packed panels stay in a core's second cache.
const BLOCK_COLUMNS: usize = 1024;
/// Tiles with at most so many numbers along k are read where they are.
const SHORT: usize = 256;
/// Numbers in a page of memory.
const PAGE: usize = 1024;
/// So many numbers stay in a core's second cache.
const NEAR: usize = 1 << 18;
/// Panels and tiles of one piece of work, at most.
const PANELS: usize = 4;
const TILES: usize = 4;
/// Fewer pieces than this are cut smaller, so that threads end at the same time.
const PIECES: usize = 16;
/// Columns of a piece, at most.
const PIECE: usize = PANELS * MAX_PANEL;

/// Numbers `len·i/n` to `len·(i+1)/n`.
fn part(len: usize, i: usize, n: usize) -> Range<usize> {
    len * i / n..len * (i + 1) / n
}

/// One product, q·p, and how it is done.
struct Plan<'a> {
    path: &'static Path,
    q: Matrix<'a, f32>,
    p: Matrix<'a, f32>,
    /// The result is p's columns by q's rows.
    is_turned: bool,
    n_tiles: usize,
    /// Panels are read where they are, but for one that is not full.
    reads_p: bool,
    /// There is one tile, of so few rows that it takes two panels at a time.
    is_low: bool,
    /// Tiles of q are packed.
    packs_q: bool,
}

impl Plan<'_> {
    /// From one k to the next in a packed tile.
    fn q_stride(&self) -> usize {
        self.path.rows.next_multiple_of(self.path.lanes)
    }
}

/// c = a·b or c += a·b, then `finish`.
///
/// # Safety
/// The machine has the path; `c` is good for a.rows × b.cols numbers, which nobody else uses; both matrices lie inside
/// of their slices, and all sizes are above 0.
pub(super) unsafe fn product<F: Finish<f32>>(
    path: &'static Path,
    c: Target<f32>,
    accumulate: bool,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    is_parallel: bool,
    finish: &F,
) {
    let is_turned = !accumulate && turns(path, a, b);
    let (q, p) = if is_turned { (b.t(), a.t()) } else { (a, b) };
    let k = q.cols;
    // Rows that each lie in a page of their own are read more slowly.
    let few_tiles = if p.row_stride <= PAGE { 10 } else { 4 };
    let plan = Plan {
        path,
        q,
        p,
        is_turned,
        n_tiles: q.rows.div_ceil(path.rows),
        reads_p: p.col_stride == 1 && q.rows <= few_tiles * path.rows,
        packs_q: q.col_stride != 1 && PANELS * path.panel() < p.cols && SHORT < k,
        is_low: q.rows <= path.wide_rows,
    };
    // A turned result is not summed in memory.
    let n_k = if is_turned || k <= SHORT {
        1
    } else if q.col_stride != 1 && !plan.packs_q {
        k.div_ceil(BLOCK_IN_PLACE)
    } else {
        k.div_ceil(BLOCK_K)
    };
    let n_columns = p.cols.div_ceil(BLOCK_COLUMNS);
    let panel = path.panel();
    let longest_k = k.div_ceil(n_k);
    let widest = BLOCK_COLUMNS.min(p.cols.next_multiple_of(panel));
    let p_len = longest_k * if plan.reads_p { panel } else { widest };
    let q_len = if plan.packs_q { longest_k * plan.n_tiles * plan.q_stride() } else { 0 };
    with_buffer(is_parallel, p_len + q_len, |buffer| {
        let (p_to, q_to) = buffer.split_at_mut(p_len);
        let (p_to, q_to) = (Target(p_to.as_mut_ptr()), Target(q_to.as_mut_ptr()));
        for i in 0..n_columns {
            let columns = i * BLOCK_COLUMNS..((i + 1) * BLOCK_COLUMNS).min(p.cols);
            for j in 0..n_k {
                let block = Block {
                    plan: &plan,
                    columns: columns.clone(),
                    k: part(k, j, n_k),
                    add: accumulate || 0 < j,
                    is_last: j + 1 == n_k,
                    p_to,
                    q_to,
                    c,
                };
                // SAFETY: the caller's promise; the buffer holds the block's packed panels and tiles.
                unsafe { block.run(is_parallel, finish) };
            }
        }
    });
}

/// Whether the result's columns come from the rows of tiles: `b` would have to be turned while it is packed, and that
/// and the columns that fill its panels cost more than to turn and fill up `a`, and the result.
fn turns(path: &Path, a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> bool {
    if a.col_stride != 1 || b.row_stride != 1 || 4096 < a.cols {
        return false;
    }
    // In multiplications of full panels; to turn a number takes as long as some eight.
    const TURN: usize = 8;
    let (m, k, n, panel) = (a.rows, a.cols, b.cols, path.panel());
    let direct = m * k * n.next_multiple_of(panel) + TURN * n * k;
    let turned = n * k * m.next_multiple_of(panel) + TURN * m * (k + n);
    turned < direct
}

/// How many pieces there are along the rows of tiles, and of panels.
fn coarsest(n_tiles: usize, n_panels: usize) -> (usize, usize) {
    (n_tiles.div_ceil(TILES), n_panels.div_ceil(PANELS))
}

/// The same for several threads, however many these are.
fn grid(n_tiles: usize, n_panels: usize) -> (usize, usize) {
    let mut grid = coarsest(n_tiles, n_panels);
    while grid.0 * grid.1 < PIECES && grid != (n_tiles, n_panels) {
        // Along the side where pieces are longer.
        if n_panels * grid.0 < n_tiles * grid.1 {
            grid.0 = (2 * grid.0).min(n_tiles);
        } else {
            grid.1 = (2 * grid.1).min(n_panels);
        }
    }
    grid
}

struct Block<'a> {
    plan: &'a Plan<'a>,
    columns: Range<usize>,
    k: Range<usize>,
    add: bool,
    is_last: bool,
    p_to: Target<f32>,
    q_to: Target<f32>,
    c: Target<f32>,
}

impl Block<'_> {
    fn n_panels(&self) -> usize {
        self.columns.len().div_ceil(self.plan.path.panel())
    }

    fn is_packed(&self, panel: usize) -> bool {
        let width = self.plan.path.panel();
        !self.plan.reads_p || self.columns.len() < (panel + 1) * width
    }

    /// # Safety
    /// As of [`product`].
    unsafe fn run<F: Finish<f32>>(&self, is_parallel: bool, finish: &F) {
        let Plan { n_tiles, reads_p, packs_q, .. } = *self.plan;
        let n_panels = self.n_panels();
        // The panels that are packed come last.
        let first = if !reads_p {
            0
        } else if self.is_packed(n_panels - 1) {
            n_panels - 1
        } else {
            n_panels
        };
        let n_pack = n_panels - first + if packs_q { n_tiles } else { 0 };
        // SAFETY: the caller's promise; each panel and tile has its own place in the buffer.
        each(is_parallel && 1 < n_pack, n_pack, |i| unsafe {
            if first + i < n_panels {
                self.pack_panel(first + i)
            } else {
                self.pack_tile(first + i - n_panels)
            }
        });
        let grid = if is_parallel { grid(n_tiles, n_panels) } else { coarsest(n_tiles, n_panels) };
        // Neighbouring pieces share rows of the result where a core's second cache holds all panels, else panels.
        let goes_along_rows = self.k.len() * self.columns.len() <= NEAR;
        each(is_parallel, grid.0 * grid.1, |i| {
            let (i, j) = if goes_along_rows { (i / grid.1, i % grid.1) } else { (i % grid.0, i / grid.0) };
            let (tiles, panels) = (part(n_tiles, i, grid.0), part(n_panels, j, grid.1));
            // SAFETY: the caller's promise; pieces do not overlap, and have no more than TILES and PANELS.
            unsafe { self.piece(tiles, panels, finish) }
        });
    }

    /// Where a packed panel is.
    unsafe fn panel_at(&self, panel: usize) -> *mut f32 {
        let place = if self.plan.reads_p { 0 } else { panel };
        // SAFETY: inside of the buffer: one panel, or all of them.
        unsafe { self.p_to.0.add(place * self.plan.path.panel() * self.k.len()) }
    }

    /// Where a packed tile is.
    unsafe fn tile_at(&self, tile: usize) -> *mut f32 {
        // SAFETY: inside of the buffer.
        unsafe { self.q_to.0.add(tile * self.plan.q_stride() * self.k.len()) }
    }

    unsafe fn pack_panel(&self, panel: usize) {
        let Plan { path, p, .. } = *self.plan;
        let first = self.columns.start + panel * path.panel();
        let width = path.panel().min(self.columns.end - first);
        // SAFETY: the block is inside of p, and the panel has its place in the buffer.
        unsafe { pack::panel(path, p, self.k.clone(), first, width, self.panel_at(panel)) }
    }

    unsafe fn pack_tile(&self, tile: usize) {
        let Plan { path, q, n_tiles, .. } = *self.plan;
        let rows = part(q.rows, tile, n_tiles);
        // SAFETY: the block is inside of q, and the tile has its place in the buffer.
        unsafe {
            let rows = (rows.start, rows.len());
            pack::rows(path, q, self.k.clone(), rows, self.tile_at(tile), self.plan.q_stride());
        }
    }

    /// The rows of one tile.
    fn rows(&self, tile: usize) -> Rows {
        let Plan { q, n_tiles, packs_q, .. } = *self.plan;
        let rows = part(q.rows, tile, n_tiles);
        // SAFETY: inside of q, or of the buffer where it is packed.
        unsafe {
            if packs_q {
                return Rows { rows, q: self.tile_at(tile), q_stride: self.plan.q_stride(), along_k: false };
            }
            let at = q.data.as_ptr().add(rows.start * q.row_stride + self.k.start * q.col_stride);
            let along_k = q.col_stride == 1;
            Rows { rows, q: at, q_stride: if along_k { q.row_stride } else { q.col_stride }, along_k }
        }
    }

    /// A few tiles and panels.
    ///
    /// # Safety
    /// As of [`product`]; what this block packs is packed; nobody else has this piece.
    unsafe fn piece<F: Finish<f32>>(&self, tiles: Range<usize>, panels: Range<usize>, finish: &F) {
        let Plan { path, q, p, is_turned, .. } = *self.plan;
        let (panel, n) = (path.panel(), tiles.len());
        let tiles: [Rows; TILES] = std::array::from_fn(|i| self.rows(tiles.start + i.min(n - 1)));
        let tiles = &tiles[..n];
        let all_rows = tiles[0].rows.start..tiles[n - 1].rows.end;
        let first_column = self.columns.start + panels.start * panel;
        let all_columns = first_column..self.columns.end.min(self.columns.start + panels.end * panel);
        let mut turned = [const { std::mem::MaybeUninit::<f32>::uninit() }; TILES * MAX_ROWS * PIECE];
        let turned = turned.as_mut_ptr().cast::<f32>();
        let cell = |rows: &Rows, at: usize| {
            let column = panel * (at - panels.start);
            // SAFETY: the caller's promise; `turned` has room for the group's rows and columns.
            unsafe {
                let turned = turned.add((rows.rows.start - all_rows.start) * PIECE + column);
                self.cell(rows, at, at + 1 < panels.end, turned)
            }
        };
        for rows in tiles {
            let mut at = panels.start;
            while at < panels.end {
                at += cell(rows, at);
            }
        }
        // SAFETY: this piece's part of c, all of it written, nobody else's.
        unsafe {
            if is_turned {
                let to = self.c.0.add(all_columns.start * q.rows + all_rows.start);
                pack::turn_back(path, turned, PIECE, all_columns.len(), all_rows.len(), to, q.rows);
                finish_block(self.c, q.rows, all_columns, all_rows, finish);
            } else if self.is_last {
                finish_block(self.c, p.cols, all_rows, all_columns, finish);
            }
        }
    }

    /// One tile and one panel, or two where the tile is low and another panel `follows`: how many.
    ///
    /// # Safety
    /// As of [`Block::piece`]; `turned` is good for the tile's rows, [`PIECE`] apart.
    #[inline]
    unsafe fn cell(&self, tile: &Rows, at: usize, follows: bool, turned: *mut f32) -> usize {
        let Plan { path, p, is_turned, is_low, .. } = *self.plan;
        let Rows { ref rows, q, q_stride, along_k } = *tile;
        let (panel, k) = (path.panel(), self.k.len());
        let column = self.columns.start + at * panel;
        let mut width = panel.min(self.columns.end - column);
        let mut registers = if path.lanes < width { 2 } else { 1 };
        // SAFETY: inside of p, or of the buffer where it is packed.
        let (from, stride) = unsafe {
            if self.is_packed(at) {
                (self.panel_at(at).cast_const(), panel)
            } else {
                if is_low && follows && !self.is_packed(at + 1) {
                    (width, registers) = (2 * panel, 4);
                }
                (p.data.as_ptr().add(self.k.start * p.row_stride + column), p.row_stride)
            }
        };
        let kernel = (path.tile)(rows.len(), registers, along_k);
        // SAFETY: q and p as above; the target has rows of `width` numbers, or whole registers beside c.
        unsafe {
            let to = self.c.0.add(rows.start * p.cols + column);
            if is_turned {
                kernel(k, q, q_stride, from, stride, turned, PIECE, false);
            } else if width == registers * path.lanes {
                kernel(k, q, q_stride, from, stride, to, p.cols, self.add);
            } else {
                let mut edge = [0f32; MAX_ROWS * MAX_PANEL];
                kernel(k, q, q_stride, from, stride, edge.as_mut_ptr(), MAX_PANEL, false);
                for (i, sums) in edge.chunks(MAX_PANEL).enumerate().take(rows.len()) {
                    for (j, sum) in sums.iter().enumerate().take(width) {
                        let to = to.add(i * p.cols + j);
                        *to = if self.add { *to + *sum } else { *sum };
                    }
                }
            }
        }
        if registers == 4 { 2 } else { 1 }
    }
}

/// The rows of a tile, and where they are.
struct Rows {
    rows: Range<usize>,
    q: *const f32,
    q_stride: usize,
    along_k: bool,
}
