use std::sync::Arc;

use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::{Reject, RejectCounters};

use super::log::{Entry, Log};
use crate::events::{
    Direction, Event, Heard, KernelCounters, Level, SessionFigures, SessionState, Stage, Totals, TransferEnd,
    TransferId, TransferState, WorkerState,
};

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn transfer(stage: Stage) -> TransferState {
    TransferState {
        id: TransferId { worker: 1, number: 7 },
        at: Instant::ZERO,
        began: Instant::ZERO,
        direction: Direction::Receiving,
        peer: Some("backup".into()),
        remote: Some("192.0.2.1:5000".parse().unwrap()),
        stage,
        total_bytes: 0,
        done_bytes: 0,
        figures: SessionFigures::default(),
    }
}

fn session(stage: Stage, state: SessionState) -> Heard {
    Heard::Event(Event::Session { transfer: transfer(stage), state })
}

fn end(failure: Option<&str>, exit_code: u8) -> Heard {
    Heard::Event(Event::Finished(Arc::new(TransferEnd {
        state: transfer(Stage::Over),
        took: Duration::from_secs(2),
        files: 3,
        stored_bytes: 1_000_000_000,
        resumed_bytes: 1 << 20,
        verified: failure.is_none(),
        failure: failure.map(Into::into),
        exit_code,
    })))
}

fn worker(number: u8, forged: u64, overflows: u64) -> Heard {
    let mut rejects = RejectCounters::new();
    (0..forged).for_each(|_| rejects.count(Reject::Forged));
    let totals = Totals { rejects, ..Totals::default() };
    let kernel = KernelCounters { socket_overflows: overflows, ..KernelCounters::default() };
    Heard::Event(Event::Worker(WorkerState { number, totals, kernel, ..WorkerState::default() }))
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.text.as_str()).collect()
}

#[test]
fn a_transfer_has_a_line_at_its_beginning_and_one_at_its_end() {
    let mut log = Log::default();
    let begun = log.hear(&session(Stage::Connecting, SessionState::Connected)).unwrap();
    assert_eq!((begun.level, begun.text.as_str()), (Level::Info, "backup (192.0.2.1:5000): a transfer begins"));
    assert_eq!((&begun.fields["event"], &begun.fields["peer"]), (&"transfer_begun".into(), &"backup".into()));
    assert_eq!(begun.fields["remote"], "192.0.2.1:5000");

    let done = log.hear(&end(None, 0)).unwrap();
    assert_eq!(
        done.text,
        "backup (192.0.2.1:5000): 3 files, 953 MiB in 2.00 s, 4.00 Gbit/s, 1.00 MiB were there already"
    );
    assert_eq!((&done.fields["event"], &done.fields["transfer"]), (&"transfer_done".into(), &begun.fields["transfer"]));
    assert_eq!((&done.fields["bytes"], &done.fields["files"]), (&1_000_000_000.into(), &3.into()));
    assert_eq!((&done.fields["seconds"], &done.fields["gbit_per_s"]), (&2.0.into(), &4.0.into()));
    assert_eq!((&done.fields["resumed_bytes"], &done.fields["exit_code"]), (&(1 << 20).into(), &0.into()));
    assert!(done.fields["error"].is_null());
    // The session's end says nothing that the transfer's does not.
    assert_eq!(log.hear(&session(Stage::Over, SessionState::Closed("done".into()))), None);
}

#[test]
fn a_transfer_that_is_not_complete_says_why() {
    let failed = Log::default().hear(&end(Some("the peer is gone"), 5)).unwrap();
    assert_eq!(failed.level, Level::Warning);
    assert!(failed.text.contains("is not complete: the peer is gone"), "{}", failed.text);
    assert_eq!((&failed.fields["event"], &failed.fields["exit_code"]), (&"transfer_failed".into(), &5.into()));
    let refused = Log::default().hear(&end(Some("the quota is used up"), 3)).unwrap();
    assert_eq!(refused.fields["event"], "transfer_refused");
}

#[test]
fn a_peer_that_moves_has_a_line() {
    let mut log = Log::default();
    log.hear(&session(Stage::Connecting, SessionState::Connected));
    let mut elsewhere = transfer(Stage::Moving);
    elsewhere.remote = Some("198.51.100.9:1".parse().unwrap());
    let moved = Heard::Event(Event::Session { transfer: elsewhere, state: SessionState::Moved });
    let moved = log.hear(&moved).unwrap();
    assert_eq!(moved.text, "backup (198.51.100.9:1): is at this address now, from 192.0.2.1:5000");
    assert_eq!((&moved.fields["from"], &moved.fields["event"]), (&"192.0.2.1:5000".into(), &"peer_moved".into()));
}

#[test]
fn what_goes_on_and_on_is_told_once_a_minute_and_nothing_is_left_out() {
    let mut log = Log::default();
    log.hear(&worker(0, 2, 0));
    log.hear(&worker(1, 1, 5));
    let first = log.look_around(at(1));
    assert_eq!(
        texts(&first),
        [
            "datagrams that were refused: 3 (forged 3)",
            "the kernel dropped packets, because the socket's buffer was full: 5 times"
        ]
    );
    assert_eq!(first[0].fields["reasons"]["forged"], 3);
    log.hear(&worker(0, 10, 0));
    assert_eq!(log.look_around(at(30)), [], "a minute is not over");
    assert_eq!(texts(&log.look_around(at(61))), ["datagrams that were refused: 8 (forged 8)"]);
    assert_eq!(log.look_around(at(200)), [], "nothing is new");
}

#[test]
fn a_log_that_missed_something_says_so() {
    let mut log = Log::default();
    assert_eq!(log.hear(&Heard::Missed(3)), None);
    log.hear(&Heard::Missed(4));
    assert_eq!(texts(&log.look_around(at(1))), ["more happened than this log could take: 7 events are missing"]);
    assert_eq!(log.look_around(at(100)), []);
}
