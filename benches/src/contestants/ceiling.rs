//! The bare loop without a protocol.

use super::lab::DAEMON_TIMEOUT;
use super::{Contestant, ContestantError, Job, Lab, Measurement, number, summary_of};
use crate::netns::Side;
use crate::process::Program;

/// How long one run sends.
const SECONDS: &str = "4";

/// AEAD seal + 64 KB GSO send against GRO receive + AEAD open.
#[derive(Debug, Default)]
pub struct Ceiling;

impl Contestant for Ceiling {
    fn name(&self) -> &'static str {
        "ceiling"
    }

    fn settings(&self) -> String {
        format!("44 x 1472-byte records per GSO send, aws-lc-rs AES-128-GCM, {SECONDS} s, payload counted")
    }

    fn prepare(&mut self, _: &Lab) -> Result<(), ContestantError> {
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        let Job::Memory { .. } = job else {
            return Err(ContestantError::NotItsJob { contestant: self.name().to_owned() });
        };
        let endpoint = lab.bed.free_endpoint(Side::Destination);
        let endpoint =
            endpoint.map_err(ContestantError::files("find a free port on", "loopback".as_ref()))?.to_string();
        let program = lab.own_program("ceiling");
        let mut run = lab.begin();
        let mut receiver = run.start(Side::Destination, &Program::new(&program).args(["recv", &endpoint]))?;
        receiver.next_line(DAEMON_TIMEOUT)?;
        run.start_clock()?;
        let sender = Program::new(&program).args(["send", &endpoint, "--seconds", SECONDS]);
        let mut sender = run.start(Side::Source, &sender)?;
        run.finish(&mut sender)?;
        let received = run.finish(&mut receiver)?;
        let summary = summary_of("ceiling recv", &received.stdout)?;
        let bytes = number("ceiling recv", &summary, "bytes")? as u64;
        let seconds = number("ceiling recv", &summary, "seconds")?;
        let mut measurement = run.end(bytes, seconds, Vec::new())?;
        measurement.details = summary;
        Ok(measurement)
    }
}
