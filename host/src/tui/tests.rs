//! What is on the screen, held against texts in `snapshots/`. `WIREHAUL_WRITE_SNAPSHOTS=1` writes them anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use ratatui::Terminal as Drawing;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use wirehaul_core::cdn::Probability;
use wirehaul_core::pool::PoolStats;
use wirehaul_core::wire::Reject;

use super::draw::{MIN_HEIGHT, MIN_WIDTH, draw};
use super::model::{BUCKETS, Key, MAX_LATEST, MAX_LINES, MAX_LIVE, MAX_OVER, Shown, View};
use super::*;
use crate::events::{
    CardPlace, CdnDetection, Direction, Event, Heard, KernelCounters, Level, NodePlace, Placement, SessionFigures,
    SessionState, Stage, SurveyDrops, SurveyState, Totals, TransferEnd, TransferId, TransferState, WorkerPlace,
    WorkerState,
};

const COLOUR: Paint = Paint { has_colour: true, is_unicode: true };
const PLAIN: Paint = Paint { has_colour: false, is_unicode: true };
pub(super) const ASCII: Paint = Paint { has_colour: false, is_unicode: false };

pub(super) fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn id(number: u64) -> TransferId {
    TransferId { worker: (number % 2) as u8, number }
}

pub(super) fn transfer(number: u64, millis: u64) -> TransferState {
    let total_bytes = (number + 6) << 32;
    TransferState {
        id: id(number),
        at: at(millis),
        began: at(1000),
        direction: if number == 2 { Direction::Sending } else { Direction::Receiving },
        peer: (number != 3).then(|| ["backup", "lab-7", "archive.example"][number as usize % 3].into()),
        remote: format!("192.0.2.{number}:7420").parse().ok(),
        stage: Stage::Moving,
        total_bytes,
        // Faster, and slower again.
        done_bytes: (total_bytes / 4 + millis * 150_000 + number * 9 * (millis - millis.min(30_000)).pow(2) / 10)
            .min(total_bytes),
        figures: SessionFigures {
            srtt: Duration::from_micros(1200 + millis % 5000 / 10),
            min_rtt: Duration::from_micros(900),
            cwnd_bytes: 12 << 20,
            inflight_bytes: (8 << 20) + millis * 30,
            sent_packets: millis * 12,
            sent_bytes: millis * 12 * 100,
            received_packets: millis * 110,
            received_bytes: millis * 110 * 1452,
            lost_packets: 17,
            resent_ppm: 212,
            pacing_error_ppm: (number == 2).then_some(3100),
            datagram_bytes: 1452,
            epochs: 2,
            migrations: u32::from(number == 3),
            rejects: number / 3,
        },
    }
}

fn end(number: u64, millis: u64, failure: Option<&str>) -> Event {
    let state = TransferState { stage: Stage::Over, ..transfer(number, millis) };
    Event::Finished(Arc::new(TransferEnd {
        state,
        took: Duration::from_millis(41_700),
        files: 1204,
        stored_bytes: 40 << 30,
        resumed_bytes: 3 << 30,
        verified: failure.is_none(),
        failure: failure.map(Into::into),
        exit_code: if failure.is_some() { 5 } else { 0 },
    }))
}

pub(super) fn worker(number: u8, millis: u64) -> Event {
    let mut totals = Totals {
        transfers_begun: 3,
        transfers_done: 1,
        sent_packets: millis * 20,
        sent_bytes: millis * 2000,
        received_packets: millis * 180,
        received_bytes: millis * 180 * 1452,
        ..Totals::default()
    };
    totals.rejects.count(Reject::ALL[3]);
    let pool = |slots, free| PoolStats { slots, slot_bytes: 65_536, free, lowest_free: free / 2, exhausted: 0 };
    Event::Worker(WorkerState {
        number,
        at: at(millis),
        sessions: 2,
        transfers: 2,
        totals,
        packets: pool(64, 60),
        blocks: pool(640, 512),
        kernel: KernelCounters { socket_overflows: 4, ..KernelCounters::default() },
    })
}

pub(super) fn placement(nodes: u32) -> Event {
    let node = |id| NodePlace {
        id,
        cpus: format!("{}-{}", id * 8, id * 8 + 7),
        memory_bytes: 64 << 30,
        free_bytes: Some((20 + u64::from(id)) << 30),
        threads: 7 - id.min(7),
    };
    let worker = |number: u8| WorkerPlace {
        number,
        cpu: Some(u32::from(number) * 2),
        node: Some(0),
        queues: vec![u32::from(number) * 2, u32::from(number) * 2 + 1],
    };
    let card = |iface: &str, node, queues| CardPlace { iface: iface.to_owned(), node, queues };
    Event::Placement(Arc::new(Placement {
        nodes: (0..nodes).map(node).collect(),
        cards: vec![card("eth0", Some(0), 4), card("wlan0", None, 1)],
        workers: (0..2).map(worker).collect(),
        shortfalls: vec![
            "free huge pages are on NUMA node 1 and not on node 0: buffers lie on pages of 4 KiB there".to_owned(),
        ],
    }))
}

