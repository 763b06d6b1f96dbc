//! What a service manager wants to hear (sd_notify(3)): nothing where none listens.

use std::collections::BTreeMap;

use wirehaul_core::time::{Duration, Instant};

use crate::events::WorkerState;

/// How often the status is told, if it changed.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How often more time to stop is asked for, and how much: enough that one that is lost does not matter.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const EXTENSION: Duration = Duration::from_secs(20);

/// What is said to the service manager.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "elsewhere there is no such manager to read it"))]
enum Word {
    Ready,
    Reloading,
    Stopping,
    Status(String),
    MoreTime(Duration),
    Alive,
}

/// Takes words to the service manager.
type Tell = Box<dyn FnMut(&[Word]) + Send>;

/// The service manager, and what it knows.
pub(super) struct Manager {
    tell: Tell,
    /// How long it waits for a sign of life; `None` where it does not.
    watchdog: Option<Duration>,
    /// The workers that have spoken, when each did last, and its transfers: under way, done, failed.
    workers: BTreeMap<u8, (Instant, [u64; 3])>,
    status: String,
    told_status: Instant,
    told_alive: Instant,
    asked_for_time: Instant,
}

impl Manager {
    /// The one that the environment names, if it names one.
    pub(super) fn of_environment() -> Self {
        Self::with(watchdog(), send)
    }

    fn with(watchdog: Option<Duration>, tell: impl FnMut(&[Word]) + Send + 'static) -> Self {
        Self {
            tell: Box::new(tell),
            watchdog,
            workers: BTreeMap::new(),
            status: String::new(),
            told_status: Instant::ZERO,
            told_alive: Instant::ZERO,
            asked_for_time: Instant::ZERO,
        }
    }

    /// The service does what it is there for.
    pub(super) fn ready(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        (self.tell)(&[Word::Ready, Word::Status(self.status.clone())]);
    }

    /// It reads its configuration again.
    pub(super) fn reloading(&mut self) {
        (self.tell)(&[Word::Reloading]);
    }

    /// It has read it, for good or in vain, and is as ready as before.
    pub(super) fn reloaded(&mut self, now: Instant) {
        self.told_status = now;
        (self.tell)(&[Word::Ready, Word::Status(self.status.clone())]);
    }

    /// It is about to end.
    pub(super) fn stopping(&mut self) {
        (self.tell)(&[Word::Stopping]);
    }

    /// A worker is alive.
    pub(super) fn saw_worker(&mut self, state: &WorkerState, now: Instant) {
        let totals = &state.totals;
        let transfers = [state.transfers.into(), totals.transfers_done, totals.transfers_failed];
        self.workers.insert(state.number, (now, transfers));
    }

    /// Says what is due.
    pub(super) fn look_around(&mut self, now: Instant, is_draining: bool) {
        if now.saturating_since(self.told_status) >= STATUS_EVERY {
            self.told_status = now;
            let status = self.in_words(is_draining);
            if !self.workers.is_empty() && status != self.status {
                self.status.clone_from(&status);
                (self.tell)(&[Word::Status(status)]);
            }
        }
        if is_draining
            && (self.asked_for_time == Instant::ZERO || now.saturating_since(self.asked_for_time) >= EXTEND_EVERY)
        {
            self.asked_for_time = now;
            (self.tell)(&[Word::MoreTime(EXTENSION)]);
        }
        if let Some(limit) = self.watchdog
            && now.saturating_since(self.told_alive) >= share(limit, 4)
            && self.is_alive(now, limit)
        {
            self.told_alive = now;
            (self.tell)(&[Word::Alive]);
        }
    }

    /// Whether every worker has spoken of late. A thread that only says that it lives itself says nothing of those that move packets.
    fn is_alive(&self, now: Instant, limit: Duration) -> bool {
        let speaks = |(at, _): &(Instant, _)| now.saturating_since(*at) < share(limit, 2);
        // Before the first word there is as much time for it as there is between two.
        if self.workers.is_empty() { now < Instant::ZERO + share(limit, 2) } else { self.workers.values().all(speaks) }
    }

    fn in_words(&self, is_draining: bool) -> String {
        let mut sums = [0; 3];
        for (_, transfers) in self.workers.values() {
            sums.iter_mut().zip(transfers).for_each(|(sum, more)| *sum += more);
        }
        let [active, done, failed] = sums;
        let draining = if is_draining { "draining: " } else { "" };
        let s = if active == 1 { "" } else { "s" };
        format!("{draining}{active} transfer{s} under way, {done} done, {failed} failed")
    }
}

