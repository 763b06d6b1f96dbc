//! What the server holds: by `/proc`, and by its own metrics where it has some.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;

/// How long the metrics may take to come.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Seconds since the soak began.
    pub at_s: u64,
    /// Whether no transfer was under way, and none of a killed sender was still waited for.
    pub idle: bool,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads, but for those that the kernel adds for io_uring and takes away again.
    pub threads: u64,
    /// Slots of its pools that are lent; `None` where it does not say.
    pub slots_in_use: Option<u64>,
    /// Frames that it holds of AF_XDP; `None` where it does not say.
    pub frames_held: Option<u64>,
}

/// How the kernel calls a thread of its own that works for a process's rings.
const KERNEL_THREAD: &str = "iou-";

/// Resident memory in bytes, descriptors and threads of a process.
///
/// # Errors
/// What the operating system says; that there is no such process is one of it.
pub fn of_process(id: u32) -> io::Result<(u64, u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name| field(&status, name).ok_or(io::ErrorKind::InvalidData);
    let descriptors = fs::read_dir(format!("/proc/{id}/fd"))?.count() as u64;
    let names = fs::read_dir(format!("/proc/{id}/task"))?.filter_map(Result::ok);
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let threads = names.filter(|name| !name.starts_with(KERNEL_THREAD)).count() as u64;
    Ok((field("VmRSS:")? * 1024, descriptors, threads))
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Whether a process does something by itself when it gets SIGHUP, and does not just end.
pub fn catches_hangup(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    // SIGHUP is the first.
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// The page of metrics at an address, as text.
///
/// # Errors
/// What the operating system says, or `InvalidData` for an answer that is not well.
pub fn fetch(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, METRICS_TIMEOUT)?;
    stream.set_read_timeout(Some(METRICS_TIMEOUT))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().transpose()?.unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the metrics answer with `{status}`")));
    }
    // Head and chunk lengths are no lines of metrics, and are passed over with all else that is none.
    lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.join("\n"))
}

/// The sum of all series of these names; `None` where there is none.
pub fn sum_of(metrics: &str, names: &[&str]) -> Option<u64> {
    let value = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let name = series.split('{').next()?;
        names.contains(&name).then(|| value.parse::<f64>().ok())?
    };
    let values: Vec<_> = metrics.lines().filter_map(value).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() as u64)
}

/// The sum of all series of this name whose label has one of these values; `None` where there is none.
pub fn sum_by_label(metrics: &str, name: &str, label: &str, values: &[&str]) -> Option<u64> {
    let is_asked_for = |line: &&str| {
        let labels = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')).unwrap_or_default();
        values.iter().any(|value| labels.contains(&format!("{label}=\"{value}\"")))
    };
    let lines: Vec<_> = metrics.lines().filter(is_asked_for).collect();
    sum_of(&lines.join("\n"), &[name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up() {
        let metrics =
            "# HELP a_b what\n# TYPE a_b gauge\na_b{pool=\"x y\"} 3\na_b{pool=\"z\"} 4\na_b_total 9\nc 1.5e1\n";
        assert_eq!(sum_of(metrics, &["a_b"]), Some(7));
        assert_eq!(sum_of(metrics, &["a_b", "c"]), Some(22));
        assert_eq!(sum_of(metrics, &["a"]), None);
    }

    #[test]
    fn series_are_added_up_by_a_label() {
        let of = |place, count| format!("a_b{{worker=\"0\",place=\"{place}\"}} {count}\n");
        let metrics = ["# TYPE a_b gauge\n".to_owned(), of("free", 9), of("held", 3), of("sent", 4)].concat();
        assert_eq!(sum_by_label(&metrics, "a_b", "place", &["held", "sent"]), Some(7));
        assert_eq!(sum_by_label(&metrics, "a_b", "place", &["lost"]), None);
        assert_eq!(sum_by_label(&metrics, "a", "place", &["held"]), None);
    }

    #[test]
    fn this_process_has_memory_descriptors_and_threads() {
        let (resident, descriptors, threads) = of_process(std::process::id()).expect("it is there");
        assert!(resident > 100_000 && descriptors > 2 && threads > 0);
        assert!(of_process(u32::MAX).is_err());
    }
}
