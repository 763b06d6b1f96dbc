//! From what a file says to a scenario that makes sense: names become links, depths become bytes, tables become flows.

use toml::Spanned;
use wirehaul_core::{
    congestion::ControllerKind,
    limits::{MAX_DATAGRAM_BYTES, MAX_STREAM_OFFSET, MIN_DATAGRAM_BYTES},
    pacer::Quantum,
    rate::Rate,
    time::{Duration, Instant},
};

use super::{
    CONTROLLERS, DirectionSpec, FlowSpec, LinkSpec, Scenario, ScenarioError, Source, controller, expect,
    schema::{AppTable, File, FlowTable, LinkTable, QuantumTable, Until},
    units::{Depth, RateText, Size, Span},
};
use crate::{
    link::{Burst, HEADER_BYTES, LinkConfig, Policer, Step},
    run::START,
    supply::Supply,
};

/// The largest IP packet of a flow unless its table says otherwise.
const DEFAULT_MTU: u64 = 1500;
/// The most flows that one table makes.
const MAX_COUNT: u64 = 1000;
/// The most flows of a run: each has two hosts of its own, and hosts are numbered with 16 bits.
const MAX_FLOWS: usize = 10_000;
/// How often an application gets bytes that come at a rate, unless its table says otherwise.
const DEFAULT_SUPPLY_INTERVAL: Duration = Duration::from_millis(10);

impl Scenario {
    /// The scenario that a text describes.
    ///
    /// # Errors
    /// [`ScenarioError`]: the place, and what is wrong there.
    pub fn load(source: &Source) -> Result<Self, ScenarioError> {
        let file = source.read()?;
        Resolver { source, file: &file }.scenario()
    }
}

struct Resolver<'f> {
    source: &'f Source,
    file: &'f File,
}

