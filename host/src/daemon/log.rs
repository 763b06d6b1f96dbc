//! The log: a line for what happens to a transfer, and for what goes wrong below it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Map, Value, json};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::{Reject, RejectCounters};

use crate::events::{Event, Heard, Level, SessionState, TransferEnd, TransferId, TransferState, WorkerState};
use crate::units::format_size;

/// What goes on and on is told once in this time.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// A line: words for people, fields for programs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) fields: Map<String, Value>,
}

impl Entry {
    fn new(level: Level, event: &str, text: String, fields: Value) -> Self {
        let mut all = Map::new();
        all.insert("event".to_owned(), json!(event));
        if let Value::Object(fields) = fields {
            all.extend(fields);
        }
        Self { level, text, fields: all }
    }
}

/// What was told already, and what is known for the next line.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Where the peers of transfers under way are.
    remotes: BTreeMap<TransferId, Option<SocketAddr>>,
    workers: BTreeMap<u8, WorkerState>,
    rejects: RejectCounters,
    rejects_told: Pause,
    /// Times that a pool was empty, and packets that the kernel dropped: by what they are called.
    counts: BTreeMap<&'static str, (u64, Pause)>,
    missed: u64,
    missed_told: Pause,
}

/// When something was told last.
#[derive(Clone, Copy, Debug, Default)]
struct Pause(Option<Instant>);

impl Pause {
    /// Whether it may be told again; from then on it may not for a while.
    fn is_over(&mut self, now: Instant) -> bool {
        let over = self.0.is_none_or(|told| now.saturating_since(told) >= AT_MOST_EVERY);
        if over {
            self.0 = Some(now);
        }
        over
    }
}

impl Log {
    /// What is to be written of what was heard.
    pub(super) fn hear(&mut self, heard: &Heard) -> Option<Entry> {
        match heard {
            Heard::Missed(missed) => {
                self.missed += missed;
                None
            }
            Heard::Event(Event::Session { transfer, state }) => self.session(transfer, state),
            Heard::Event(Event::Finished(end)) => {
                self.remotes.remove(&end.state.id);
                Some(finished(end))
            }
            Heard::Event(Event::Worker(state)) => {
                self.workers.insert(state.number, state.clone());
                None
            }
            Heard::Event(_) => None,
        }
    }

    /// What has grown since it was told last, unless that was a moment ago.
    pub(super) fn look_around(&mut self, now: Instant) -> Vec<Entry> {
        let mut entries = Vec::new();
        entries.extend(self.refused(now));
        for (name, words, of) in COUNTS {
            let count = of(&self.workers);
            let (told, pause) = self.counts.entry(name).or_default();
            if count > *told && pause.is_over(now) {
                let more = count - *told;
                *told = count;
                let fields = json!({ "what": name, "count": more, "total": count });
                entries.push(Entry::new(Level::Warning, "shortage", format!("{words}: {more} times"), fields));
            }
        }
        if self.missed > 0 && self.missed_told.is_over(now) {
            let missed = std::mem::take(&mut self.missed);
            let text = format!("more happened than this log could take: {missed} events are missing");
            entries.push(Entry::new(Level::Warning, "log_incomplete", text, json!({ "events": missed })));
        }
        entries
    }

    fn session(&mut self, transfer: &TransferState, state: &SessionState) -> Option<Entry> {
        let who = who(transfer);
        match state {
            SessionState::Connected => {
                self.remotes.insert(transfer.id, transfer.remote);
                let text = format!("{who}: a transfer begins");
                Some(Entry::new(Level::Info, "transfer_begun", text, of_transfer(transfer)))
            }
            SessionState::Moved => {
                let from = self.remotes.insert(transfer.id, transfer.remote).flatten();
                let mut fields = of_transfer(transfer);
                fields["from"] = json!(from.map(|address| address.to_string()));
                let was = from.map(|address| format!(", from {address}")).unwrap_or_default();
                Some(Entry::new(Level::Info, "peer_moved", format!("{who}: is at this address now{was}"), fields))
            }
            SessionState::Closed(_) => {
                self.remotes.remove(&transfer.id);
                None
            }
            SessionState::GoingAway => None,
        }
    }

