//! What carries a survey, on links of this machine: packet sockets, the XDP filter of a survey, and the whole engine between two
//! namespaces, whose kernels answer.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for the kernel, and so reads the clock")]

#[allow(dead_code)]
#[path = "../common/machine.rs"]
mod machine;

mod engine;
mod ports;
mod routes;

use std::time::{Duration, Instant};

/// How long anything may take that the kernel does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `step` until it says that all is done.
#[track_caller]
fn until(mut step: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !step() {
        assert!(begin.elapsed() < PATIENCE, "it did not come to its end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `test` on a thread of its own, which may go into a namespace for good.
fn on_a_thread<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(test).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