impl Resolver<'_> {
    fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let run = &self.file.run;
        let duration = run.duration_s.get_ref().0;
        if duration == Duration::ZERO {
            return Err(self.error(&run.duration_s, "duration_s must not be zero"));
        }
        let measure_from = run.measure_from_s.as_ref().map_or(Duration::ZERO, |from| from.get_ref().0);
        if let Some(from) = run.measure_from_s.as_ref().filter(|from| from.get_ref().0 >= duration) {
            return Err(self.error(from, "measure_from_s must be before duration_s"));
        }
        let flows = self.flows()?;
        let mut links = self.links()?;
        self.fill_buffers(&mut links, &flows)?;
        if run.until == Until::Delivered && flows.iter().all(|flow| flow.bytes.is_none()) {
            let reason = "until = \"delivered\" needs a flow with `bytes`: the others never end";
            return Err(self.error(&run.duration_s, reason));
        }
        Ok(Scenario {
            description: self.file.description.clone(),
            seed: run.seed,
            duration,
            until_delivered: run.until == Until::Delivered,
            measure_from,
            expectations: expect::read(self.source, &self.file.expect, &flows)?,
            links,
            flows,
        })
    }

    fn error<T>(&self, at: &Spanned<T>, reason: impl std::fmt::Display) -> ScenarioError {
        self.source.error(at.span(), reason)
    }

    // --- links ---

    fn links(&self) -> Result<Vec<LinkSpec>, ScenarioError> {
        self.file.link.iter().map(|(name, table)| self.link(name, table)).collect()
    }

    fn link(&self, name: &Spanned<String>, table: &LinkTable) -> Result<LinkSpec, ScenarioError> {
        let mut there = direction(table);
        there.steps = self.steps(table, table)?;
        let own = table.back.as_ref().map(|back| back.get_ref().as_ref().clone()).unwrap_or_default();
        if let (Some(_), Some(back)) = (&own.back, &table.back) {
            return Err(self.error(back, "the way back has no way back of its own"));
        }
        let mut back_table = own;
        back_table.rate = back_table.rate.or(table.rate);
        back_table.delay = back_table.delay.or(table.delay);
        let mut back = direction(&back_table);
        if back_table.steps.is_empty() {
            back.steps = self.steps(table, &back_table)?;
            back.steps.iter_mut().for_each(|(_, step)| step.loss_ppm = None);
        } else {
            back.steps = self.steps(&back_table, &back_table)?;
        }
        if back_table.outages.is_empty() {
            back.config.outages.clone_from(&there.config.outages);
        }
        Ok(LinkSpec { name: name.get_ref().clone(), there, back })
    }

    /// The steps of `table`, for a link whose rate `of` gives.
    fn steps(&self, table: &LinkTable, of: &LinkTable) -> Result<Vec<(Instant, Step)>, ScenarioError> {
        let step = |spanned: &Spanned<_>| {
            let step: &super::schema::StepTable = spanned.get_ref();
            if step.rate.is_some() && of.rate.is_none() {
                return Err(self.error(spanned, "a step of the rate needs a link with a `rate`"));
            }
            let change = Step {
                rate: step.rate.map(|RateText(rate)| rate),
                delay: step.delay.map(|Span(delay)| delay),
                loss_ppm: step.loss.map(|loss| loss.0),
                ..Step::default()
            };
            Ok((START + step.at_s.0, change))
        };
        table.steps.iter().map(step).collect()
    }

    /// Depths are multiples of the longest round trip among the flows that cross the link.
    fn fill_buffers(&self, links: &mut [LinkSpec], flows: &[FlowSpec]) -> Result<(), ScenarioError> {
        let unfilled = links.to_vec();
        for (index, (link, (name, table))) in links.iter_mut().zip(&self.file.link).enumerate() {
            let crossing = flows.iter().filter(|flow| flow.path.contains(&index));
            let Some(round_trip) = crossing.map(|flow| flow.base_round_trip(&unfilled)).max() else {
                return Err(self.error(name, format_args!("no flow crosses the link `{name}`")));
            };
            let own = table.back.as_ref().map(|back| back.get_ref().as_ref());
            let back_buffer = own.and_then(|back| back.buffer.as_ref()).or(table.buffer.as_ref());
            let back_mark = own.and_then(|back| back.mark_above.as_ref());
            let fill = |depth: Option<&Spanned<Depth>>, config: &LinkConfig| {
                depth.map(|depth| self.bytes(depth, config.rate, round_trip)).transpose()
            };
            link.there.config.buffer_bytes = fill(table.buffer.as_ref(), &link.there.config)?;
            link.there.config.mark_above_bytes = fill(table.mark_above.as_ref(), &link.there.config)?;
            link.back.config.buffer_bytes = fill(back_buffer, &link.back.config)?;
            link.back.config.mark_above_bytes = fill(back_mark, &link.back.config)?;
        }
        Ok(())
    }

    fn bytes(&self, depth: &Spanned<Depth>, rate: Option<Rate>, round_trip: Duration) -> Result<u64, ScenarioError> {
        match *depth.get_ref() {
            Depth::Bytes(bytes) => Ok(bytes),
            Depth::MilliBdp(milli) => {
                let rate = rate.ok_or_else(|| self.error(depth, "a depth in bdp needs a link with a `rate`"))?;
                Ok(Rate::from_bits_per_sec(rate.as_bits_per_sec()).mul_ratio(milli, 1000).bytes_in(round_trip))
            }
        }
    }

    // --- flows ---

    fn flows(&self) -> Result<Vec<FlowSpec>, ScenarioError> {
        if self.file.flow.is_empty() {
            return Err(self.source.error(0..0, "there is no flow: add a table [flow.NAME]"));
        }
        let mut flows = Vec::new();
        for (name, table) in &self.file.flow {
            let count = table.count.as_ref().map_or(1, |count| *count.get_ref());
            if let Some(spanned) = table.count.as_ref().filter(|_| !(1..=MAX_COUNT).contains(&count)) {
                return Err(self.error(spanned, format_args!("count must be 1 to {MAX_COUNT}")));
            }
            let first = self.flow(name, table)?;
            for index in 0..count {
                let mut flow = first.clone();
                flow.start = flow.start + table.stagger_s.0.saturating_mul(index);
                if flow.start >= self.file.run.duration_s.get_ref().0 {
                    return Err(self.error(name, format_args!("flow `{name}` starts when the run is over")));
                }
                if table.count.is_some() {
                    flow.name = format!("{name}-{}", index + 1);
                }
                flows.push(flow);
            }
        }
        if flows.len() > MAX_FLOWS {
            return Err(self.source.error(0..0, format_args!("there are more than {MAX_FLOWS} flows")));
        }
        Ok(flows)
    }

    fn flow(&self, name: &Spanned<String>, table: &FlowTable) -> Result<FlowSpec, ScenarioError> {
        let start = table.start_s.0;
        if let Some(stop) = table.stop_s.as_ref().filter(|stop| stop.get_ref().0 <= start) {
            return Err(self.error(stop, "stop_s must be behind start_s"));
        }
        if let Some(bytes) = table.bytes.as_ref().filter(|bytes| bytes.get_ref().0 == 0) {
            return Err(self.error(bytes, "bytes must not be zero"));
        }
        if let Some(bytes) = table.bytes.as_ref().filter(|bytes| bytes.get_ref().0 > MAX_STREAM_OFFSET) {
            return Err(
                self.error(bytes, format_args!("bytes must be {MAX_STREAM_OFFSET} at most: a stream has no more"))
            );
        }
        if let Some(window) =
            table.window.as_ref().filter(|window| !(1..=MAX_STREAM_OFFSET).contains(&window.get_ref().0))
        {
            return Err(self.error(window, format_args!("window must be 1 to {MAX_STREAM_OFFSET} bytes")));
        }
        Ok(FlowSpec {
            name: name.get_ref().clone(),
            table: name.get_ref().clone(),
            controller: self.controller(table)?,
            path: self.path(name, table)?,
            reverse: table.reverse,
            access_delay: table.access_delay.map_or(Duration::ZERO, |Span(delay)| delay),
            bytes: table.bytes.as_ref().map(|bytes| bytes.get_ref().0),
            start,
            stop: table.stop_s.as_ref().map(|stop| stop.get_ref().0),
            supply: table.app.as_ref().map(|app| self.supply(app)).transpose()?,
            rate_cap: table.rate_cap.map(|RateText(rate)| rate),
            datagram_bytes: self.datagram_bytes("mtu", table.mtu.as_ref(), DEFAULT_MTU)?,
            max_datagram_bytes: self.datagram_bytes(
                "max_mtu",
                table.max_mtu.as_ref().or(table.mtu.as_ref()),
                DEFAULT_MTU,
            )?,
            pacing: table.pacing.unwrap_or(true),
            quantum: table.quantum.map_or_else(Quantum::default, quantum),
            window_bytes: table.window.as_ref().map(|window| window.get_ref().0),
            read_rate: table.read_rate.map(|RateText(rate)| rate),
            wake_lateness: table.wake_lateness.map_or(Duration::ZERO, |Span(lateness)| lateness),
        })
    }

    fn controller(&self, table: &FlowTable) -> Result<ControllerKind, ScenarioError> {
        let Some(name) = &table.cc else { return Ok(ControllerKind::default()) };
        controller(name.get_ref()).ok_or_else(|| {
            let known: Vec<_> = CONTROLLERS.iter().map(|(name, _)| *name).collect();
            self.error(name, format_args!("there is no controller `{name}`: use one of {}", known.join(", ")))
        })
    }

    fn path(&self, name: &Spanned<String>, table: &FlowTable) -> Result<Vec<usize>, ScenarioError> {
        let links = &self.file.link;
        let Some(path) = &table.path else {
            return match links.len() {
                1 => Ok(vec![0]),
                0 => Err(self.error(name, "there is no link: add a table [link.NAME]")),
                _ => Err(self.error(name, format_args!("flow `{name}` needs a `path`: there is more than one link"))),
            };
        };
        if path.get_ref().is_empty() {
            return Err(self.error(path, "a path needs a link"));
        }
        let find = |link: &Spanned<String>| {
            let place = links.keys().position(|known| known.get_ref() == link.get_ref());
            place.ok_or_else(|| self.error(link, format_args!("there is no link `{link}`")))
        };
        path.get_ref().iter().map(find).collect()
    }

    fn datagram_bytes(&self, key: &str, given: Option<&Spanned<Size>>, otherwise: u64) -> Result<usize, ScenarioError> {
        let mtu = given.map_or(otherwise, |mtu| mtu.get_ref().0);
        let (min, max) = (MIN_DATAGRAM_BYTES as u64 + HEADER_BYTES, MAX_DATAGRAM_BYTES as u64 + HEADER_BYTES);
        match (usize::try_from(mtu.saturating_sub(HEADER_BYTES)), given) {
            (Ok(bytes), _) if (min..=max).contains(&mtu) => Ok(bytes),
            (_, Some(spanned)) => {
                Err(self.error(spanned, format_args!("{key} must be {min} to {max} bytes, not {mtu}")))
            }
            (_, None) => Err(self.source.error(0..0, "no usable mtu")),
        }
    }

    fn supply(&self, spanned: &Spanned<AppTable>) -> Result<Supply, ScenarioError> {
        let app = spanned.get_ref();
        let on_off = match (app.on_s, app.off_s) {
            (None, None) => None,
            (Some(on), Some(off)) if on.0 > Duration::ZERO => Some((on.0, off.0)),
            (Some(_), Some(_)) => return Err(self.error(spanned, "on_s must not be zero")),
            _ => return Err(self.error(spanned, "on_s and off_s go together")),
        };
        let every = app.every.map_or(DEFAULT_SUPPLY_INTERVAL, |Span(every)| every);
        if every == Duration::ZERO {
            return Err(self.error(spanned, "every must not be zero"));
        }
        Ok(Supply { rate: app.rate.0, every, on_off })
    }
}

