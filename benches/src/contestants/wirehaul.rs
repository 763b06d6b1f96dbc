//! The product itself, by its command line.

use std::path::Path;

use serde_json::{Map, Value};

use super::lab::DAEMON_TIMEOUT;
use super::{Contestant, ContestantError, Job, Lab, Measurement, missing, number, summary_of};
use crate::netns::Side;
use crate::process::{Process, ProcessError, Program};

/// `wirehaul recv` and `wirehaul send`.
#[derive(Debug, Default)]
pub struct Wirehaul;

impl Contestant for Wirehaul {
    fn name(&self) -> &'static str {
        "wirehaul"
    }

    fn settings(&self) -> String {
        "as it comes: encrypted, verified, files durable before they have their names".to_owned()
    }

    fn prepare(&mut self, lab: &Lab) -> Result<(), ContestantError> {
        let program = Program::new(&lab.wirehaul).arg("--version");
        program.start(&lab.bed, Side::Source, None, &lab.config_dir)?.wait_for_success(DAEMON_TIMEOUT)?;
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        match job {
            Job::Memory { bytes } => {
                let what = ["--generate".to_owned(), bytes.to_string()];
                let (measurement, summary) = transfer(lab, &["--discard".as_ref()], what, None)?;
                // Both ends are up before the first byte: the transfer's own clock, as with the others.
                let seconds = number("wirehaul send", &summary, "seconds")?;
                Ok(Measurement { bytes: *bytes, seconds, ..measurement })
            }
            Job::Files { source, bytes, into } => {
                let (measurement, _) = transfer(lab, &["--dir".as_ref(), into.as_path()], [], Some(source))?;
                Ok(Measurement { bytes: *bytes, ..measurement })
            }
        }
    }
}

fn transfer<const N: usize>(
    lab: &Lab,
    receive: &[&Path],
    send: [String; N],
    source: Option<&Path>,
) -> Result<(Measurement, Map<String, Value>), ContestantError> {
    let mut run = lab.begin();
    let (mut receiver, ticket) = recv_once(lab, receive, |program| run.start(Side::Destination, program))?;
    run.start_clock()?;
    let sender = with_home(lab, Side::Source, Program::new(&lab.wirehaul)).arg("send").args(send).args(source);
    let mut sender = run.start(Side::Source, &sender.args([ticket.as_str(), "--json"]))?;
    let sent = run.finish(&mut sender)?;
    let seconds = run.seconds();
    let received = run.finish(&mut receiver)?;
    let summary = summary_of("wirehaul send", &sent.stdout)?;
    if summary.get("verified").and_then(Value::as_bool) != Some(true) {
        return Err(ContestantError::Corrupted("wirehaul says verified: false".to_owned()));
    }
    let mut measurement = run.end(0, seconds, Vec::new())?;
    measurement.sender_peak_rss_bytes = Some(sent.peak_rss_bytes);
    measurement.receiver_peak_rss_bytes = Some(received.peak_rss_bytes);
    measurement.details.clone_from(&summary);
    Ok((measurement, summary))
}

/// Starts `wirehaul recv --once --json` by the given means and waits for its ticket.
///
/// # Errors
/// When it does not start, or prints no ticket.
pub fn recv_once(
    lab: &Lab,
    options: &[&Path],
    start: impl FnOnce(&Program) -> Result<Process, ProcessError>,
) -> Result<(Process, String), ContestantError> {
    let endpoint = lab.bed.free_endpoint(Side::Destination);
    let endpoint = endpoint.map_err(ContestantError::files("find a free port on", "loopback".as_ref()))?.to_string();
    let program = with_home(lab, Side::Destination, Program::new(&lab.wirehaul)).arg("recv").args(options);
    let mut receiver = start(&program.args(["--once", "--json", "--listen", &endpoint]))?;
    let line = receiver.next_line(DAEMON_TIMEOUT)?;
    let object: Option<Map<String, Value>> = serde_json::from_str(&line).ok();
    let ticket = object.as_ref().and_then(|object| object.get("ticket")).and_then(Value::as_str);
    let ticket = ticket.ok_or_else(|| missing("wirehaul recv", "ticket", std::slice::from_ref(&line)))?.to_owned();
    Ok((receiver, ticket))
}

/// Gives each side keys and known peers of its own, away from the user's.
pub fn with_home(lab: &Lab, side: Side, program: Program) -> Program {
    let home = lab.config_dir.join(format!("home-{side:?}"));
    let config = home.join("config");
    program.env("HOME", &home).env("XDG_CONFIG_HOME", config).env("XDG_STATE_HOME", home.join("state"))
}
