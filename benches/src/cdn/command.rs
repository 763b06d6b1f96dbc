//! The command from start to end: millions of addresses from a file to JSON, and how long it takes for one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use wirehaul_core::cdn_data::EMBEDDED;

use super::{next_random, random_below};
use crate::clock::Stopwatch;

/// Writes so many addresses, one a line: of five one is on a list, and of ten one is of IPv6.
///
/// # Errors
/// The file cannot be written.
pub fn write_addresses(path: &Path, count: u64, seed: u64) -> io::Result<()> {
    let mut state = seed;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let narrow: Vec<_> = EMBEDDED.v4.iter().collect();
    let wide: Vec<_> = EMBEDDED.v6.iter().collect();
    for at in 0..count {
        let random = next_random(&mut state);
        match at % 10 {
            0 => writeln!(out, "{}", Ipv6Addr::from(random_below(&mut state, u128::MAX) >> 3 | 1 << 125))?,
            1 if random % 2 == 0 => {
                let (span, _) = wide[random as usize % wide.len()];
                writeln!(out, "{}", Ipv6Addr::from(span.first))?;
            }
            1 | 2 => {
                let (span, _) = narrow[random as usize % narrow.len()];
                let offset = random_below(&mut state, u128::from(span.last - span.first) + 1) as u32;
                writeln!(out, "{}", Ipv4Addr::from(span.first + offset))?;
            }
            _ => writeln!(out, "{}", Ipv4Addr::from(random as u32))?,
        }
    }
    out.flush()
}

/// What a run of the program came to.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From start to exit.
    pub seconds: f64,
    /// What it printed.
    pub bytes: u64,
}

/// Runs `wirehaul cdn --json -f FILE` with these further arguments; its output goes to a file, or nowhere.
///
/// # Errors
/// It cannot be run, or does not exit with 0.
pub fn run(wirehaul: &Path, arguments: &[String], into: Option<&Path>) -> io::Result<Run> {
    let out = match into {
        Some(path) => Stdio::from(File::create(path)?),
        None => Stdio::null(),
    };
    let watch = Stopwatch::start();
    let status = Command::new(wirehaul).arg("cdn").args(arguments).stdin(Stdio::null()).stdout(out).status()?;
    let seconds = watch.seconds();
    if !status.success() {
        return Err(io::Error::other(format!("wirehaul cdn ended with {status}")));
    }
    let bytes = into.map_or(Ok(0), |path| path.metadata().map(|metadata| metadata.len()))?;
    Ok(Run { seconds, bytes })
}
