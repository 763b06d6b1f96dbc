//! One flow over one bottleneck, watched step by step.

use wirehaul_core::{
    congestion::{ControllerKind, Model},
    rate::Rate,
    session::{Session, Stats},
    time::Duration,
};
use wirehaul_sim::{crypto::SimHandshake, host::Arena, link::LinkConfig};

use super::{MIB, Pair, listener, ms, secs, sender, stream};

/// How finely a flow is watched.
const STEP: Duration = Duration::from_millis(1);

/// A flow that never runs out of data, over a path whose bottleneck is the way there.
pub struct Flight<'a> {
    pub pair: Pair<'a>,
    pub rate: Rate,
    pub rtt: Duration,
    /// Bytes that a flow of [`Flight::idle`] was given so far.
    offered: u64,
}

/// How a flow stands.
#[derive(Clone, Debug)]
pub struct Moment {
    pub model: Model,
    pub stats: Stats,
    pub pacing_rate: Rate,
    pub queue_bytes: u64,
}

impl<'a> Flight<'a> {
    /// A flow of BBR over a path of this rate and round-trip time with a buffer of `buffer_percent` hundredths of a BDP.
    pub fn new(arena: &'a Arena, rate: Rate, rtt: Duration, buffer_percent: u64) -> Self {
        Self::with(arena, ControllerKind::Bbr, rate, rtt, |link| {
            link.buffer_bytes = Some((rate.bytes_in(rtt) * buffer_percent / 100).max(9_000));
        })
    }

    /// A flow of BBR whose application has nothing to send but what [`Flight::offer`] gives it.
    pub fn idle(arena: &'a Arena, rate: Rate, rtt: Duration, buffer_percent: u64) -> Self {
        let buffer_bytes = Some((rate.bytes_in(rtt) * buffer_percent / 100).max(9_000));
        let back = LinkConfig { delay: rtt.mul_ratio(1, 2), ..LinkConfig::default() };
        let there = LinkConfig { rate: Some(rate), buffer_bytes, ..back.clone() };
        let pair = Pair::new(arena, 1, sender(1, &[]), listener(2), there, back);
        let mut flight = Self { pair, rate, rtt, offered: 0 };
        flight.fly(rtt.saturating_mul(4));
        let now = flight.pair.run.now();
        assert!(flight.session().open_stream(stream(0), now));
        flight
    }

