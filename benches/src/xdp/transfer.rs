//! A whole transfer from memory to memory, by each transport: `wirehaul send --generate` to `recv --discard`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::veth::VethError;
use crate::netns::{NamespacePair, Side};
use crate::scratch::Scratch;

/// The ways that a veth pair has.
pub const WAYS: [&str; 3] = ["udp", "xdp-copy", "xdp-skb"];

/// Two hosts and the program.
pub struct Transfers {
    pair: NamespacePair,
    scratch: Scratch,
    wirehaul: PathBuf,
}

impl Transfers {
    /// Two hosts, with keys of their own.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn new(wirehaul: &Path) -> Result<Self, VethError> {
        let scratch = Scratch::create(&std::env::temp_dir(), "bench-xdp")?;
        Ok(Self { pair: NamespacePair::create()?, scratch, wirehaul: wirehaul.canonicalize()? })
    }

    /// Gbit/s of one transfer of so many bytes, both ends by the same way.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn run(&self, way: &str, bytes: u64) -> Result<f64, VethError> {
        self.run_with(way, bytes, &[])
    }

    /// The same, with more flags for both ends.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn run_with(&self, way: &str, bytes: u64, flags: &[&str]) -> Result<f64, VethError> {
        let listen = format!("{}:7420", self.pair.address(Side::Destination));
        let mut receiver = self
            .command(Side::Destination)
            .args([
                "recv",
                "--json",
                "--once",
                "--discard",
                "--listen",
                &listen,
                "--transport",
                way,
                "--iface",
                "veth0",
            ])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(receiver.stdout.take().ok_or_else(|| failed("recv", ""))?);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        let ticket =
            serde_json::from_str::<Value>(&first).ok().and_then(|line| Some(line["ticket"].as_str()?.to_owned()));
        let Some(ticket) = ticket else {
            receiver.wait()?;
            return Err(failed("wirehaul recv", &first));
        };
        let sent = self
            .command(Side::Source)
            .args(["send", "--json", "--transport", way, "--iface", "veth0"])
            .args(flags)
            .args(["--generate", &bytes.to_string(), &ticket])
            .output()?;
        let mut rest = String::new();
        lines.read_to_string(&mut rest)?;
        receiver.wait()?;
        let output = String::from_utf8_lossy(&sent.stdout).into_owned();
        let summary = output.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let rate =
            summary.as_ref().filter(|_| sent.status.success()).and_then(|summary| summary["gbit_per_s"].as_f64());
        rate.ok_or_else(|| failed("wirehaul send", &output))
    }

    fn command(&self, side: Side) -> Command {
        let home = self.scratch.path().join(format!("{side:?}"));
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.pair.name(side)]).arg(&self.wirehaul);
        command.env("HOME", &home).env("XDG_CONFIG_HOME", home.join("config")).stdin(Stdio::null());
        command
    }
}

fn failed(who: &'static str, output: &str) -> VethError {
    VethError::Failed { who, output: output.to_owned() }
}