fn share(span: Duration, parts: u64) -> Duration {
    Duration::from_nanos(span.as_nanos() / parts)
}

#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|span| Duration::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
}

/// Elsewhere nobody asks.
#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
}

/// Where the manager does not listen, or not any more, the service does its work all the same.
#[cfg(target_os = "linux")]
fn send(words: &[Word]) {
    use sd_notify::NotifyState;
    let mut states = Vec::with_capacity(words.len() + 1);
    for word in words {
        match word {
            Word::Ready => states.push(NotifyState::Ready),
            Word::Reloading => {
                states.push(NotifyState::Reloading);
                // It tells answers to this signal from those to an earlier one by the time.
                states.extend(NotifyState::monotonic_usec_now());
            }
            Word::Stopping => states.push(NotifyState::Stopping),
            Word::Status(text) => states.push(NotifyState::Status(text)),
            Word::MoreTime(span) => {
                let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
                states.push(NotifyState::ExtendTimeoutUsec(micros));
            }
            Word::Alive => states.push(NotifyState::Watchdog),
        }
    }
    let _ = sd_notify::notify(&states);
}

#[cfg(not(target_os = "linux"))]
fn send(_: &[Word]) {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::events::Totals;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn worker(number: u8, transfers: u32) -> WorkerState {
        let totals = Totals { transfers_done: 2, transfers_failed: 1, ..Totals::default() };
        WorkerState { number, transfers, totals, ..WorkerState::default() }
    }

    /// A manager, and what it was told since the last look.
    fn manager(watchdog: Option<Duration>) -> (Manager, impl Fn() -> Vec<String>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let there = Arc::clone(&said);
        let tell = move |words: &[Word]| there.lock().unwrap().extend(words.iter().map(|word| format!("{word:?}")));
        (Manager::with(watchdog, tell), move || std::mem::take(&mut *said.lock().unwrap()))
    }

    #[test]
    fn a_reload_is_answered_with_ready() {
        let (mut manager, take) = manager(None);
        manager.ready("listening");
        manager.reloading();
        manager.reloaded(at(1));
        let said = take();
        assert_eq!(said, ["Ready", "Status(\"listening\")", "Reloading", "Ready", "Status(\"listening\")"]);
    }

    #[test]
    fn the_status_is_told_when_it_changed_and_not_all_the_time() {
        let (mut manager, take) = manager(None);
        manager.ready("listening");
        take();
        manager.look_around(at(6), false);
        assert_eq!(take(), [""; 0], "nothing is known yet");
        manager.saw_worker(&worker(0, 1), at(7));
        manager.look_around(at(8), false);
        assert_eq!(take(), [""; 0], "it was told a moment ago");
        manager.look_around(at(12), false);
        assert_eq!(take(), ["Status(\"1 transfer under way, 2 done, 1 failed\")"]);
        manager.look_around(at(20), false);
        assert_eq!(take(), [""; 0], "it is the same");
        manager.saw_worker(&worker(1, 2), at(21));
        manager.look_around(at(30), false);
        assert_eq!(take(), ["Status(\"3 transfers under way, 4 done, 2 failed\")"]);
    }

    #[test]
    fn a_drain_is_given_time_as_long_as_it_lasts() {
        let (mut manager, take) = manager(None);
        manager.stopping();
        for second in 1..=10 {
            manager.look_around(at(second), true);
        }
        let said = take();
        assert_eq!(said.iter().filter(|word| word.starts_with("MoreTime")).count(), 2, "{said:?}");
    }

    #[test]
    fn the_watchdog_is_fed_only_while_every_worker_speaks() {
        let (mut manager, take) = manager(Some(Duration::from_secs(8)));
        let fed = |manager: &mut Manager, second| {
            manager.look_around(at(second), false);
            take().contains(&"Alive".to_owned())
        };
        assert!(fed(&mut manager, 2), "they are about to begin");
        manager.saw_worker(&worker(0, 0), at(3));
        manager.saw_worker(&worker(1, 0), at(3));
        assert!(fed(&mut manager, 4));
        assert!(!fed(&mut manager, 5), "it was, a moment ago");
        manager.saw_worker(&worker(0, 0), at(9));
        assert!(!fed(&mut manager, 10), "worker 1 is silent");
        manager.saw_worker(&worker(1, 0), at(11));
        assert!(fed(&mut manager, 12));
    }
}
