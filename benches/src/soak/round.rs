//! One round: a tree or several cross the path, and something happens meanwhile.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::cargo::Cargo;
use super::draw::Draw;
use super::rig::{PATIENCE, Rig};
use super::{SoakError, pause};
use crate::clock::Stopwatch;
use crate::contestants::summary_of;
use crate::netns::{NamespacePair, Side};
use crate::process::{Process, ProcessError};

/// What happens while a tree is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    /// The sender is killed, and sends again.
    SenderKilled,
    /// The sender's host gets another address.
    Moved,
    /// Several trees cross at once.
    Several,
    /// A receiver that was started for this is killed, and started again.
    ReceiverKilled,
    /// The network is surveyed.
    Scanned,
    /// The server reads its configuration again.
    Reloaded,
}

impl Incident {
    /// All, in the order in which they come. Killed senders come first: the server waits for them for a while.
    pub const ALL: [Self; 6] =
        [Self::SenderKilled, Self::Moved, Self::Several, Self::ReceiverKilled, Self::Scanned, Self::Reloaded];
}

/// Trees at once, where there are several.
const AT_ONCE: u64 = 3;

/// What has been done so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    /// Rounds.
    pub rounds: u64,
    /// Transfers that ended well, and whose files are the same at both ends.
    pub transfers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that did not have to be sent again after a kill.
    pub resumed_bytes: u64,
    /// Senders that were killed with SIGKILL.
    pub senders_killed: u64,
    /// The same of receivers.
    pub receivers_killed: u64,
    /// Changes of the sender's address.
    pub moves: u64,
    /// Times that the server found a sender at another address.
    pub migrations: u64,
    /// Changes of keys.
    pub rekeys: u64,
    /// Surveys.
    pub scans: u64,
    /// Times that the server read its configuration again.
    pub reloads: u64,
    /// What went wrong.
    pub failures: Vec<String>,
    /// When a sender was killed last, in seconds since the soak began.
    #[serde(skip)]
    pub last_kill: Option<Duration>,
}

impl Tally {
    /// Counts what the server says of its transfers.
    pub fn count_server(&mut self, lines: &[String]) {
        for line in lines {
            let object: Option<Map<String, Value>> = serde_json::from_str(line).ok();
            let Some(object) = object.filter(|object| object.get("type").and_then(Value::as_str) == Some("summary"))
            else {
                continue;
            };
            let number = |name| object.get(name).and_then(Value::as_u64).unwrap_or(0);
            self.migrations += number("migrations");
            self.rekeys += number("rekeys");
        }
    }

    fn count_sent(&mut self, cargo: &Cargo, summary: &Map<String, Value>) {
        self.transfers += 1;
        self.bytes += cargo.bytes();
        self.resumed_bytes += summary.get("resumed_bytes").and_then(Value::as_u64).unwrap_or(0);
    }
}

/// A transfer to the server.
pub struct Crossing {
    cargo: Cargo,
    sender: Process,
    rate_bps: u64,
    limit: Duration,
    clock: Stopwatch,
}

impl Crossing {
    /// Starts one.
    ///
    /// # Errors
    /// When the program does not start.
    pub fn start(rig: &Rig, cargo: Cargo, rate_bps: u64) -> Result<Self, SoakError> {
        let sender = send(rig, &cargo, rate_bps, &rig.server_address().to_string())?;
        let limit = PATIENCE * 4 + duration_of(cargo.bytes(), rate_bps) * 5;
        Ok(Self { cargo, sender, rate_bps, limit, clock: Stopwatch::start() })
    }

    /// Waits for half of it to have crossed, by the rate.
    fn wait_for_half(&self) -> Result<(), SoakError> {
        pause((duration_of(self.cargo.bytes(), self.rate_bps) / 2).saturating_sub(self.clock.elapsed()))
    }

    /// Kills the sender and starts it again. Gives whether there was something to kill.
    fn kill_and_start_again(&mut self, rig: &Rig) -> Result<bool, SoakError> {
        self.sender.signal(Signal::SIGKILL);
        let killed = !self.sender.wait(PATIENCE)?.status.success();
        self.sender = send(rig, &self.cargo, self.rate_bps, &rig.server_address().to_string())?;
        Ok(killed)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        // It is not waited for yet, so it stays in the table.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.sender.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }

    /// Waits for its end, and looks whether all arrived.
    ///
    /// # Errors
    /// That it failed, or that what arrived is not what was sent.
    pub fn finish(mut self, tally: &mut Tally) -> Result<(), SoakError> {
        let sent = self.sender.wait_for_success(self.limit)?;
        self.cargo.verify()?;
        tally.count_sent(&self.cargo, &summary_of("wirehaul send", &sent.stdout)?);
        Ok(())
    }
}

/// How long so many bytes take at a rate.
pub fn duration_of(bytes: u64, rate_bps: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(8_000) / rate_bps.max(1))
}

fn send(rig: &Rig, cargo: &Cargo, rate_bps: u64, destination: &str) -> Result<Process, ProcessError> {
    let rate = format!("{}kbit", (rate_bps / 1000).max(1));
    let arguments =
        ["send".as_ref(), "--json".as_ref(), "--rate".as_ref(), rate.as_ref(), cargo.path(), destination.as_ref()];
    rig.start(Side::Source, arguments)
}

