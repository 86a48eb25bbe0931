//! Memory for packed operands, kept between products so that a steady state allocates nothing.
//!
//! It belongs to the process, not to threads: which thread does a piece of work depends on the clock, and a peak of
//! memory must not.

use super::super::threads;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, TryLockError};

const MAX_OWN: usize = 64;

/// For products that use all threads, and for those of one thread.
static SHARED: Buffer = Buffer::new();
static OWN: [Buffer; MAX_OWN] = [const { Buffer::new() }; MAX_OWN];
/// For rounded operands, which live beside one of the others.
static ROUNDED: Buffer = Buffer::new();
static LONGEST_ROUNDED: AtomicUsize = AtomicUsize::new(0);
static LONGEST_SHARED: AtomicUsize = AtomicUsize::new(0);
static LONGEST_OWN: AtomicUsize = AtomicUsize::new(0);

/// On its own cache line.
#[repr(align(128))]
struct Buffer(Mutex<Vec<f32>>);

impl Buffer {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Runs `work` unless the buffer is in use.
    fn lend<R, W: FnOnce(&mut [f32]) -> R>(&self, len: usize, work: W) -> Result<R, W> {
        let mut buffer = match self.0.try_lock() {
            Ok(buffer) => buffer,
            Err(TryLockError::Poisoned(buffer)) => buffer.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(work),
        };
        lengthen(&mut buffer, len);
        Ok(work(&mut buffer[..len]))
    }
}

fn lengthen(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        // The old one is freed first, so that memory does not depend on the order of the products.
        *buffer = Vec::new();
        *buffer = vec![0.0; len];
    }
}

/// Numbers in a line of the cache.
const LINE: usize = 16;

/// Runs `work` with a buffer of `len` numbers of unspecified content, at the start of a line of the cache.
pub(super) fn with_buffer<R>(is_parallel: bool, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    if len == 0 {
        return work(&mut []);
    }
    lend(is_parallel, len + LINE, |buffer| work(on_a_line(buffer, len)))
}

/// The same for rounded operands: one buffer, as products follow each other, and where they do not, memory of their own.
pub(super) fn with_rounded<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    LONGEST_ROUNDED.fetch_max(len + LINE, Relaxed);
    match ROUNDED.lend(len + LINE, |buffer: &mut [f32]| work(on_a_line(buffer, len))) {
        Ok(result) => result,
        Err(work) => work(&mut vec![0.0; len + LINE]),
    }
}

fn on_a_line(buffer: &mut [f32], len: usize) -> &mut [f32] {
    let first = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut buffer[first..first + len]
}

fn lend<R>(is_parallel: bool, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut work = work;
    if is_parallel {
        LONGEST_SHARED.fetch_max(len, Relaxed);
        match SHARED.lend(len, work) {
            Ok(result) => return result,
            Err(back) => work = back,
        }
    } else {
        LONGEST_OWN.fetch_max(len, Relaxed);
    }
    let (n, mine) = (n_own(), my_number());
    for i in 0..n {
        match OWN[(mine + i) % n].lend(len, work) {
            Ok(result) => return result,
            Err(back) => work = back,
        }
    }
    work(&mut vec![0.0; len])
}

/// Makes all buffers as long as any product has needed them so far, and this thread allocate what f64 products keep.
pub(crate) fn allocate_workspace() {
    super::double::allocate_workspace();
    let lengthen_to = |buffer: &Buffer, len| _ = buffer.lend(len, |_| ());
    lengthen_to(&SHARED, LONGEST_SHARED.load(Relaxed));
    lengthen_to(&ROUNDED, LONGEST_ROUNDED.load(Relaxed));
    for buffer in &OWN[..n_own()] {
        lengthen_to(buffer, LONGEST_OWN.load(Relaxed));
    }
}

fn n_own() -> usize {
    threads::n_threads().clamp(1, MAX_OWN)
}

/// A number of this thread's, so that it gets the buffer that is in its cache.
fn my_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
    if MINE.get() == usize::MAX {
        MINE.set(NEXT.fetch_add(1, Relaxed));
    }
    MINE.get()
}
