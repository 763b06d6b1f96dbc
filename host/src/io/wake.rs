//! The alarm of a consumer that sleeps in `poll`: a descriptor that becomes readable, and costs nothing while nobody sleeps.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering, fence};

#[cfg(target_os = "linux")]
mod eventfd;
#[cfg(any(not(target_os = "linux"), test))]
mod pair;

#[cfg(target_os = "linux")]
use eventfd::Signal;
#[cfg(not(target_os = "linux"))]
use pair::Signal;

/// Wakes the one consumer of a queue from `poll`. A consumer that is awake costs its producers no system call.
///
/// The consumer: [`Alarm::arm`], then a look at the queue, and only if that is empty, sleep on [`Alarm::fd`]. A producer: first
/// the item into the queue, then [`Alarm::notify`].
pub struct Alarm {
    signal: Signal,
    /// The consumer sleeps or is about to; whoever clears it raises the signal.
    armed: AtomicBool,
}

impl Alarm {
    /// An alarm that is not armed.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { signal: Signal::new()?, armed: AtomicBool::new(false) })
    }

    /// Wakes the consumer, if it sleeps or is about to: whether it did.
    pub fn notify(&self) -> bool {
        // Orders the item before the look at `armed`; the consumer orders its `armed` before its look at the queue. So at
        // least one of the two sees the other.
        fence(Ordering::SeqCst);
        let wakes = self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::Relaxed);
        if wakes {
            self.signal.raise();
        }
        wakes
    }

    /// From now on the next item wakes the consumer, who is to look at its queue once more before it sleeps.
    pub fn arm(&self) {
        // Take away what woke the caller last: before it is armed, so that no signal is taken away that is meant from now on.
        // Somebody else might have taken the item that it stands for.
        self.signal.clear();
        self.armed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The consumer is awake by itself: nobody needs to wake it.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Readable once the consumer was woken, until it arms the alarm again; for `poll` or `epoll` only.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.signal.fd()
    }
}

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarm").field("armed", &self.armed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(fd: BorrowedFd<'_>) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    macro_rules! raised_and_cleared {
        ($signal:expr) => {
            let signal = $signal;
            assert!(!is_readable(signal.fd()));
            // Clearing what is not raised does not wait for it.
            signal.clear();
            for _ in 0..3 {
                signal.raise();
            }
            assert!(is_readable(signal.fd()));
            signal.clear();
            assert!(!is_readable(signal.fd()));
            // Nobody listens for long: raising does not wait either.
            for _ in 0..100_000 {
                signal.raise();
            }
            assert!(is_readable(signal.fd()));
        };
    }

    #[test]
    fn a_raised_signal_is_readable_until_it_is_cleared() {
        raised_and_cleared!(Signal::new().unwrap());
    }

    #[test]
    fn only_who_sleeps_or_is_about_to_is_woken() {
        let alarm = Alarm::new().unwrap();
        alarm.notify();
        assert!(!is_readable(alarm.fd()));
        alarm.arm();
        assert!(!is_readable(alarm.fd()));
        alarm.notify();
        assert!(is_readable(alarm.fd()));
        alarm.arm();
        assert!(!is_readable(alarm.fd()), "what woke it is over");
    }

    #[test]
    fn so_is_the_one_of_systems_without_event_descriptors() {
        raised_and_cleared!(pair::Signal::new().unwrap());
    }
}
