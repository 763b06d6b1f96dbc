//! Hears what stays with the kernel: ICMP, ARP and neighbour discovery. And watches the link.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use wirehaul_core::scan::{Ears, Heard as Judged, Outside};
use wirehaul_core::time::{Duration, Instant};

use super::counters::{Drops, LinkFacts};
use super::engine::{Failure, Heard, Part, Shared, Task};
use super::results::Results;
use crate::netlink::RouteSocket;
use crate::packet::{Fault, Listener};

/// Longest wait for a packet.
const WAIT_MS: u16 = 20;
/// How often the link is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a link may be without a carrier: less than the time for which replies are waited for, so that what was sent
/// meanwhile in vain is sent again when the survey is resumed.
const NO_CARRIER: Duration = Duration::from_secs(2);

/// What the thread has.
pub(super) struct Tap {
    pub(super) listener: Listener,
    pub(super) results: Results,
    /// To each worker.
    pub(super) neighbours: Vec<Sender<Heard>>,
    pub(super) watch: Watch,
}

impl Tap {
    /// Runs until the survey is ended, or its link is.
    pub(super) fn run(mut self, task: &Task, shared: &Arc<Shared>) {
        let targets = task.runs.targets();
        let mut ears = Ears::new(task.sender.judge(), &targets, &task.probes, task.is_ethernet());
        let outcome = self.listen(&mut ears, shared);
        self.results.finish();
        self.report(&ears, shared);
        if let Err(failure) = outcome {
            shared.fail(failure);
        }
    }

    fn listen(&mut self, ears: &mut Ears<'_>, shared: &Shared) -> Result<(), Failure> {
        loop {
            let now = shared.clock.now();
            let Self { listener, results, neighbours, .. } = self;
            let received = listener.receive(|frame| match ears.hear(now, frame) {
                Some(Judged::Reply(reply)) => results.found(now, &reply),
                Some(Judged::Neighbour { ip, mac }) => {
                    for worker in neighbours.iter() {
                        // A worker that has no room for it asks again.
                        let _ = worker.try_send(Heard { ip, mac });
                    }
                }
                None => {}
            });
            self.results.pump(now);
            if received > 0 {
                continue;
            }
            self.report(ears, shared);
            self.watch.look(now, shared)?;
            if shared.is_ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            match self.listener.fault() {
                Some(Fault::Down) => return Err(Failure::Down(shared.interface.clone())),
                Some(Fault::Gone) => return Err(Failure::Gone(shared.interface.clone())),
                None => {}
            }
            let mut polled = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut polled, PollTimeout::from(WAIT_MS)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Failure::Wait(errno.into())),
            }
        }
    }

    fn report(&mut self, ears: &Ears<'_>, shared: &Shared) {
        let (rx, tx) = self.watch.dropped();
        let drops = Drops {
            tap: self.listener.statistics().drops,
            interface_rx: rx,
            interface_tx: tx,
            replies: self.results.dropped(),
            ..Drops::NONE
        };
        let (done_before, begun_before) = (u64::MAX, u64::MAX);
        let heard = *ears.counters();
        let part = Part { heard, drops, done_before, begun_before, is_done: true, ..Part::default() };
        shared.report_of_tap(part);
    }
}

/// Looks at the link now and then.
pub(super) struct Watch {
    socket: RouteSocket,
    index: u32,
    at_first: LinkFacts,
    latest: LinkFacts,
    looked: Instant,
    without_carrier_since: Option<Instant>,
}

impl Watch {
    /// Of the interface with this index; `None` where there is none.
    pub(super) fn start(index: u32, now: Instant) -> std::io::Result<Option<Self>> {
        let mut socket = RouteSocket::open()?;
        let facts = LinkFacts::read(&mut socket, index)?;
        Ok(facts.map(|facts| Self {
            socket,
            index,
            at_first: facts,
            latest: facts,
            looked: now,
            without_carrier_since: None,
        }))
    }

    /// What the interface dropped since the start: of what came, and of what went.
    fn dropped(&self) -> (u64, u64) {
        let Self { at_first, latest, .. } = self;
        (latest.rx_dropped.saturating_sub(at_first.rx_dropped), latest.tx_dropped.saturating_sub(at_first.tx_dropped))
    }

    fn look(&mut self, now: Instant, shared: &Shared) -> Result<(), Failure> {
        if now.saturating_since(self.looked) < LOOK_EVERY {
            return Ok(());
        }
        self.looked = now;
        // What the kernel does not tell now, it tells the next time.
        let Ok(facts) = LinkFacts::read(&mut self.socket, self.index) else { return Ok(()) };
        let facts = facts.ok_or_else(|| Failure::Gone(shared.interface.clone()))?;
        self.latest = facts;
        if !facts.is_up {
            return Err(Failure::Down(shared.interface.clone()));
        }
        // One that never had a carrier does not need it: some virtual links do not say.
        let is_without = self.at_first.has_carrier && !facts.has_carrier;
        self.without_carrier_since = is_without.then(|| self.without_carrier_since.unwrap_or(now));
        match self.without_carrier_since {
            Some(since) if now.saturating_since(since) >= NO_CARRIER => {
                Err(Failure::NoCarrier(shared.interface.clone()))
            }
            _ => Ok(()),
        }
    }
}
