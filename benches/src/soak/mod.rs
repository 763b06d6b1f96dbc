//! `./x soak`: hours of transfers into one server, over a path that loses and delays, with kills, moves, surveys and reloads; and
//! then a look at whether anything was left behind (TEST-2).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Stopwatch;
use crate::contestants::ContestantError;
use crate::interrupt;
use crate::netns::NetnsError;
use crate::process::ProcessError;

mod cargo;
mod draw;
pub mod path;
mod rig;
mod round;
pub mod sample;
pub mod verdict;

use cargo::Cargo;
use draw::Draw;
use rig::Rig;
use round::{Crossing, Incident, Tally};
use sample::Sample;
use verdict::{Check, Limits};

/// A cycle of rounds with an idle moment at its end.
const CYCLE: Duration = Duration::from_secs(60);
/// How long the trees of a round take at the rate.
const ROUND: Duration = Duration::from_secs(8);
/// Of so many cycles one has a transfer that goes on beside its rounds, for longer than a session keeps its keys.
const LONG_EVERY: u64 = 4;
/// Keys are changed after two minutes (`Config::rekey_interval` of the core).
const LONG: Duration = Duration::from_secs(150);
/// How long a server remembers a sender that was killed, and a little more: only then is it idle.
const REMEMBERED: Duration = Duration::from_secs(40);
/// And how long it may take to close what is over.
const SETTLE: Duration = Duration::from_secs(3);
/// After so many failures it is clear what the verdict will be.
const MOST_FAILURES: usize = 10;

/// What is wanted.
#[derive(Debug)]
pub struct Options {
    /// The program.
    pub wirehaul: PathBuf,
    /// Files go below this directory.
    pub dir: PathBuf,
    /// How long.
    pub duration: Duration,
    /// All transfers together send no faster than this, in bits per second.
    pub rate_bps: u64,
    /// One way.
    pub delay: Duration,
    /// Datagrams of a million that are lost, each way.
    pub loss_ppm: u32,
    /// Where randomness starts from.
    pub seed: u64,
    /// How the server takes its packets.
    pub transport: Transport,
    /// What counts as constant.
    pub limits: Limits,
}

/// How the server takes its packets, and sends its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// Through sockets.
    Udp,
    /// With AF_XDP on its end of the virtual cable, which copies.
    Xdp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Xdp => "xdp",
        }
    }
}

/// Why the soak cannot go on, or what went wrong in a round.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// A program or a file.
    #[error(transparent)]
    Work(#[from] ContestantError),
    /// The namespaces.
    #[error("{0}")]
    Namespaces(#[from] NetnsError),
    /// The server is gone.
    #[error("the server ended by itself: {0}")]
    ServerEnded(String),
    /// The server did not come up.
    #[error("the server does not listen")]
    NotListening,
    /// A receiver without a ticket.
    #[error("`wirehaul recv` printed no ticket: {0}")]
    NoTicket(String),
}

impl From<ProcessError> for SoakError {
    fn from(error: ProcessError) -> Self {
        Self::Work(error.into())
    }
}

impl SoakError {
    fn is_interrupt(&self) -> bool {
        matches!(self, Self::Work(error) if error.is_interrupt())
    }

    /// Whether a further round would tell anything.
    fn is_final(&self) -> bool {
        self.is_interrupt() || matches!(self, Self::ServerEnded(_) | Self::NotListening | Self::Namespaces(_))
    }
}

/// Waits, unless a signal comes.
fn pause(span: Duration) -> Result<(), SoakError> {
    let clock = Stopwatch::start();
    while clock.elapsed() < span {
        if interrupt::raised() {
            return Err(ProcessError::Interrupted.into());
        }
        std::thread::sleep(Duration::from_millis(50).min(span.saturating_sub(clock.elapsed())));
    }
    Ok(())
}

/// Runs the soak; lines about it go to `tell`, in words and as JSON. Gives whether all was as it should be.
///
/// # Errors
/// When it cannot begin.
pub fn run(options: &Options, mut tell: impl FnMut(&str, &Value)) -> Result<bool, SoakError> {
    let rig = Rig::set_up(options)?;
    let what = format!(
        "for {:.2} h at {} kbit/s into a server over {}, {} ms and {} % of loss each way, by {}",
        options.duration.as_secs_f64() / 3600.0,
        options.rate_bps / 1000,
        options.transport.name(),
        options.delay.as_millis(),
        f64::from(options.loss_ppm) / 1e4,
        rig.path()
    );
    let start = json!({
        "type": "start",
        "seconds": options.duration.as_secs(),
        "transport": options.transport.name(),
        "path": rig.path(),
    });
    tell(&what, &start);
    let mut soak = Soak {
        rig,
        options,
        clock: Stopwatch::start(),
        draw: Draw::new(options.seed),
        tally: Tally::default(),
        samples: Vec::new(),
        next: 0,
    };
    let ended = soak.work(&mut tell);
    Ok(soak.conclude(ended, &mut tell))
}

struct Soak<'a> {
    rig: Rig,
    options: &'a Options,
    clock: Stopwatch,
    draw: Draw,
    tally: Tally,
    samples: Vec<Sample>,
    /// The next incident.
    next: usize,
}

