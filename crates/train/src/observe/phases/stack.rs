//! The spans that a thread is in.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A span that is entered.
struct Frame {
    layer: u64,
    span: u64,
    name: &'static str,
    start: Instant,
    /// Time in spans entered within it.
    within: Duration,
    /// Whether no span of this name is around it.
    is_outermost: bool,
}

/// A span that was left.
pub(super) struct Left {
    pub(super) name: &'static str,
    pub(super) start: Instant,
    /// From entering to leaving.
    pub(super) inclusive: Duration,
    /// The same without the spans within.
    pub(super) exclusive: Duration,
    /// Whether no span of this name was around it.
    pub(super) is_outermost: bool,
}

thread_local! {
    /// One stack for all layers: there are one or two of them, and spans are a few deep.
    static STACK: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// A number that no other caller gets, from 1.
pub(super) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// The number of this thread, from 1 in the order in which threads are first asked; 0 for one that is ending.
pub(super) fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    THREAD
        .try_with(|number| {
            if number.get() == 0 {
                number.set(NEXT.fetch_add(1, Relaxed));
            }
            number.get()
        })
        .unwrap_or(0)
}

/// Enters `span` as `layer` sees it.
pub(super) fn enter(layer: u64, span: u64, name: &'static str) {
    // A thread that is ending has no stack any more; its spans pass untimed.
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        let is_outermost = !stack.iter().any(|frame| frame.layer == layer && frame.name == name);
        let (start, within) = (Instant::now(), Duration::ZERO);
        stack.push(Frame { layer, span, name, start, within, is_outermost });
    });
}

/// Leaves `span`; `None` where this thread was not in it.
pub(super) fn leave(layer: u64, span: u64) -> Option<Left> {
    let end = Instant::now();
    let left = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        let at = stack.iter().rposition(|frame| frame.layer == layer && frame.span == span)?;
        let Frame { name, start, within, is_outermost, .. } = stack.remove(at);
        let inclusive = end.saturating_duration_since(start);
        if let Some(around) = stack[..at].iter_mut().rev().find(|frame| frame.layer == layer) {
            around.within += inclusive;
        }
        let exclusive = inclusive.saturating_sub(within);
        Some(Left { name, start, inclusive, exclusive, is_outermost })
    });
    left.ok().flatten()
}