    fn session(&mut self) -> &mut Session<'a, SimHandshake> {
        let (a, call) = (self.pair.a, self.pair.call);
        self.pair.run.host(a).session(call).expect("the session lives")
    }

    /// Gives the application of an idle flow more to send.
    pub fn offer(&mut self, bytes: u64) {
        self.offered += bytes;
        let end = self.offered;
        assert!(self.session().provide(stream(0), end, false));
        let now = self.pair.run.now();
        let a = self.pair.a;
        self.pair.run.host(a).wake(now);
    }

    /// Gives it bytes at this rate for a while, a little every five milliseconds.
    pub fn trickle(&mut self, rate: Rate, span: Duration) {
        let every = ms(5);
        let mut left = span;
        while left > Duration::ZERO {
            self.offer(rate.bytes_in(every));
            self.fly(every);
            left = left.saturating_sub(every);
        }
    }

    /// The same with another controller, and with any change to the link there.
    pub fn with(
        arena: &'a Arena,
        controller: ControllerKind,
        rate: Rate,
        rtt: Duration,
        change: impl FnOnce(&mut LinkConfig),
    ) -> Self {
        let mut a = sender(1, &[60_000 * MIB]);
        a.session.controller = controller;
        let mut b = listener(2);
        // Room for two round trips of packets, and windows to match.
        let bdp = rate.bytes_in(rtt);
        for config in [&mut a, &mut b] {
            config.room.sent = config.room.sent.max((bdp * 4 / 1400) as usize).next_power_of_two();
            config.session.initial_window_bytes = config.session.initial_window_bytes.max(4 * bdp);
            config.session.max_window_bytes = config.session.max_window_bytes.max(8 * bdp);
        }
        let back = LinkConfig { delay: rtt.mul_ratio(1, 2), ..LinkConfig::default() };
        let mut there = LinkConfig { rate: Some(rate), ..back.clone() };
        change(&mut there);
        Self { pair: Pair::new(arena, 1, a, b, there, back), rate, rtt, offered: 0 }
    }

    /// How the flow stands now.
    pub fn moment(&mut self) -> Moment {
        let (a, call, there) = (self.pair.a, self.pair.call, self.pair.there);
        let now = self.pair.run.now();
        let queue_bytes = self.pair.run.network().link(there).queued_bytes(now);
        let session = self.pair.run.host(a).worker().session(call).expect("the session lives");
        let pacing_rate = session.pacing_rate().unwrap_or(Rate::MAX);
        Moment { model: session.congestion_model(), stats: session.stats(), pacing_rate, queue_bytes }
    }

    /// Runs for a while.
    pub fn fly(&mut self, span: Duration) -> &mut Self {
        self.pair.run.for_span(span);
        self
    }

    /// Runs until the controller is in this state, from another one.
    #[track_caller]
    pub fn until_entering(&mut self, state: &str, limit: Duration) -> Moment {
        let start = self.pair.run.now();
        let mut was = self.moment().model.state == state;
        let mut seen = Vec::new();
        while self.pair.run.now().saturating_since(start) < limit {
            self.fly(STEP);
            let moment = self.moment();
            let is = moment.model.state == state;
            if is && !was {
                return moment;
            }
            was = is;
            if seen.last() != Some(&moment.model.state) {
                seen.push(moment.model.state);
            }
        }
        panic!("{state} was not entered within {limit:?}; seen: {seen:?}")
    }

    /// Runs until the controller leaves the state that it is in; returns how it stood before and after, and how long it
    /// took.
    #[track_caller]
    pub fn until_leaving(&mut self, limit: Duration) -> (Moment, Moment, Duration) {
        let start = self.pair.run.now();
        let mut before = self.moment();
        loop {
            self.fly(STEP);
            let (after, took) = (self.moment(), self.pair.run.now().saturating_since(start));
            if after.model.state != before.model.state {
                return (before, after, took);
            }
            assert!(took < limit, "still {} after {limit:?}", before.model.state);
            before = after;
        }
    }

    /// Changes the rate of the bottleneck.
    pub fn set_rate(&mut self, rate: Rate) {
        let there = self.pair.there;
        self.pair.run.network().link(there).config_mut().rate = Some(rate);
        self.rate = rate;
    }

    /// Changes the bottleneck in any way.
    pub fn change(&mut self, change: impl FnOnce(&mut LinkConfig)) {
        let there = self.pair.there;
        change(self.pair.run.network().link(there).config_mut());
    }

    /// The share of the bottleneck that is used over `span`, headers included, in parts per thousand.
    pub fn utilisation(&mut self, span: Duration) -> u64 {
        let before = self.wire_bytes();
        self.fly(span);
        (self.wire_bytes() - before) * 1000 / self.rate.bytes_in(span).max(1)
    }

    fn wire_bytes(&mut self) -> u64 {
        let there = self.pair.there;
        let left = self.pair.run.network().link(there).stats().left;
        left.bytes + left.datagrams * wirehaul_sim::link::HEADER_BYTES
    }

    /// The bytes that fill the path, as the controller estimates it.
    pub fn bdp(moment: &Moment) -> u64 {
        let rate = moment.model.bw.expect("an estimate");
        rate.bytes_in(moment.model.min_rtt.expect("a sample"))
    }
}

/// A path of 50 Mbit/s and 40 ms, with a buffer in per cent of its BDP.
pub fn ordinary(arena: &Arena, buffer_percent: u64) -> Flight<'_> {
    Flight::new(arena, super::mbit(50), ms(40), buffer_percent)
}

/// One that has found its place: in CRUISE for the first time.
pub fn cruising(arena: &Arena, buffer_percent: u64) -> Flight<'_> {
    let mut flight = ordinary(arena, buffer_percent);
    flight.until_entering("ProbeBW_CRUISE", secs(4));
    flight
}
