//! Panics of candle, caught and told as errors.

use candle_core::Result;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
static HOOK: Once = Once::new();

/// Runs `f`; a panic becomes an error that begins with `panicked:`, and this thread's message of it is not printed.
pub(super) fn catch<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    // What `f` leaves behind after a panic is dropped by all callers.
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    QUIET.set(outer);
    result.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(candle_core::Error::Msg(format!("panicked: {}", text.unwrap_or_else(|| "no message".to_owned()))))
    })
}
