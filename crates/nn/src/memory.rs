//! How many bytes are live, exactly, by a counting allocator.
//!
//! candle keeps every CPU tensor in a `Vec`, so the allocator sees all of it. Put this in your `main.rs`
//! and [`live`], [`peak`] and [`set_limit`] work in the whole program:
//!
//! ```
//! use batchwise_nn::memory::{self, CountingAllocator};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! memory::reset_peak();
//! let before = memory::live();
//! drop(vec![0u8; 1 << 20]);
//! assert!(memory::peak() >= before + (1 << 20));
//! ```
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use crate::kernels;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static LIVE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// The system allocator, counting the bytes asked for.
///
/// The count is what the program requested, not what the allocator rounded it to, so it is the same on
/// every run and machine. Beyond [`set_limit`] an allocation fails, and Rust then ends the process:
/// meant for a child process that may die.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

/// Whether a [`CountingAllocator`] is the program's allocator (it has served something).
pub fn is_counting() -> bool {
    INSTALLED.load(Relaxed)
}

/// Bytes live now.
pub fn live() -> u64 {
    LIVE.load(Relaxed)
}

/// The most bytes live at once since the start or the last [`reset_peak`].
pub fn peak() -> u64 {
    PEAK.load(Relaxed)
}

/// Starts a new peak from what is live now.
pub fn reset_peak() {
    PEAK.store(live(), Relaxed);
}

/// From now on an allocation that would bring [`live`] above `bytes` fails and so ends the process.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes, Relaxed);
}

fn grow(bytes: u64) -> bool {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    if LIMIT.load(Relaxed) < live {
        LIVE.fetch_sub(bytes, Relaxed);
        return false;
    }
    PEAK.fetch_max(live, Relaxed);
    true
}

fn shrink(bytes: u64) {
    LIVE.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call is passed on to `System` with the same pointer and layout; the counters never touch
// the memory, and a refused allocation returns null, which the trait allows.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        INSTALLED.store(true, Relaxed);
        if !grow(layout.size() as u64) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        let pointer = unsafe { System.alloc(layout) };
        if pointer.is_null() {
            shrink(layout.size() as u64);
        }
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        INSTALLED.store(true, Relaxed);
        if !grow(layout.size() as u64) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is passed on.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        if pointer.is_null() {
            shrink(layout.size() as u64);
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this `layout`.
        unsafe { System.dealloc(pointer, layout) };
        shrink(layout.size() as u64);
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !grow(new_size as u64) {
            return std::ptr::null_mut();
        }
        // SAFETY: `pointer` came from `System` with this `layout`; the caller vouches for `new_size`.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        shrink(if moved.is_null() { new_size } else { layout.size() } as u64);
        moved
    }
}

/// Makes this thread and every compute thread allocate the workspaces that its kernels keep for reuse.
///
/// They are part of what training takes, but a thread allocates its own only when work first comes its
/// way, which depends on the clock. Call this once before a peak is measured and once more after the first
/// step, when the kernels know how much they need: then the figure is the same on every run.
pub fn allocate_workspaces() {
    kernels::threads::on_each(|| {
        kernels::gemm::allocate_workspace();
        kernels::element::allocate_scratch::<f32>();
        kernels::element::allocate_scratch::<f64>();
    });
}

/// Tells the C library's allocator to keep large blocks for reuse instead of returning each to the
/// kernel, which on a training step costs more than the arithmetic (page faults). Linux with glibc only;
/// elsewhere it does nothing. Call it once, first thing in `main`.
pub fn keep_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MAX_BLOCK: libc::c_int = 1 << 30;
        // SAFETY: mallopt only sets the allocator's parameters; the arguments are in range.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAX_BLOCK);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn live_and_peak_follow_large_blocks() {
        // Other tests allocate in parallel, so the block is larger than all of theirs together.
        const BLOCK: u64 = 1 << 30;
        const SLACK: u64 = BLOCK / 4;
        let before = live();
        let mut block: Vec<u8> = Vec::with_capacity(BLOCK as usize);
        assert!(live() > before + BLOCK - SLACK);
        block.reserve_exact(2 * BLOCK as usize);
        assert!(live() > before + 2 * BLOCK - SLACK);
        assert!(live() < before + 3 * BLOCK);
        drop(block);
        assert!(live() < before + SLACK);
        assert!(before + 2 * BLOCK - SLACK < peak());
        assert!(is_counting());
    }
}
