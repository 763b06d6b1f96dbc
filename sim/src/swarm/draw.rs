//! A scenario from a seed.

use super::{
    SAFETY_PHASE, Scenario,
    options::{Caller, Chances, HostOptions, Options, PathOptions},
};
use crate::{
    faults::Fault,
    rng::{Purpose, Seed, Stream},
    scenario::CONTROLLERS,
};

/// Rates of paths, in bits per second: 64 kbit/s times a power of two up to here.
const SLOWEST_BPS: u64 = 64_000;
const FASTEST_BPS: u64 = 10_000_000_000;
/// One-way delays, in microseconds: a machine, a room, a town, a country, an ocean, a satellite.
const DELAYS_US: &[u64] = &[0, 25, 250, 2_500, 10_000, 25_000, 50_000, 100_000, 300_000];
/// All that the hosts of a scenario send, in bytes, at most.
const MOST_BYTES: u64 = 6_000_000;
/// How much faster or slower a link gets: numerator and denominator.
const RATE_STEPS: &[(u64, u64)] = &[(1, 16), (1, 4), (1, 2), (2, 1), (4, 1)];
/// How far apart lumps are, in microseconds: a Wi-Fi frame, and what radio links and sleeping receivers do.
const LUMPS_US: &[u64] = &[500, 2_000, 10_000, 50_000];
/// Faults of one kind that a host can have.
const MOST_OF_A_KIND: u64 = 3;

/// What the size and the length of a scenario hang on.
#[derive(Clone, Copy)]
struct Scale {
    rate_bps: u64,
    /// How long the transfers may take if little goes wrong.
    span_ns: u64,
    /// About how many writes the listener makes.
    writes: u64,
}

pub(super) fn scenario(seed: u64) -> Scenario {
    let mut random = Seed(seed).stream(0, Purpose::Scenario);
    let rate_bps = (SLOWEST_BPS << random.below(18)).min(FASTEST_BPS);
    let delay_us = *random.pick(DELAYS_US);
    let flows = if random.chance(500_000) { 1 } else { random.between(2, 8) };
    let most_bytes = (rate_bps / 8 * 3).min(MOST_BYTES) / flows;
    let listener = draw_host(&mut random, rate_bps, most_bytes);
    let mut callers: Vec<_> = (0..flows).map(|_| draw_caller(&mut random, rate_bps, most_bytes)).collect();
    // What one sends, the other must have streams for.
    let streams = callers.iter().map(|caller| caller.host.streams).chain([listener.streams]).min().unwrap_or(1);
    let mut listener = listener;
    listener.send.truncate(streams);
    callers.iter_mut().for_each(|caller| caller.host.send.truncate(streams));
    if let Some(silent) = callers.iter_mut().find(|caller| listener.send.is_empty() && caller.host.send.is_empty()) {
        silent.host.send.push(1);
    }
    let path = [draw_path(&mut random, rate_bps, delay_us), draw_path(&mut random, rate_bps, delay_us)];
    let chances = [draw_chances(&mut random, delay_us), draw_chances(&mut random, delay_us)];
    let options = Options { listener, callers, path, planted: None };
    let faults = draw_faults(&mut random, &options, scale(&options, rate_bps));
    Scenario { seed, options, chances: Some(chances), faults }
}

fn scale(options: &Options, rate_bps: u64) -> Scale {
    let hosts = || options.callers.iter().map(|caller| &caller.host);
    let up: u64 = hosts().flat_map(|host| &host.send).sum();
    let down: u64 = options.listener.send.iter().sum::<u64>() * options.callers.len() as u64;
    let trips_us = options.path.iter().map(|path| path.delay_us).sum::<u64>();
    let own_us = options.callers.iter().map(|caller| 2 * caller.own_delay_us).max().unwrap_or(0);
    let serialised_ns = u128::from(up.max(down)) * 8_000_000_000 / u128::from(rate_bps.max(1));
    let serialised_ns = u64::try_from(serialised_ns).unwrap_or(u64::MAX);
    let span_ns = (serialised_ns / 2 * 3).saturating_add((trips_us + own_us) * 6_000).max(2_000_000);
    Scale { rate_bps, span_ns: span_ns.min(SAFETY_PHASE.as_nanos() / 2), writes: 1 + up / 1_400 }
}

