//! Points at which a test lets the process die, to see what a crash there leaves behind.
//!
//! `MARKETPLACE_FAILPOINT=kept` kills it where `kept` is reached. Only builds with debug assertions, or with the
//! feature `failpoints`, look at the variable; in a release this compiles to nothing.

/// Dies here, as by `kill -9`, when the environment names this point.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub fn reach(point: &str) {
    use std::sync::LazyLock;

    use rustix::process::{Signal, getpid, kill_process};

    static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("MARKETPLACE_FAILPOINT").ok());
    if CHOSEN.as_deref() == Some(point) {
        // No destructor runs and nothing is flushed, unlike with a panic or an exit.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Nothing happens here in a release.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
#[inline(always)]
pub fn reach(_point: &str) {}