/// A quantum with what its table says, and the default for the rest.
fn quantum(table: QuantumTable) -> Quantum {
    let default = Quantum::default();
    Quantum {
        time: table.time.map_or(default.time, |Span(time)| time),
        min_packets: table.min_packets.unwrap_or(default.min_packets),
        run_time: table.run_time.map_or(default.run_time, |Span(time)| time),
    }
}

/// A direction with what its table says, but for what depends on flows or on the other direction.
fn direction(table: &LinkTable) -> DirectionSpec {
    let outages = table.outages.iter().map(|outage| {
        let from = START + outage.at_s.0;
        (from, from + outage.for_s.0)
    });
    let config = LinkConfig {
        rate: table.rate.map(|RateText(rate)| rate),
        delay: table.delay.map_or(Duration::ZERO, |Span(delay)| delay),
        jitter: table.jitter.map_or(Duration::ZERO, |Span(jitter)| jitter),
        lumps: table.lumps.map_or(Duration::ZERO, |Span(lumps)| lumps),
        mtu_bytes: table.mtu.map(|Size(bytes)| bytes),
        buffer_bytes: None,
        mark_above_bytes: None,
        loss_ppm: table.loss.0,
        burst: table.burst_loss.map(|burst| Burst {
            enter_ppm: burst.enter.0,
            leave_ppm: burst.leave.0,
            loss_ppm: burst.loss.0,
        }),
        duplicate_ppm: table.duplicate.0,
        reorder_ppm: table.reorder.map_or(0, |reorder| reorder.share.0),
        reorder_by: table.reorder.map_or(Duration::ZERO, |reorder| reorder.by.0),
        corrupt_ppm: table.corrupt.0,
        truncate_ppm: table.truncate.0,
        outages: outages.collect(),
        policer: table.policer.map(|policer| Policer { rate: policer.rate.0, burst_bytes: policer.burst.0 }),
    };
    DirectionSpec { config, steps: Vec::new() }
}
