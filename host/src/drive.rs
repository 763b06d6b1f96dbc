//! The loop of a worker thread: turns of the core's worker, the application's own work, and sleep in between.
//!
//! A packet that the pacer holds back leaves to the microsecond: the sleep before it ends a little early, and the rest of
//! the time is spent looking at the clock and at the socket.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use wirehaul_core::session::CloseCode;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::worker::{Application, Worker};

use crate::clock::Clock;
use crate::crypto::{HostAcceptor, NoiseHandshake};
use crate::device::HostDevice;
use crate::events::KernelCounters;

/// The worker of the host.
pub type HostWorker<'a> = Worker<'a, HostAcceptor>;

/// Longest sleep: how late an interruption is noticed at worst.
const MAX_SLEEP: Duration = Duration::from_millis(250);
/// How long before a departure a sleep ends: more than it takes most machines to wake a thread.
const SPIN: Duration = Duration::from_micros(50);
/// How long a stopped worker goes on, so that its last packets leave.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// A turn that comes this much after the one before means that this process was not running: a suspended machine, a
/// virtual machine that was paused, Ctrl-Z.
const AWAY: Duration = Duration::from_secs(2);

/// An application that runs on a worker thread.
pub trait Role: Application<NoiseHandshake> {
    /// Does the application's own work: finished file jobs, new ones, messages. Never waits. Returns whether there was
    /// any, so that the loop does not fall asleep on work that it has just made.
    fn pump(&mut self, now: Instant, worker: &mut HostWorker<'_>) -> bool;

    /// Called before a sleep: whether a file job is finished already, and the descriptor that will tell when one is.
    fn prepare_wait(&mut self) -> (bool, BorrowedFd<'_>);

    /// When [`Role::pump`] should be called again without anything else happening.
    fn deadline(&self) -> Option<Instant>;

    /// Whether everything is over.
    fn is_over(&self) -> bool;

    /// Whether to be told what the kernel counts of this worker's packets: asking it costs a system call.
    fn wants_counters(&self, _now: Instant) -> bool {
        false
    }

    /// What the kernel counts.
    fn take_counters(&mut self, _now: Instant, _counters: KernelCounters) {}

    /// The user asked to stop: tell the peers, keep what can be resumed.
    fn interrupt(&mut self, now: Instant, worker: &mut HostWorker<'_>) {
        for (_, session) in worker.sessions() {
            session.close(now, CloseCode::INTERRUPTED, "stopped by its user");
        }
    }
}

/// Runs `role` on `worker` until it is over, or until `stop` is set and the peers were told.
///
/// # Errors
/// The system refuses to wait on the socket.
pub fn drive(
    clock: Clock,
    device: &mut impl HostDevice,
    worker: &mut HostWorker<'_>,
    role: &mut impl Role,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut stopping: Option<Instant> = None;
    let mut last_turn = clock.now();
    let precision = if device.keeps_departures() { Precision::Sleep } else { Precision::of_environment() };
    precise_timers();
    loop {
        let now = clock.now();
        if now.saturating_since(last_turn) > AWAY {
            worker.sessions().for_each(|(_, session)| session.on_absence(now));
        }
        last_turn = now;
        device.maintain(now);
        let turn = worker.turn(now, device, role);
        if role.wants_counters(now) {
            role.take_counters(now, device.kernel_counters());
        }
        let pumped = role.pump(now, worker);
        if stopping.is_none() && stop.load(Ordering::Relaxed) {
            role.interrupt(now, worker);
            stopping = Some(now + STOP_GRACE);
        }
        let over = role.is_over() || stopping.is_some_and(|at| at <= now);
        if over && (worker.session_count() == 0 || stopping.is_some_and(|at| at <= now)) {
            return Ok(());
        }
        if turn.received > 0 || turn.sent > 0 || pumped {
            continue;
        }
        let departure = worker.await_departure();
        sleep(clock, device, role, turn.next_timeout, departure.filter(|_| precision == Precision::Spin))?;
    }
}

/// How a worker waits for the moment at which a packet may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// It sleeps until shortly before, and then looks at the clock until it is there: packets leave within a microsecond
    /// or so, for a part of a processor's time.
    Spin,
    /// It sleeps all the time: packets leave as late as the system wakes it, and processor time is saved.
    Sleep,
}

impl Precision {
    /// [`Precision::Sleep`] where the environment variable `WIREHAUL_NO_SPIN` is 1.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::of_value(std::env::var_os("WIREHAUL_NO_SPIN").as_deref())
    }

    fn of_value(no_spin: Option<&OsStr>) -> Self {
        if no_spin.is_some_and(|value| value == "1") { Self::Sleep } else { Self::Spin }
    }

    /// For people: what is done.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Spin => "sleeps until 50 us before a departure, then watches the clock",
            Self::Sleep => "sleeps until a departure (WIREHAUL_NO_SPIN=1)",
        }
    }
}

/// Has the system end this thread's sleeps when they are over, and not up to 50 us later to save power.
#[cfg(target_os = "linux")]
pub(crate) fn precise_timers() {
    // Without it packets leave a little later; no reason to stop.
    let _ = nix::sys::prctl::set_timerslack(1);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn precise_timers() {}

/// Sleeps until the socket, a file job or a timer needs attention. Before a `departure` the sleep ends early.
fn sleep(
    clock: Clock,
    device: &mut impl HostDevice,
    role: &mut impl Role,
    timeout: Option<Instant>,
    departure: Option<Instant>,
) -> std::io::Result<()> {
    let deadline = [timeout, role.deadline()].into_iter().flatten().min();
    let (ready, wake) = role.prepare_wait();
    if ready {
        return Ok(());
    }
    let to_watch = departure.filter(|at| deadline.is_none_or(|deadline| *at <= deadline));
    let until = to_watch.map(|at| at - SPIN).or(deadline);
    let span = until.map_or(MAX_SLEEP, |at| at.saturating_since(clock.now()).min(MAX_SLEEP));
    if span > Duration::ZERO && device.wait(&[wake], Some(span))? {
        return Ok(());
    }
    let Some(at) = to_watch.filter(|at| at.saturating_since(clock.now()) <= SPIN) else { return Ok(()) };
    while clock.now() < at {
        if device.wait(&[wake], Some(Duration::ZERO))? {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_one_turns_the_spin_off() {
        let of = |value: &str| Precision::of_value(Some(OsStr::new(value)));
        assert_eq!((of("1"), of("0"), of("")), (Precision::Sleep, Precision::Spin, Precision::Spin));
        assert_eq!(Precision::of_value(None), Precision::Spin);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_s_timers_are_made_precise() {
        let slack = || nix::sys::prctl::get_timerslack().unwrap();
        let after = std::thread::spawn(move || {
            precise_timers();
            slack()
        });
        assert_eq!(after.join().unwrap(), 1);
    }
}
