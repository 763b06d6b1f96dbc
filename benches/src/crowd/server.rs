//! The server, and its memory.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use wirehaul::crypto::PublicKey;

use super::CrowdError;
use crate::netns::Side;
use crate::process::{Finished, Process, Program};
use crate::testbed::Testbed;

/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// A `wirehaul serve` for one peer.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key.
    pub key: PublicKey,
}

impl Server {
    /// Starts one that lets `peer` put so many files into `dir` at once; its own files are in `home`.
    ///
    /// # Errors
    /// [`CrowdError`].
    pub fn start(
        bed: &Testbed,
        wirehaul: &Path,
        (home, dir): (&Path, &Path),
        peer: PublicKey,
        transfers: usize,
    ) -> Result<Self, CrowdError> {
        let address = bed.free_endpoint(Side::Destination)?;
        let config = home.join("serve.toml");
        fs::write(
            &config,
            format!(
                "listen = \"{address}\"\nmax_transfers = {transfers}\nmetrics = false\ntransport = \"udp\"\n\n\
                 [peers.crowd]\nkey = \"{peer}\"\ndir = \"{}\"\n",
                dir.display()
            ),
        )?;
        let program = || Program::new(wirehaul).env("XDG_CONFIG_HOME", home);
        let start = |program: Program| program.start(bed, Side::Destination, None, home);
        let shown = start(program().args(["key", "show"]))?.wait_for_success(PATIENCE)?;
        let key = shown.stdout.first().and_then(|line| line.trim().parse().ok());
        let key = key.ok_or(CrowdError::Silent("its key"))?;
        let process = start(program().args(["serve", "-q", "--config"]).arg(&config))?;
        let mut server = Self { process, address, key };
        server.wait_until_open()?;
        Ok(server)
    }

    fn wait_until_open(&mut self) -> Result<(), CrowdError> {
        let port = format!(":{:04X} ", self.address.port());
        let table = format!("/proc/{}/net/udp", self.process.id());
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            let is_open = |text: String| text.lines().any(|line| line.contains(&port));
            if fs::read_to_string(&table).is_ok_and(is_open) {
                return Ok(());
            }
            if self.process.poll()?.is_some() {
                break;
            }
            std::thread::sleep(POLL);
        }
        Err(CrowdError::Silent("its port"))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`CrowdError::Process`].
    pub fn stop(mut self) -> Result<Finished, CrowdError> {
        Ok(self.process.stop(PATIENCE)?)
    }
}

/// The resident memory of a process, and the most that it ever was, in bytes.
#[must_use]
pub fn memory_of(id: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    (field("VmRSS:").unwrap_or(0) * 1024, field("VmHWM:").unwrap_or(0) * 1024)
}