fn draw_path(random: &mut Stream, rate_bps: u64, delay_us: u64) -> PathOptions {
    // Bits per second times microseconds, there and back.
    let product = u64::try_from(u128::from(rate_bps) * u128::from(delay_us) / 4_000_000).unwrap_or(u64::MAX);
    PathOptions {
        rate_bps: random.chance(900_000).then_some(rate_bps),
        delay_us,
        buffer_bytes: random.chance(800_000).then(|| (product * random.between(1, 12) / 4).max(12_000)),
        mark_above_bytes: random.chance(200_000).then_some(product / 2),
        mtu_bytes: *random.pick(&[None, None, Some(1_300), Some(1_500), Some(1_500), Some(9_000)]),
    }
}

fn draw_chances(random: &mut Stream, delay_us: u64) -> Chances {
    let rare =
        |random: &mut Stream| if random.chance(250_000) { *random.pick(&[1_000, 10_000, 50_000, 200_000]) } else { 0 };
    let burst = [*random.pick(&[500, 5_000]), *random.pick(&[20_000, 200_000]), *random.pick(&[500_000, 1_000_000])];
    Chances {
        loss_ppm: rare(random),
        burst_ppm: random.chance(200_000).then_some(burst),
        duplicate_ppm: rare(random),
        reorder_ppm: rare(random),
        reorder_by_us: delay_us * random.between(1, 8) / 4,
        jitter_us: if random.chance(300_000) { delay_us * random.between(1, 2) / 4 } else { 0 },
        corrupt_ppm: rare(random),
        truncate_ppm: rare(random),
    }
}

fn draw_caller(random: &mut Stream, rate_bps: u64, most_bytes: u64) -> Caller {
    let own_delay_us = if random.chance(500_000) { 0 } else { random.below(20_000) };
    Caller { host: draw_host(random, rate_bps, most_bytes), own_delay_us }
}

fn draw_host(random: &mut Stream, rate_bps: u64, most_bytes: u64) -> HostOptions {
    let streams = *random.pick(&[1, 3, 8, 16]);
    let count = random.below(streams.min(4) as u64 + 1);
    // As many small streams as large ones.
    let send = (0..count).map(|_| {
        let bound = most_bytes >> random.below(16);
        random.below(bound + 1)
    });
    HostOptions {
        send: send.collect(),
        controller: random.pick(CONTROLLERS).0.to_owned(),
        pacing: random.chance(800_000),
        rate_cap_bps: random.chance(200_000).then_some(rate_bps / 2),
        datagram_bytes: *random.pick(&[1200, 1400, 1472]),
        max_datagram_bytes: *random.pick(&[1200, 1472, 1472, 4000, 9000]),
        max_segments: *random.pick(&[1, 10, 44]),
        wake_lateness_us: *random.pick(&[0, 0, 100, 2_000]),
        max_ack_delay_us: *random.pick(&[0, 1_000, 5_000, 25_000, 200_000]),
        initial_window_bytes: *random.pick(&[5_000, 65_536, 1 << 20]),
        max_window_bytes: *random.pick(&[65_536, 64 << 20]),
        rekey_packets: *random.pick(&[50, 1_000, 1 << 20]),
        rekey_interval_ms: *random.pick(&[20, 500, 120_000]),
        sent_records: *random.pick(&[64, 100, 512, 4096]),
        packet_gaps: *random.pick(&[8, 32, 512]),
        streams,
        stream_gaps: *random.pick(&[2, 8, 64, 512]),
        eat_delay_ms: *random.pick(&[0, 0, 3, 50]),
        eat_rate_bps: random.chance(200_000).then_some(rate_bps / 2),
    }
}