    /// Datagrams that were refused, by reason.
    fn refused(&mut self, now: Instant) -> Option<Entry> {
        let mut sum = RejectCounters::new();
        self.workers.values().for_each(|worker| sum.merge(&worker.totals.rejects));
        let told = &self.rejects;
        let grown: Vec<(Reject, u64)> = sum
            .iter()
            .map(|(reject, count)| (reject, count.saturating_sub(told.get(reject))))
            .filter(|(_, more)| *more > 0)
            .collect();
        if grown.is_empty() || !self.rejects_told.is_over(now) {
            return None;
        }
        self.rejects = sum;
        let all: u64 = grown.iter().map(|(_, more)| more).sum();
        let reasons: Vec<_> = grown.iter().map(|(reject, more)| format!("{} {more}", reject.name())).collect();
        let reasons_of: Map<_, _> =
            grown.iter().map(|(reject, more)| (reject.name().to_owned(), json!(more))).collect();
        let text = format!("datagrams that were refused: {all} ({})", reasons.join(", "));
        let fields = json!({ "count": all, "reasons": reasons_of });
        Some(Entry::new(Level::Warning, "datagrams_refused", text, fields))
    }
}

type Workers = BTreeMap<u8, WorkerState>;
type Count = (&'static str, &'static str, fn(&Workers) -> u64);

/// What is told when it grows: its name, its words, and how often it happened.
const COUNTS: [Count; 4] = [
    ("packet_pool_empty", "there was no buffer left for packets", |workers| sum(workers, |w| w.packets.exhausted)),
    // Of all workers together.
    ("block_pool_empty", "there was no buffer left for blocks of files", |workers| {
        workers.values().map(|worker| worker.blocks.exhausted).max().unwrap_or(0)
    }),
    ("kernel_socket_dropped", "the kernel dropped packets, because the socket's buffer was full", |workers| {
        sum(workers, |w| w.kernel.socket_overflows)
    }),
    ("kernel_xdp_dropped", "the kernel dropped packets, because AF_XDP's rings were full or empty", |workers| {
        sum(workers, |w| w.kernel.xdp_rx_ring_full + w.kernel.xdp_rx_fill_ring_empty + w.kernel.xdp_rx_dropped)
    }),
];

fn sum(workers: &Workers, of: impl Fn(&WorkerState) -> u64) -> u64 {
    workers.values().map(of).sum()
}

/// The peer and its address.
fn who(transfer: &TransferState) -> String {
    let address = transfer.remote.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    match &transfer.peer {
        Some(name) => format!("{name} ({address})"),
        None => address,
    }
}

fn of_transfer(transfer: &TransferState) -> Value {
    json!({
        "transfer": format!("{}-{}", transfer.id.worker, transfer.id.number),
        "direction": transfer.direction.name(),
        "peer": transfer.peer.as_deref(),
        "remote": transfer.remote.map(|address| address.to_string()),
    })
}

fn finished(end: &TransferEnd) -> Entry {
    let TransferEnd { state, took, files, stored_bytes, resumed_bytes, verified, failure, exit_code } = end;
    let seconds = took.as_nanos() as f64 / 1e9;
    let gbit_per_s = if seconds > 0.0 { *stored_bytes as f64 * 8.0 / seconds / 1e9 } else { 0.0 };
    let mut fields = of_transfer(state);
    let more = json!({
        "bytes": stored_bytes,
        "seconds": seconds,
        "gbit_per_s": gbit_per_s,
        "files": files,
        "resumed_bytes": resumed_bytes,
        "verified": verified,
        "error": failure.as_deref(),
        "exit_code": exit_code,
    });
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    let what = format!("{} in {seconds:.2} s, {gbit_per_s:.2} Gbit/s", format_size(*stored_bytes));
    let resumed = match resumed_bytes {
        0 => String::new(),
        bytes => format!(", {} were there already", format_size(*bytes)),
    };
    let who = who(state);
    match failure {
        None => {
            let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
            Entry::new(Level::Info, "transfer_done", format!("{who}: {files}, {what}{resumed}"), fields)
        }
        Some(failure) => {
            let text = format!("{who}: the transfer is not complete: {failure} ({what}{resumed})");
            // OPS-4: a rule forbids it.
            let event = if *exit_code == 3 { "transfer_refused" } else { "transfer_failed" };
            Entry::new(Level::Warning, event, text, fields)
        }
    }
}