/// Plays one round with trees of so many bytes at this rate.
///
/// # Errors
/// What went wrong; the soak may go on unless it was interrupted or the server is gone.
pub fn play(
    rig: &mut Rig,
    incident: Incident,
    bytes: u64,
    rate_bps: u64,
    draw: &mut Draw,
    now: Duration,
    tally: &mut Tally,
) -> Result<(), SoakError> {
    tally.rounds += 1;
    let name = format!("r{:06}", tally.rounds);
    if incident == Incident::ReceiverKilled {
        let cargo = Cargo::load(&rig.outbox, &rig.other_inbox, &name, bytes, draw)?;
        return kill_a_receiver(rig, &cargo, rate_bps, tally);
    }
    let count = if incident == Incident::Several { AT_ONCE } else { 1 };
    let mut crossings = Vec::new();
    for number in 0..count {
        let cargo = Cargo::load(&rig.outbox, &rig.inbox, &format!("{name}-{number}"), bytes / count, draw)?;
        crossings.push(Crossing::start(rig, cargo, rate_bps / count)?);
    }
    if let Some(crossing) = crossings.first_mut() {
        meanwhile(rig, incident, crossing, now, tally)?;
    }
    crossings.into_iter().try_for_each(|crossing| crossing.finish(tally))
}

fn meanwhile(
    rig: &mut Rig,
    incident: Incident,
    crossing: &mut Crossing,
    now: Duration,
    tally: &mut Tally,
) -> Result<(), SoakError> {
    match incident {
        Incident::SenderKilled => {
            crossing.wait_for_half()?;
            tally.last_kill = Some(now + crossing.clock.elapsed());
            tally.senders_killed += u64::from(crossing.kill_and_start_again(rig)?);
        }
        Incident::Moved => {
            crossing.wait_for_half()?;
            rig.move_sender()?;
            tally.moves += 1;
        }
        Incident::Scanned => {
            let network = "10.77.0.0/28";
            let what = ["scan", network, "-p", "1-100,udp:7420", "--rate", "300", "--cooldown", "1s"];
            let how = ["--iface", NamespacePair::INTERFACE, "--quiet"];
            rig.start(Side::Source, what.iter().chain(&how))?.wait_for_success(PATIENCE * 2)?;
            tally.scans += 1;
        }
        Incident::Reloaded => {
            crossing.wait_for_half()?;
            tally.reloads += u64::from(rig.reload());
        }
        Incident::Several | Incident::ReceiverKilled => {}
    }
    Ok(())
}

/// A receiver for one transfer, which is killed half-way and started again in the same directory.
fn kill_a_receiver(rig: &Rig, cargo: &Cargo, rate_bps: u64, tally: &mut Tally) -> Result<(), SoakError> {
    let span = duration_of(cargo.bytes(), rate_bps);
    let (mut receiver, ticket) = receive(rig)?;
    let mut sender = send(rig, cargo, rate_bps, &ticket)?;
    pause(span / 2)?;
    receiver.signal(Signal::SIGKILL);
    tally.receivers_killed += u64::from(!receiver.wait(PATIENCE)?.status.success());
    // It would notice by itself after a while.
    sender.stop(PATIENCE)?;
    let (mut receiver, ticket) = receive(rig)?;
    let sent = send(rig, cargo, rate_bps, &ticket)?.wait_for_success(PATIENCE * 4 + span * 5)?;
    receiver.wait_for_success(PATIENCE)?;
    cargo.verify()?;
    tally.count_sent(cargo, &summary_of("wirehaul send", &sent.stdout)?);
    Ok(())
}

fn receive(rig: &Rig) -> Result<(Process, String), SoakError> {
    let [listen, advertise] = rig.receiver_addresses().map(|address| address.to_string());
    let how = ["recv", "--json", "--once", "--listen", &listen, "--advertise", &advertise, "--dir"].map(AsRef::as_ref);
    let mut receiver = rig.start(Side::Destination, how.into_iter().chain([rig.other_inbox.as_path()]))?;
    let line = receiver.next_line(PATIENCE)?;
    let object: Map<String, Value> = serde_json::from_str(&line).unwrap_or_default();
    let ticket = object.get("ticket").and_then(Value::as_str).ok_or(SoakError::NoTicket(line))?.to_owned();
    Ok((receiver, ticket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_counted() {
        let mut tally = Tally::default();
        let summary = |text: &str| format!("{{\"type\":\"summary\",{text}}}");
        let lines = [
            "{\"type\":\"progress\",\"migrations\":9}".to_owned(),
            "no JSON".to_owned(),
            summary("\"migrations\":1,\"rekeys\":2"),
            summary("\"migrations\":2"),
        ];
        tally.count_server(&lines);
        assert_eq!((tally.migrations, tally.rekeys), (3, 2));
    }

    #[test]
    fn rates_say_how_long_it_takes() {
        assert_eq!(duration_of(1_000_000, 8_000_000), Duration::from_secs(1));
    }
}