type Tell<'a> = &'a mut dyn FnMut(&str, &Value);

impl Soak<'_> {
    fn work(&mut self, tell: Tell<'_>) -> Result<(), SoakError> {
        // What it holds before anything came.
        self.sample(true, tell)?;
        let cargo = Cargo::of_directories(&self.rig.outbox, &self.rig.inbox, "directories")?;
        let crossed = Crossing::start(&self.rig, cargo, self.options.rate_bps)?.finish(&mut self.tally);
        self.note(crossed, "a tree of many directories")?;
        for number in 0.. {
            if self.clock.elapsed() >= self.options.duration || self.tally.failures.len() >= MOST_FAILURES {
                break;
            }
            self.cycle(number % LONG_EVERY == 0, tell)?;
            self.become_idle()?;
            self.sample(true, tell)?;
        }
        self.rig.stop()
    }

    /// Rounds for a minute, or for as long as a transfer goes on beside them.
    fn cycle(&mut self, is_long: bool, tell: Tell<'_>) -> Result<(), SoakError> {
        let began = self.clock.elapsed();
        let mut last_told = began;
        let mut rate_bps = self.options.rate_bps;
        let mut long = None;
        if is_long {
            rate_bps -= rate_bps / 4;
            long = Some(self.start_long(self.options.rate_bps / 4)?);
        }
        loop {
            let incident = Incident::ALL[self.next % Incident::ALL.len()];
            self.next += 1;
            let bytes = rate_bps / 8 * ROUND.as_secs();
            let now = self.clock.elapsed();
            let played = round::play(&mut self.rig, incident, bytes, rate_bps, &mut self.draw, now, &mut self.tally);
            self.note(played, &format!("{incident:?}"))?;
            self.hear()?;
            let now = self.clock.elapsed();
            let is_over = long.as_ref().is_none_or(Crossing::is_over);
            if now.saturating_sub(began) >= CYCLE && is_over || self.tally.failures.len() >= MOST_FAILURES {
                break;
            }
            if now.saturating_sub(last_told) >= CYCLE {
                self.sample(false, tell)?;
                last_told = now;
            }
        }
        if let Some(long) = long {
            let finished = long.finish(&mut self.tally);
            self.note(finished, "the long transfer")?;
        }
        self.hear()
    }

    fn start_long(&mut self, rate_bps: u64) -> Result<Crossing, SoakError> {
        let bytes = rate_bps / 8 * LONG.as_secs();
        let name = format!("long{:06}", self.tally.rounds);
        let cargo = Cargo::load(&self.rig.outbox, &self.rig.inbox, &name, bytes, &mut self.draw)?;
        Crossing::start(&self.rig, cargo, rate_bps)
    }

    /// Keeps what went wrong, and goes on where that makes sense.
    fn note(&mut self, result: Result<(), SoakError>, what: &str) -> Result<(), SoakError> {
        match result {
            Err(error) if error.is_final() => Err(error),
            Err(error) => {
                self.tally.failures.push(format!("round {}, {what}: {error}", self.tally.rounds));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn hear(&mut self) -> Result<(), SoakError> {
        let lines = self.rig.hear_server()?;
        self.tally.count_server(&lines);
        Ok(())
    }

    fn become_idle(&mut self) -> Result<(), SoakError> {
        let since_kill = self.tally.last_kill.map(|at| self.clock.elapsed().saturating_sub(at));
        let remembered = since_kill.map_or(Duration::ZERO, |since| REMEMBERED.saturating_sub(since));
        pause(remembered.max(SETTLE))?;
        self.hear()
    }

    fn sample(&mut self, idle: bool, tell: Tell<'_>) -> Result<(), SoakError> {
        let sample = self.rig.sample(self.clock.elapsed().as_secs(), idle)?;
        let (words, json) = minute(&sample, &self.tally);
        tell(&words, &json);
        self.samples.push(sample);
        Ok(())
    }

    /// Says how it went; true where all was as it should be.
    fn conclude(&mut self, ended: Result<(), SoakError>, tell: Tell<'_>) -> bool {
        let mut checks = verdict::compare(&self.samples, &self.options.limits);
        checks.insert(0, verdict::all_happened(&self.tally, self.clock.elapsed()));
        let failures = &mut self.tally.failures;
        failures.extend(ended.err().map(|error| error.to_string()));
        let figures = format!("{} transfers, {} MiB", self.tally.transfers, self.tally.bytes >> 20);
        let is_whole = failures.is_empty() && self.tally.transfers > 0;
        checks
            .insert(0, Check { name: "every transfer arrived, every hash is right", passed: Some(is_whole), figures });
        for failure in failures.iter() {
            tell(failure, &json!({ "type": "failure", "what": failure }));
        }
        for check in &checks {
            let word = match check.passed {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "not seen",
            };
            tell(&format!("{word:>8}  {}: {}", check.name, check.figures), &json!({ "type": "check", "check": check }));
        }
        let passed = checks.iter().all(|check| check.passed != Some(false));
        let words = if passed { "passed" } else { "FAILED" };
        let mut summary = json!({ "type": "summary", "passed": passed, "seconds": self.clock.elapsed().as_secs() });
        if let (Some(summary), Ok(Value::Object(tally))) = (summary.as_object_mut(), serde_json::to_value(&self.tally))
        {
            summary.extend(tally);
        }
        tell(words, &summary);
        passed
    }
}

/// How it stands, in words and as JSON.
fn minute(sample: &Sample, tally: &Tally) -> (String, Value) {
    let known = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
    let words = format!(
        "{:>5} s {} rounds {}, transfers {}, {} MiB, resumed {} MiB, kills {}+{}, moves {}/{}, rekeys {}, scans {}, reloads {}, failures {}; \
         memory {} KiB, descriptors {}, threads {}, slots {}, frames {}",
        sample.at_s,
        if sample.idle { "idle" } else { "busy" },
        tally.rounds,
        tally.transfers,
        tally.bytes >> 20,
        tally.resumed_bytes >> 20,
        tally.senders_killed,
        tally.receivers_killed,
        tally.migrations,
        tally.moves,
        tally.rekeys,
        tally.scans,
        tally.reloads,
        tally.failures.len(),
        sample.resident_bytes >> 10,
        sample.descriptors,
        sample.threads,
        known(sample.slots_in_use),
        known(sample.frames_held),
    );
    let mut object = json!({ "type": "minute" });
    if let Some(object) = object.as_object_mut() {
        for part in [serde_json::to_value(tally), serde_json::to_value(sample)] {
            if let Ok(Value::Object(part)) = part {
                object.extend(part);
            }
        }
    }
    (words, object)
}
