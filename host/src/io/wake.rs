//! The alarm of a consumer that sleeps in `poll`: a descriptor that becomes readable.

#[cfg(target_os = "linux")]
mod eventfd;
#[cfg(any(not(target_os = "linux"), test))]
mod pair;

#[cfg(target_os = "linux")]
pub(super) use eventfd::Signal;
#[cfg(not(target_os = "linux"))]
pub(super) use pair::Signal;

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;

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
    fn so_is_the_one_of_systems_without_event_descriptors() {
        raised_and_cleared!(pair::Signal::new().unwrap());
    }
}