pub(super) fn detection(number: u64, millis: u64) -> Event {
    let providers = [Some("cloudflare"), Some("cloudfront"), Some("cloudflare"), None, Some("akamai"), Some("fastly")];
    let provider = providers[number as usize % providers.len()];
    Event::CdnDetection(CdnDetection {
        at: at(millis),
        target: format!("198.51.100.{}:443", number % 256),
        provider: provider.map(str::to_owned),
        confidence: Probability::of_ppm(999_000 - number as u32 % 90 * 1000),
        origin: provider.is_none(),
    })
}

pub(super) fn survey(millis: u64) -> Event {
    let wave = (millis - millis.min(20_000)).pow(2) / 200_000;
    Event::Survey(SurveyState {
        at: at(millis),
        began: at(1000),
        sent: millis * 10,
        packets: millis * 10 + wave,
        bytes: millis * 600,
        pps: 9_987,
        cap_pps: Some(10_000),
        received: millis / 3 + wave,
        hits: millis / 4,
        duplicates: millis / 100,
        of_edges: millis / 50,
        rejects: 31,
        drops: SurveyDrops { packet: 12, ..SurveyDrops::default() },
        done_steps: millis * 10,
        steps: 1_048_576,
        left: Some(Duration::from_secs(45)),
        is_cooling_down: false,
    })
}

pub(super) fn note_of(level: Level, text: &str) -> Event {
    Event::Note { level, text: text.into() }
}

pub(super) fn tell(model: &mut Model, event: Event) {
    model.hear(Heard::Event(event));
}

const TICKET: &str = "on the sending host run:  wirehaul send PATH... wh1abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwxyz\
    234567abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwxyz234567";

/// A receiver after a minute: four transfers, of which one is complete and one failed.
fn receiver() -> Model {
    let mut model = Model::new("recv", at(0));
    tell(&mut model, note_of(Level::Info, "receiving on [::]:7420, into /srv/inbox"));
    tell(&mut model, note_of(Level::Info, TICKET));
    tell(&mut model, placement(2));
    for millis in (1000..=61_000).step_by(250) {
        model.tick(at(millis));
        (0..4)
            .filter(|number| *number != 3 || millis < 20_000)
            .for_each(|number| tell(&mut model, Event::Transfer(transfer(number, millis))));
        (0..2).for_each(|number| tell(&mut model, worker(number, millis)));
        match millis {
            2000 => tell(&mut model, Event::Session { transfer: transfer(1, millis), state: SessionState::Connected }),
            20_000 => {
                tell(&mut model, end(3, millis, Some("the peer has gone: nothing came for 30 s; send again to go on")))
            }
            41_000 => tell(&mut model, note_of(Level::Warning, "the disk is nearly full: 2.10 GiB are left")),
            60_000 => tell(&mut model, end(7, millis, None)),
            _ => {}
        }
    }
    model
}

/// A survey after a minute.
fn surveyor() -> Model {
    let mut model = Model::new("scan", at(0));
    tell(&mut model, note_of(Level::Info, "not asked, being this host or a whole network: 198.51.100.0"));
    tell(&mut model, placement(1));
    for millis in (1000..=61_000).step_by(250) {
        model.tick(at(millis));
        tell(&mut model, survey(millis));
        tell(&mut model, detection(millis / 250, millis));
    }
    model.hear(Heard::Missed(12));
    model
}

pub(super) fn buffer_of(model: &Model, width: u16, height: u16, paint: Paint) -> Buffer {
    let mut drawing = Drawing::new(TestBackend::new(width, height)).unwrap();
    drawing.draw(|frame| draw(model, frame.area(), paint, frame.buffer_mut())).unwrap();
    drawing.backend().buffer().clone()
}

fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let row: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

fn assert_snapshot(name: &str, model: &Model, width: u16, height: u16, paint: Paint) {
    let text = text_of(&buffer_of(model, width, height, paint));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/tui/snapshots/{name}.txt"));
    if std::env::var_os("WIREHAUL_WRITE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is not as in {}:\n{text}", path.display());
}

