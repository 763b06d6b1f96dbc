//! Work on a thread of its own, for a task to wait for.
//!
//! A thread costs some 20 microseconds. What is done here is done once per transfer or per second, and takes much longer.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

/// What the two have in common.
struct Shared<T> {
    /// What came of it; a panic goes on where it is waited for.
    outcome: Option<Result<T, Box<dyn Any + Send>>>,
    waiting: Option<Waker>,
}

/// Does `work` on another thread. Where the system gives none, it is done here and now.
pub(super) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let shared = Arc::new(Mutex::new(Shared { outcome: None, waiting: None }));
    let work = Arc::new(Mutex::new(Some(work)));
    let run = {
        let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
        move || {
            let Some(work) = work.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
            let outcome = catch_unwind(AssertUnwindSafe(work));
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.outcome = Some(outcome);
            if let Some(waker) = shared.waiting.take() {
                waker.wake();
            }
        }
    };
    // The thread ends by itself; whoever waits no more has no use for what it brings.
    if thread::Builder::new().name("file-sync".to_owned()).spawn(run.clone()).is_err() {
        run();
    }
    let outcome = poll_fn(|context| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                shared.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::plain::Plain;

    #[test]
    fn it_is_done_on_another_thread_and_a_panic_comes_back() {
        let here = thread::current().id();
        let there = Plain::run(elsewhere(|| thread::current().id()));
        assert_ne!(here, there);
        let panicked = catch_unwind(|| {
            Plain::run(elsewhere(move || {
                if here == thread::current().id() {
                    return;
                }
                panic!("expected by the test");
            }));
        });
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"expected by the test"));
    }
}
