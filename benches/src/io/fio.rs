//! fio's io_uring engine, with registered files and memory (fio(1)).

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::subject::Subject;
use super::{IoError, Load, Run, Scenario};

/// Works for `time`, after a while of warming up.
///
/// # Errors
/// fio is not installed, or says no.
pub fn run(subject: &Subject, load: Load, time: Duration, iopoll: bool) -> Result<Run, IoError> {
    let failed = |error: std::io::Error| IoError::Fio(error.to_string());
    let output = Command::new("fio")
        .args(["--name=io", "--output-format=json", "--ioengine=io_uring", "--direct=1", "--thread"])
        .args(["--registerfiles=1", "--fixedbufs=1", "--norandommap", "--randrepeat=0", "--time_based"])
        .args(["--lat_percentiles=1", "--overwrite=1"])
        .arg(format!("--hipri={}", u8::from(iopoll)))
        .arg(format!("--filename={}", subject.path().display()))
        .arg(format!("--rw={}", pattern(load.scenario)))
        .arg(format!("--bs={}", load.scenario.block_bytes()))
        .arg(format!("--size={}", subject.size()))
        .arg(format!("--iodepth={}", load.depth))
        .arg(format!("--ramp_time={}ms", time.as_millis() / 4))
        .arg(format!("--runtime={}ms", time.as_millis()))
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        return Err(IoError::Fio(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let told = String::from_utf8_lossy(&output.stdout);
    // Warnings may stand before it.
    let json = told.find('{').and_then(|at| serde_json::from_str::<Value>(&told[at..]).ok());
    let run = json.as_ref().and_then(|json| read(json, load));
    run.ok_or_else(|| IoError::Fio("its JSON is not as expected".to_owned()))
}

const fn pattern(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::RandomRead => "randread",
        Scenario::RandomWrite => "randwrite",
        Scenario::SequentialRead => "read",
        Scenario::SequentialWrite => "write",
    }
}

fn read(json: &Value, load: Load) -> Option<Run> {
    let job = json.get("jobs")?.get(0)?;
    let side = job.get(if load.scenario.is_write() { "write" } else { "read" })?;
    let iops = side.get("iops")?.as_f64()?;
    // Percent of one CPU.
    let cpu = job.get("usr_cpu")?.as_f64()? + job.get("sys_cpu")?.as_f64()?;
    let percentile = |name: &str| side.get("lat_ns")?.get("percentile")?.get(name)?.as_f64();
    let latency_us =
        (load.depth == 1).then(|| Some((percentile("50.000000")? / 1e3, percentile("99.000000")? / 1e3))).flatten();
    Some(Run { iops, cpu_us: cpu / 100.0 * 1e6 / iops, per_call: None, latency_us })
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::io::{Load, Scenario};

    #[test]
    fn its_json_is_read() {
        let json = serde_json::json!({ "jobs": [{
            "usr_cpu": 10.0, "sys_cpu": 40.0,
            "read": { "iops": 100_000.0, "lat_ns": { "percentile": { "50.000000": 45_000, "99.000000": 90_000 } } },
        }] });
        let run = read(&json, Load { scenario: Scenario::RandomRead, depth: 1 }).expect("all is there");
        assert_eq!((run.iops, run.cpu_us, run.latency_us), (100_000.0, 5.0, Some((45.0, 90.0))));
        assert!(read(&json, Load { scenario: Scenario::RandomWrite, depth: 1 }).is_none());
    }
}
