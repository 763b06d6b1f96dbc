//! The loop of a worker thread: turns of the core's worker, the application's own work, and sleep in between.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use wirehaul_core::session::CloseCode;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::worker::{Application, Worker};

use crate::clock::Clock;
use crate::crypto::{HostAcceptor, NoiseHandshake};
use crate::udp::UdpDevice;

/// The worker of the host.
pub type HostWorker<'a> = Worker<'a, HostAcceptor>;

/// Longest sleep: how late an interruption is noticed at worst.
const MAX_SLEEP: Duration = Duration::from_millis(250);
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
    device: &mut UdpDevice,
    worker: &mut HostWorker<'_>,
    role: &mut impl Role,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut stopping: Option<Instant> = None;
    let mut last_turn = clock.now();
    loop {
        let now = clock.now();
        if now.saturating_since(last_turn) > AWAY {
            worker.sessions().for_each(|(_, session)| session.on_absence(now));
        }
        last_turn = now;
        let turn = worker.turn(now, device, role);
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
        sleep(clock, device, role, turn.next_timeout)?;
    }
}

/// Sleeps until the socket, a file job or a timer needs attention.
fn sleep(clock: Clock, device: &UdpDevice, role: &mut impl Role, timeout: Option<Instant>) -> std::io::Result<()> {
    let deadline = [timeout, role.deadline()].into_iter().flatten().min();
    let (ready, wake) = role.prepare_wait();
    if ready {
        return Ok(());
    }
    let span = deadline.map_or(MAX_SLEEP, |at| at.saturating_since(clock.now()).min(MAX_SLEEP));
    if span > Duration::ZERO {
        device.wait(wake, Some(span))?;
    }
    Ok(())
}