fn press(model: &mut Model, keys: impl IntoIterator<Item = Key>) -> Option<Wanted> {
    keys.into_iter().fold(None, |wanted, key| model.press(key).or(wanted))
}

// --- every view ---

#[test]
fn views_of_transfers_are_as_they_were() {
    let mut model = receiver();
    assert_snapshot("overview", &model, 80, 24, COLOUR);
    assert_snapshot("overview-160x50", &model, 160, 50, COLOUR);
    assert_snapshot("overview-60x16", &model, MIN_WIDTH, MIN_HEIGHT, COLOUR);
    for (key, name) in [('2', "transfers"), ('3', "no-scan"), ('4', "numa"), ('5', "no-cdn"), ('6', "log")] {
        press(&mut model, [Key::Char(key)]);
        assert_snapshot(name, &model, 80, 24, COLOUR);
    }
    for (key, name) in [('2', "transfers-160x50"), ('4', "numa-160x50")] {
        press(&mut model, [Key::Char(key)]);
        assert_snapshot(name, &model, 160, 50, COLOUR);
    }
    press(&mut model, [Key::Char('2')]);
    assert_snapshot("transfers-60x16", &model, MIN_WIDTH, MIN_HEIGHT, COLOUR);
    press(&mut model, [Key::End]);
    assert_snapshot("transfers-over", &model, 80, 24, COLOUR);
    press(&mut model, [Key::Char('1'), Key::Char('q')]);
    assert_snapshot("question", &model, 80, 24, COLOUR);
    press(&mut model, [Key::Escape, Key::Char('?')]);
    assert_snapshot("keys", &model, 80, 24, COLOUR);
}

#[test]
fn views_of_a_survey_are_as_they_were() {
    let mut model = surveyor();
    assert_snapshot("overview-scan-60x16", &model, MIN_WIDTH, MIN_HEIGHT, COLOUR);
    assert_snapshot("overview-scan", &model, 80, 24, COLOUR);
    assert_snapshot("overview-scan-ascii", &model, 80, 24, ASCII);
    for (key, name) in [('3', "scan"), ('5', "cdn")] {
        press(&mut model, [Key::Char(key)]);
        assert_snapshot(name, &model, 80, 24, COLOUR);
        assert_snapshot(&format!("{name}-160x50"), &model, 160, 50, COLOUR);
    }
}

#[test]
fn before_anything_happened_the_notes_can_be_read() {
    let mut model = Model::new("recv", at(0));
    tell(&mut model, note_of(Level::Info, TICKET));
    assert_snapshot("idle", &model, 80, 24, COLOUR);
    for number in 2..=6 {
        press(&mut model, [Key::Char(char::from_digit(number, 10).unwrap())]);
        buffer_of(&model, 80, 24, COLOUR);
    }
}

#[test]
fn without_colours_no_cell_has_one_and_without_unicode_none_has_more_than_ascii() {
    for mut model in [receiver(), surveyor()] {
        for key in "123456?".chars() {
            press(&mut model, [Key::Char(key)]);
            let buffer = buffer_of(&model, 100, 30, PLAIN);
            assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "{key}");
            let buffer = buffer_of(&model, 100, 30, ASCII);
            assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()), "{key}");
        }
    }
    // Of the others there are sixteen, which have names.
    let named = |colour| !matches!(colour, Color::Rgb(..) | Color::Indexed(_));
    assert!(buffer_of(&receiver(), 80, 24, COLOUR).content.iter().all(|cell| named(cell.fg) && named(cell.bg)));
    assert!(buffer_of(&receiver(), 80, 24, COLOUR).content.iter().any(|cell| cell.fg != Color::Reset));
}

