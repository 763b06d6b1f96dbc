//! Where a run takes place: two namespaces as root, the loopback device otherwise.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::netns::{MTU_BYTES, NamespacePair, Side};

/// Ports inside the namespaces, where nobody else is, are counted up from here.
const FIRST_PORT: u16 = 40_000;

/// The two places a transfer goes between.
#[derive(Debug)]
pub enum Testbed {
    /// Two network namespaces joined by a veth pair: what the figures are stated for.
    Namespaces(NamespacePair),
    /// This host's loopback device, with its 64 KiB MTU, and why the namespaces were not to be had.
    Loopback {
        /// One line for the report.
        reason: String,
    },
}

impl Testbed {
    /// Namespaces where they can be made, the loopback device otherwise or when it is asked for.
    pub fn best_available(force_loopback: bool) -> Self {
        if force_loopback {
            return Self::Loopback { reason: "asked for".to_owned() };
        }
        if !nix::unistd::geteuid().is_root() {
            return Self::Loopback { reason: "network namespaces need root".to_owned() };
        }
        match NamespacePair::create() {
            Ok(pair) => Self::Namespaces(pair),
            Err(error) => Self::Loopback { reason: error.to_string() },
        }
    }

    /// One line that says where this is.
    pub fn describe(&self) -> String {
        match self {
            Self::Namespaces(_) => {
                format!("two network namespaces joined by a veth pair, MTU {MTU_BYTES} bytes")
            }
            Self::Loopback { reason } => format!("loopback, MTU 65536 bytes, no namespaces ({reason})"),
        }
    }

    /// The address of one side.
    pub fn address(&self, side: Side) -> IpAddr {
        match self {
            Self::Namespaces(pair) => pair.address(side),
            Self::Loopback { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The address of one side with a port that nobody listens on.
    ///
    /// # Errors
    /// On loopback, what the operating system says when it has no free port.
    pub fn free_endpoint(&self, side: Side) -> std::io::Result<SocketAddr> {
        static NEXT_PORT: AtomicU16 = AtomicU16::new(FIRST_PORT);
        match self {
            Self::Namespaces(pair) => {
                Ok(SocketAddr::new(pair.address(side), NEXT_PORT.fetch_add(1, Ordering::Relaxed)))
            }
            Self::Loopback { .. } => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr(),
        }
    }

    /// A command that will run on one side. The process keeps its id through `ip netns exec`.
    pub fn command(&self, side: Side, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Namespaces(pair) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &pair.name(side)]).arg(program);
                command
            }
            Self::Loopback { .. } => Command::new(program),
        }
    }
}
