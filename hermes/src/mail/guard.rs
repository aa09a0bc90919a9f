//! A parser that panics over a mail of the world is no reason to stop, nor to fill the log with its stack.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What `run` gives; nothing when it panics. Panics elsewhere are told as before.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(false);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_nothing_and_the_next_run_is_as_any() {
        assert_eq!(caught(|| -> u8 { panic!("a parser's mistake") }), None);
        assert_eq!(caught(|| 1), Some(1));
        assert!(!GUARDED.get());
    }
}