/// OPS-1, CDN-8: whatever happens is seen somewhere.
#[test]
fn every_kind_of_event_is_seen() {
    let seen = |event: Event, key: char, words: &str| {
        let mut model = Model::new("recv", at(0));
        tell(&mut model, event);
        press(&mut model, [Key::Char(key)]);
        let text = text_of(&buffer_of(&model, 100, 40, COLOUR));
        assert!(text.contains(words), "{words}:\n{text}");
    };
    let session = |state| Event::Session { transfer: transfer(1, 2000), state };
    seen(Event::Transfer(transfer(1, 2000)), '1', "lab-7");
    seen(Event::Transfer(transfer(3, 2000)), '2', "192.0.2.3:7420");
    seen(session(SessionState::Connected), '6', "recv from lab-7: connected");
    seen(session(SessionState::Moved), '6', "the peer moved, now at 192.0.2.1:7420");
    seen(session(SessionState::GoingAway), '1', "takes nothing new");
    let transfer_of = TransferState { stage: Stage::Connecting, ..transfer(1, 2000) };
    let closed = Event::Session { transfer: transfer_of, state: SessionState::Closed("no answer".into()) };
    seen(closed, '6', "warning: recv from lab-7: closed: no answer");
    seen(end(1, 2000, None), '1', "complete: 1204 files, 40.0 GiB in 41.7 s, verified");
    seen(end(1, 2000, Some("the disk is full")), '2', "the disk is full");
    seen(survey(2000), '1', "1,048,576 steps");
    seen(survey(2000), '3', "12 in all");
    seen(placement(4), '4', "CPUs 24-31");
    seen(placement(1), '1', "node 0");
    seen(detection(0, 2000), '5', "cloudflare");
    seen(detection(3, 2000), '5', "198.51.100.3:443");
    seen(note_of(Level::Error, "a note"), '1', "error: a note");
    let mut model = receiver();
    press(&mut model, [Key::Char('1')]);
    assert!(text_of(&buffer_of(&model, 80, 24, COLOUR)).contains("sockets 8"), "what workers count");
    model.hear(Heard::Missed(7));
    assert!(text_of(&buffer_of(&model, 80, 24, COLOUR)).contains("7 events missed"));
}

#[test]
fn the_book_shows_the_overview_as_it_is() {
    let page = include_str!("../../../docs/tui.md");
    assert!(page.contains(include_str!("snapshots/overview.txt")), "docs/tui.md has another one");
    // And every key that the screen explains.
    for key in ["Tab", "Enter", "Esc", "PgUp", "Home", "Ctrl-L", "Ctrl-Z", "Ctrl-C", "`?`", "`q`"] {
        assert!(page.contains(key), "{key}");
    }
}

/// Its own log tells what transfers do.
#[test]
fn a_server_says_nothing_twice() {
    let mut model = Model::new("serve", at(0));
    tell(&mut model, Event::Session { transfer: transfer(1, 2000), state: SessionState::Connected });
    tell(&mut model, end(1, 2000, None));
    assert_eq!(model.log().lines().len(), 0);
    tell(&mut model, note_of(Level::Info, "lab-7: a transfer begins"));
    assert_eq!((model.log().lines().len(), model.transfers().len()), (1, 1));
}

// --- sizes ---

#[test]
fn no_size_is_too_small_to_say_so() {
    for mut model in [receiver(), surveyor(), Model::new("send", at(0))] {
        for key in "123456q".chars() {
            press(&mut model, [Key::Char(key)]);
            for (width, height) in (0..=30).flat_map(|width| (0..=10).map(move |height| (width, height))) {
                buffer_of(&model, width, height, COLOUR);
            }
            for (width, height) in [(MIN_WIDTH, MIN_HEIGHT), (61, 17), (300, 16), (60, 100), (79, 23), (500, 200)] {
                buffer_of(&model, width, height, COLOUR);
            }
        }
    }
    let text = text_of(&buffer_of(&receiver(), 20, 5, COLOUR));
    assert_eq!(text, "This terminal has\n20x5; 60x16 are\nneeded. q: leave or\nstop\n\n");
}

// --- keys ---

#[test]
fn keys_change_what_is_looked_at() {
    let mut model = receiver();
    let views = |model: &mut Model, key| (0..6).map(|_| (press(model, [key]), model.look().view).1).collect::<Vec<_>>();
    use View::{Cdn, Log, Numa, Overview, Scan, Transfers};
    assert_eq!(views(&mut model, Key::Tab), [Transfers, Scan, Numa, Cdn, Log, Overview]);
    assert_eq!(views(&mut model, Key::BackTab), [Log, Cdn, Numa, Scan, Transfers, Overview]);
    press(&mut model, [Key::Char('5'), Key::Escape]);
    assert_eq!(model.look().view, Overview);
    press(&mut model, [Key::Enter, Key::Down, Key::Down]);
    let order: Vec<_> = model.transfers().shown().map(|shown| shown.state().id).collect();
    assert_eq!((model.look().view, model.look().transfer), (Transfers, Some(order[2])));
    press(&mut model, [Key::End, Key::PageUp, Key::Up]);
    assert_eq!(model.look().transfer, Some(order[0]));
    press(&mut model, [Key::PageDown]);
    assert_eq!(model.look().transfer, order.last().copied());
}

