//! quinn, with the settings that are fastest here: every combination is tried once before the rounds begin.

use super::lab::DAEMON_TIMEOUT;
use super::{Contestant, ContestantError, Job, Lab, Measurement, number, summary_of};
use crate::interrupt;
use crate::netns::Side;
use crate::process::{ProcessError, Program};

/// What one trial moves.
const TRIAL_BYTES: u64 = 1 << 30;

/// A sender and a receiver on the quinn crate.
#[derive(Debug, Default)]
pub struct Quinn {
    best: Vec<&'static str>,
    tried: usize,
}

impl Contestant for Quinn {
    fn name(&self) -> &'static str {
        "quinn"
    }

    fn settings(&self) -> String {
        format!("aws-lc-rs AES-128-GCM, best of {} settings tried: {}", self.tried, self.best.join(" "))
    }

    fn prepare(&mut self, lab: &Lab) -> Result<(), ContestantError> {
        let mut fastest: Option<(f64, Vec<&'static str>)> = None;
        let mut last_failure = None;
        for options in combinations() {
            if interrupt::raised() {
                return Err(ProcessError::Interrupted.into());
            }
            // A combination that fails is out; the others may still do.
            match transfer(lab, TRIAL_BYTES, &options) {
                Ok(measurement) => {
                    self.tried += 1;
                    let rate = measurement.gbit_per_s();
                    if fastest.as_ref().is_none_or(|(best, _)| rate > *best) {
                        fastest = Some((rate, options));
                    }
                }
                Err(error) => last_failure = Some(error),
            }
        }
        match (fastest, last_failure) {
            (Some((_, options)), _) => self.best = options,
            (None, Some(error)) => return Err(error),
            (None, None) => {}
        }
        Ok(())
    }

    fn run(&mut self, lab: &Lab, job: &Job) -> Result<Measurement, ContestantError> {
        let Job::Memory { bytes } = job else {
            return Err(ContestantError::NotItsJob { contestant: self.name().to_owned() });
        };
        transfer(lab, *bytes, &self.best)
    }
}

/// Controllers x streams x runtimes x ACK frequency, as options of `quinn_transfer`.
fn combinations() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for controller in ["cubic", "newreno", "bbr"] {
        for streams in ["1", "4"] {
            for runtime in ["current", "multi"] {
                for acks in [None, Some("--sparse-acks")] {
                    let options = ["--cc", controller, "--streams", streams, "--runtime", runtime];
                    all.push(options.into_iter().chain(acks).collect());
                }
            }
        }
    }
    all
}

fn transfer(lab: &Lab, bytes: u64, options: &[&str]) -> Result<Measurement, ContestantError> {
    let endpoint = lab.bed.free_endpoint(Side::Destination);
    let endpoint = endpoint.map_err(ContestantError::files("find a free port on", "loopback".as_ref()))?.to_string();
    let program = lab.own_program("quinn_transfer");
    let mut run = lab.begin();
    let receiver = Program::new(&program).args(["recv", &endpoint]).args(options);
    let mut receiver = run.start(Side::Destination, &receiver)?;
    receiver.next_line(DAEMON_TIMEOUT)?;
    run.start_clock()?;
    let sender = Program::new(&program).args(["send", &endpoint, "--bytes", &bytes.to_string()]).args(options);
    let mut sender = run.start(Side::Source, &sender)?;
    let sent = run.finish(&mut sender)?;
    let received = run.finish(&mut receiver)?;
    let summary = summary_of("quinn_transfer recv", &received.stdout)?;
    let bytes = number("quinn_transfer recv", &summary, "bytes")? as u64;
    let seconds = number("quinn_transfer recv", &summary, "seconds")?;
    let mut measurement = run.end(bytes, seconds, Vec::new())?;
    measurement.details = summary_of("quinn_transfer send", &sent.stdout)?;
    measurement.sender_peak_rss_bytes = Some(sent.peak_rss_bytes);
    measurement.receiver_peak_rss_bytes = Some(received.peak_rss_bytes);
    Ok(measurement)
}
