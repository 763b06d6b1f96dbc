//! fio's io_uring engine, with registered files and memory (fio(1)).

use std::process::Command;
use std::time::Duration;

use nix::sys::resource::UsageWho;
use serde_json::Value;

use super::subject::Subject;
use super::{IoError, Load, Run, Scenario, cpu_seconds_of};

/// fio with one load. Its own figure of CPU time leaves out the kernel's threads that work for it; the system's, for the whole
/// process, has what it takes to start in it, which is measured beforehand.
#[derive(Debug)]
pub struct Fio<'a> {
    subject: &'a Subject,
    load: Load,
    iopoll: bool,
    startup_cpu_seconds: f64,
}

impl<'a> Fio<'a> {
    /// Measures what it takes to start.
    ///
    /// # Errors
    /// fio is not installed, or says no.
    pub fn prepare(subject: &'a Subject, load: Load, iopoll: bool) -> Result<Self, IoError> {
        let mut fio = Self { subject, load, iopoll, startup_cpu_seconds: 0.0 };
        fio.startup_cpu_seconds = fio.start(&[format!("--io_size={}", load.scenario.block_bytes())])?.1;
        Ok(fio)
    }

    /// Works for `time`, after a while of warming up.
    ///
    /// # Errors
    /// fio says no.
    pub fn run(&self, time: Duration) -> Result<Run, IoError> {
        let ramp = time / 4;
        let (json, cpu_seconds) = self.start(&[
            "--time_based".to_owned(),
            format!("--ramp_time={}ms", ramp.as_millis()),
            format!("--runtime={}ms", time.as_millis()),
        ])?;
        let cpu_share = (cpu_seconds - self.startup_cpu_seconds) / (time + ramp).as_secs_f64();
        read(&json, self.load, cpu_share).ok_or_else(unexpected)
    }

    /// What it says, and the CPU time that it used.
    fn start(&self, more: &[String]) -> Result<(Value, f64), IoError> {
        let Self { subject, load, iopoll, .. } = self;
        let before = cpu_seconds_of(UsageWho::RUSAGE_CHILDREN);
        let output = Command::new("fio")
            .args(["--name=io", "--output-format=json", "--ioengine=io_uring", "--direct=1", "--overwrite=1"])
            .args(["--registerfiles=1", "--fixedbufs=1", "--norandommap", "--randrepeat=0", "--lat_percentiles=1"])
            .arg(format!("--hipri={}", u8::from(*iopoll)))
            .arg(format!("--filename={}", subject.path().display()))
            .arg(format!("--rw={}", pattern(load.scenario)))
            .arg(format!("--bs={}", load.scenario.block_bytes()))
            .arg(format!("--size={}", subject.size()))
            .arg(format!("--iodepth={}", load.depth))
            .args(more)
            .output()
            .map_err(|error| IoError::Fio(error.to_string()))?;
        let cpu_seconds = cpu_seconds_of(UsageWho::RUSAGE_CHILDREN) - before;
        if !output.status.success() {
            return Err(IoError::Fio(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let told = String::from_utf8_lossy(&output.stdout);
        // Warnings may stand before it.
        let json = told.find('{').and_then(|at| serde_json::from_str(&told[at..]).ok());
        Ok((json.ok_or_else(unexpected)?, cpu_seconds))
    }
}

fn unexpected() -> IoError {
    IoError::Fio("its JSON is not as expected".to_owned())
}

const fn pattern(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::RandomRead => "randread",
        Scenario::RandomWrite => "randwrite",
        Scenario::SequentialRead => "read",
        Scenario::SequentialWrite => "write",
    }
}

/// `cpu_share` is the CPU time that it used while it worked, in CPUs.
fn read(json: &Value, load: Load, cpu_share: f64) -> Option<Run> {
    let job = json.get("jobs")?.get(0)?;
    let side = job.get(if load.scenario.is_write() { "write" } else { "read" })?;
    let iops = side.get("iops")?.as_f64()?;
    let percentile = |name: &str| side.get("lat_ns")?.get("percentile")?.get(name)?.as_f64();
    let latency_us =
        (load.depth == 1).then(|| Some((percentile("50.000000")? / 1e3, percentile("99.000000")? / 1e3))).flatten();
    Some(Run { iops, cpu_us: cpu_share * 1e6 / iops, per_call: None, latency_us })
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::io::{Load, Scenario};

    #[test]
    fn its_json_is_read() {
        let json = serde_json::json!({ "jobs": [{
            "read": { "iops": 100_000.0, "lat_ns": { "percentile": { "50.000000": 45_000, "99.000000": 90_000 } } },
        }] });
        let run = read(&json, Load { scenario: Scenario::RandomRead, depth: 1 }, 0.5).expect("all is there");
        assert_eq!((run.iops, run.cpu_us, run.latency_us), (100_000.0, 5.0, Some((45.0, 90.0))));
        assert!(read(&json, Load { scenario: Scenario::RandomWrite, depth: 1 }, 0.5).is_none());
    }
}