fn draw_faults(random: &mut Stream, options: &Options, scale: Scale) -> Vec<Fault> {
    let mut faults = Vec::new();
    for link in 0..2 {
        if random.chance(300_000) {
            faults.extend((0..random.between(1, 2)).map(|_| {
                let (from_ns, to_ns) = draw_span(random, scale, 2_500_000_000);
                Fault::Outage { link, from_ns, to_ns }
            }));
        }
    }
    for host in 0..=options.callers.len() {
        // Most hosts of most scenarios are well, or every run would be about the worst of them.
        if random.chance(400_000) {
            draw_device_faults(random, host, scale, &mut faults);
        }
        if random.chance(300_000) {
            draw_disk_faults(random, host, scale, &mut faults);
        }
        if random.chance(60_000) {
            let at_ns = random.below(scale.span_ns);
            faults.push(Fault::Crash { host, at_ns, down_ns: random.below(2_000_000_000) });
        }
        if random.chance(80_000) {
            let by_ns = 1_000 << random.below(26);
            faults.push(Fault::ClockJump { host, at_ns: random.below(scale.span_ns), by_ns });
        }
    }
    for host in 0..=options.callers.len() {
        if random.chance(60_000) {
            faults.extend((0..random.between(1, 2)).map(|_| Fault::Move {
                host,
                at_ns: random.below(scale.span_ns),
                to: 1 + random.below(250) as u8,
            }));
        }
    }
    for link in 0..2 {
        draw_path_faults(random, link, options.path[link].rate_bps, scale, &mut faults);
    }
    faults
}

/// Changes of a whole link. Each makes a run longer, so that few runs have one.
fn draw_path_faults(random: &mut Stream, link: usize, rate_bps: Option<u64>, scale: Scale, faults: &mut Vec<Fault>) {
    if random.chance(60_000) {
        let (from_ns, to_ns) = draw_span(random, scale, 4_000_000_000);
        // From one that lets single datagrams pass to one that is as deep as a path of 100 ms.
        let rate_bps = scale.rate_bps >> random.between(0, 4);
        let burst_bytes = 3_000 + ((rate_bps / 80) >> random.below(8));
        faults.push(Fault::Police { link, from_ns, to_ns, rate_bps, burst_bytes });
    }
    if let Some(own_bps) = rate_bps.filter(|_| random.chance(80_000)) {
        faults.extend((0..random.between(1, MOST_OF_A_KIND)).map(|_| {
            let (numerator, denominator) = *random.pick(RATE_STEPS);
            let rate_bps = own_bps / denominator * numerator;
            Fault::RateStep { link, at_ns: random.below(scale.span_ns), rate_bps }
        }));
    }
    if random.chance(60_000) {
        let (from_ns, to_ns) = draw_span(random, scale, 4_000_000_000);
        faults.push(Fault::Lumps { link, from_ns, to_ns, every_ns: 1_000 * *random.pick(LUMPS_US) });
    }
}

fn draw_device_faults(random: &mut Stream, host: usize, scale: Scale, faults: &mut Vec<Fault>) {
    for _ in 0..random.between(1, MOST_OF_A_KIND) {
        let (from_ns, to_ns) = draw_span(random, scale, 500_000_000);
        faults.push(match random.below(4) {
            0 => Fault::DeviceFull { host, from_ns, to_ns },
            1 => Fault::EmptyFillRing { host, from_ns, to_ns },
            2 => Fault::LateCompletions { host, from_ns, to_ns },
            _ => Fault::PoolExhausted { host, from_ns, to_ns },
        });
    }
}

fn draw_disk_faults(random: &mut Stream, host: usize, scale: Scale, faults: &mut Vec<Fault>) {
    for _ in 0..random.between(1, MOST_OF_A_KIND) {
        let write = random.below(scale.writes);
        faults.push(match random.below(3) {
            0 => Fault::ShortWrite { host, write, bytes: random.below(1_400) },
            1 => Fault::FailingWrite { host, write },
            _ => Fault::SlowWrite { host, write, by_ns: random.below(500_000_000) },
        });
    }
}

/// A span within that of the scenario, of a length that is as often short as long.
fn draw_span(random: &mut Stream, scale: Scale, longest_ns: u64) -> (u64, u64) {
    let from_ns = random.below(scale.span_ns);
    // Not less than a few datagrams take.
    let shortest_ns = (12_000 * 1_000_000_000 / scale.rate_bps.max(1)).clamp(1_000, longest_ns / 2);
    let bound = (longest_ns >> random.below(12)).max(shortest_ns);
    (from_ns, from_ns + 1 + random.below(bound))
}