#[test]
fn a_transfer_that_is_chosen_stays_chosen_when_others_end() {
    let mut model = receiver();
    press(&mut model, [Key::Char('2'), Key::Down]);
    let chosen = model.look().transfer.unwrap();
    let first = model.transfers().shown().next().unwrap().state().id;
    tell(&mut model, end(first.number, 62_000, None));
    tell(&mut model, end(chosen.number, 62_000, None));
    assert_eq!(model.look().transfer, Some(chosen));
    let place = model.transfers().position(chosen).unwrap();
    assert!(matches!(model.transfers().shown().nth(place), Some(Shown::Over(_))));
}

/// OPS-1: leaving is asked about; the work stops, or goes on.
#[test]
fn q_asks_and_then_the_work_stops_or_goes_on() {
    let mut model = receiver();
    assert_eq!(press(&mut model, [Key::Char('q')]), None);
    assert!(model.look().is_asking);
    assert_eq!(press(&mut model, [Key::Char('x'), Key::Escape]), None);
    assert!(!model.look().is_asking);
    assert_eq!(press(&mut model, [Key::Char('q'), Key::Char('d')]), Some(Wanted::Leave));
    assert_eq!(press(&mut model, [Key::Char('q'), Key::Char('s')]), Some(Wanted::Stop));
    assert_eq!(press(&mut model, [Key::Interrupt]), None);
    assert_eq!(press(&mut model, [Key::Interrupt]), Some(Wanted::Stop), "whoever presses Ctrl-C twice means it");
    // What was read goes away, and keys that lead elsewhere do so at once.
    press(&mut model, [Key::Char('?'), Key::Char('6')]);
    assert_eq!((model.look().is_helping, model.look().view), (false, View::Log));
    press(&mut model, [Key::Char('?'), Key::Char('q')]);
    assert!(!model.look().is_helping && !model.look().is_asking);
    assert_eq!(press(&mut model, [Key::Suspend]), Some(Wanted::Suspend));
}

#[test]
fn who_reads_older_lines_goes_on_reading_them() {
    let mut model = Model::new("recv", at(0));
    (0..100).for_each(|number| tell(&mut model, note_of(Level::Info, &format!("note {number}."))));
    press(&mut model, [Key::Char('6'), Key::Up, Key::Up, Key::PageUp]);
    let before = text_of(&buffer_of(&model, 80, 24, COLOUR));
    assert!(before.contains("note 87.") && !before.contains("note 88."), "{before}");
    (0..30).for_each(|number| tell(&mut model, note_of(Level::Info, &format!("later {number}."))));
    let after = text_of(&buffer_of(&model, 80, 24, COLOUR));
    assert!(after.contains("note 87.") && !after.contains("note 88."), "{after}");
    press(&mut model, [Key::End]);
    assert!(text_of(&buffer_of(&model, 80, 24, COLOUR)).contains("later 29."));
}

// --- what is not asked for ---

#[test]
fn a_transfer_whose_end_was_missed_is_gone_after_a_while() {
    let mut model = Model::new("recv", at(0));
    tell(&mut model, Event::Transfer(transfer(2, 1000)));
    tell(&mut model, worker(0, 20_000));
    tell(&mut model, worker(1, 90_000));
    assert_eq!(model.transfers().live_count(), 1, "another worker's clock says nothing about it");
    tell(&mut model, worker(0, 90_000));
    assert_eq!(model.transfers().live_count(), 0);
}

#[test]
fn what_is_said_behind_an_end_begins_nothing() {
    let mut model = Model::new("recv", at(0));
    tell(&mut model, end(2, 2000, None));
    let over = TransferState { stage: Stage::Over, ..transfer(5, 2000) };
    tell(&mut model, Event::Session { transfer: over, state: SessionState::Closed("done".into()) });
    tell(&mut model, Event::Transfer(transfer(2, 2100)));
    assert_eq!((model.transfers().live_count(), model.transfers().len()), (0, 1));
}

#[test]
fn however_much_happens_no_more_is_kept() {
    let mut model = Model::new("recv", at(0));
    for number in 0..20_000_u64 {
        let millis = number * 300;
        model.tick(at(millis));
        tell(&mut model, Event::Transfer(transfer(number, millis)));
        tell(&mut model, note_of(Level::Info, &number.to_string()));
        tell(&mut model, detection(number, millis));
        if number % 3 == 0 {
            tell(&mut model, end(number, millis, None));
        }
    }
    assert_eq!((model.transfers().live_count(), model.transfers().len()), (MAX_LIVE, MAX_LIVE + MAX_OVER));
    assert_eq!((model.log().lines().len(), model.cdn().latest().len()), (MAX_LINES, MAX_LATEST));
    assert_eq!(model.transfers().history().len(), BUCKETS);
    buffer_of(&model, 80, 24, COLOUR);
}
