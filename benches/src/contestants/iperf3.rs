//! iperf3 over TCP: one stream, nothing encrypted.

use serde_json::Value;

use super::lab::DAEMON_TIMEOUT;
use super::{Contestant, ContestantError, Job, Lab, Measurement, missing};
use crate::netns::Side;
use crate::process::Program;

/// iperf3 with one TCP stream.
#[derive(Debug, Default)]
pub struct Iperf3;

impl Contestant for Iperf3 {
    fn name(&self) -> &'static str {
        "iperf3"
    }

    fn settings(&self) -> String {
        "TCP, one stream, not encrypted".to_owned()
    }

    fn prepare(&mut self, _: &Lab) -> Result<(), ContestantError> {
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        let Job::Memory { bytes } = job else {
            return Err(ContestantError::NotItsJob { contestant: self.name().to_owned() });
        };
        let endpoint = lab.bed.free_endpoint(Side::Destination);
        let endpoint = endpoint.map_err(ContestantError::files("find a free port on", "loopback".as_ref()))?;
        let (address, port) = (endpoint.ip().to_string(), endpoint.port().to_string());
        let mut run = lab.begin();
        let server = Program::new("iperf3").args(["-s", "-1", "-B", &address, "-p", &port]);
        let mut server = run.start(Side::Destination, &server)?;
        server.wait_until_listening(endpoint.port(), DAEMON_TIMEOUT)?;
        run.start_clock()?;
        let client = Program::new("iperf3").args(["-c", &address, "-p", &port, "-n", &bytes.to_string(), "-J"]);
        let mut client = run.start(Side::Source, &client)?;
        let finished = run.finish(&mut client)?;
        run.finish(&mut server)?;
        let text = finished.stdout.join("\n");
        let (received, seconds) = received(&text).ok_or_else(|| missing("iperf3", "end.sum_received", &[text]))?;
        run.end(received, seconds, Vec::new())
    }
}

/// Bytes and seconds at the receiver, from the JSON of the client.
fn received(text: &str) -> Option<(u64, f64)> {
    let result: Value = serde_json::from_str(text).ok()?;
    let sum = result.get("end")?.get("sum_received")?;
    Some((sum.get("bytes")?.as_u64()?, sum.get("seconds")?.as_f64()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_receivers_figures_are_taken() {
        let text = r#"{"end":{"sum_sent":{"bytes":9,"seconds":1},"sum_received":{"bytes":8,"seconds":2.5}}}"#;
        assert_eq!(super::received(text), Some((8, 2.5)));
        assert_eq!(super::received(r#"{"error":"unable to connect"}"#), None);
    }
}
