//! A whole transfer between a pair, from the first message to the last CLOSE, with every datagram shown on its way.

use wirehaul_core::session::{CloseCode, Event};
use wirehaul_core::wire::StreamId;

use crate::pair::{End, Options, Pair, content, with_pair};

/// Bytes that each end sends in the transfer, over two streams.
pub const BYTES: u64 = 2 * STREAM_BYTES;
const STREAM_BYTES: u64 = 40_000;
/// Times that the two may wait for a timer before the transfer counts as stuck.
const MAX_WAITS: usize = 2000;

/// Options under which a transfer has every kind of packet and frame that sessions send: keys change, windows move.
#[must_use]
pub fn options(mut options: Options) -> Options {
    options.config.rekey_packets = 12;
    options.config.initial_window_bytes = 1 << 14;
    options.config.max_window_bytes = 1 << 16;
    options
}

/// Runs a transfer. `look` gets each datagram before it is handed to its receiver; it may hand in others first.
///
/// # Panics
/// Where something arrives twice, other than it was sent, or not at all.
pub fn run(options: &Options, look: impl FnMut(&mut Pair<'_>, End, &[u8])) {
    with_pair(options, |pair| transfer(pair, look));
}

fn transfer(pair: &mut Pair<'_>, mut look: impl FnMut(&mut Pair<'_>, End, &[u8])) {
    let mut received = [0; 2];
    provide(pair, End::Caller);
    let mut provided = false;
    for _ in 0..MAX_WAITS {
        while exchange(pair, &mut received, &mut look) {}
        if !provided && pair.has_listener() {
            provide(pair, End::Listener);
            provided = true;
            continue;
        }
        if received == [BYTES; 2] {
            let now = pair.now;
            pair.session(End::Caller).close(now, CloseCode::DONE, "that is all");
            while exchange(pair, &mut received, &mut look) {}
            return;
        }
        wait(pair);
    }
    panic!("the transfer is stuck at {received:?} of {BYTES} bytes");
}

fn provide(pair: &mut Pair<'_>, end: End) {
    let now = pair.now;
    for id in [16, 17].into_iter().filter_map(StreamId::new) {
        let session = pair.session(end);
        // The listener may know the stream already.
        session.open_stream(id, now);
        assert!(session.provide(id, STREAM_BYTES, true));
    }
}

/// Hands over what either has to send now; `false` where that is nothing.
fn exchange(pair: &mut Pair<'_>, received: &mut [u64; 2], look: &mut impl FnMut(&mut Pair<'_>, End, &[u8])) -> bool {
    let mut moved = false;
    for end in End::BOTH {
        while let Some(datagram) = pair.send(end) {
            moved = true;
            let to = end.peer();
            look(pair, to, &datagram);
            // A datagram that was shown to its receiver altered may be refused now, and is then sent again.
            let _ = pair.hand(to, &datagram);
            received[to as usize] += take_data(pair, to);
        }
    }
    moved
}

/// Takes the events of this end; returns how many bytes arrived.
fn take_data(pair: &mut Pair<'_>, end: End) -> u64 {
    let now = pair.now;
    let (events, datagram) = pair.events(end);
    let mut taken = Vec::new();
    for event in events {
        if let Event::Data { stream, offset, start, end: behind } = event {
            let bytes = &datagram[usize::from(start)..usize::from(behind)];
            assert!(bytes.iter().zip(offset..).all(|(byte, at)| *byte == content(end.peer(), stream, at)));
            taken.push((stream, bytes.len() as u64));
        }
    }
    taken.iter().for_each(|(stream, bytes)| pair.session(end).consume(*stream, *bytes, now));
    taken.iter().map(|(_, bytes)| bytes).sum()
}

/// Lets time pass until something is due.
fn wait(pair: &mut Pair<'_>) {
    let ends = End::BOTH.into_iter().filter(|end| *end == End::Caller || pair.has_listener()).collect::<Vec<_>>();
    let next = ends.iter().filter_map(|end| pair.session(*end).poll_timeout()).min();
    pair.now = pair.now.max(next.unwrap_or(pair.now));
    ends.iter().for_each(|end| pair.fire(*end));
}

/// Every datagram of a transfer, in order, with its receiver: the same each time.
#[must_use]
pub fn record(options: &Options) -> Vec<(End, Vec<u8>)> {
    let mut datagrams = Vec::new();
    run(options, |_, to, datagram| datagrams.push((to, datagram.to_vec())));
    datagrams
}
