//! Two network namespaces joined by a veth pair: two hosts with a 1500-byte MTU between them, on one machine.
//!
//! Made with the `ip` command of iproute2, which needs root. The names carry the process id, so that several runs
//! can go on beside each other; what a killed run left behind is removed by the next one.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

/// Every name made here starts so; what follows is the id of the process that made it.
const NAME_PREFIX: &str = "whb";
/// The MTU of the path between the two namespaces: Ethernet's.
pub const MTU_BYTES: u32 = 1500;

/// Why the namespaces could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The `ip` command is not there or could not be started.
    #[error("the command `ip` could not be started ({0}); install the package iproute2")]
    NoIpCommand(std::io::Error),
    /// The `ip` command said no: mostly for want of privilege.
    #[error("`ip {command}` failed: {message}")]
    Refused {
        /// The arguments it was given.
        command: String,
        /// What it wrote to its standard error.
        message: String,
    },
}

/// The two ends of the pair, named for the way the data go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the data come from.
    Source,
    /// Where they go to.
    Destination,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Source, Self::Destination];

    fn letter(self) -> char {
        match self {
            Self::Source => 's',
            Self::Destination => 'd',
        }
    }

    /// The address of this side inside its namespace.
    fn address(self) -> Ipv4Addr {
        match self {
            Self::Source => Ipv4Addr::new(10, 77, 0, 1),
            Self::Destination => Ipv4Addr::new(10, 77, 0, 2),
        }
    }
}

/// Two joined namespaces, removed when this value is dropped.
#[derive(Debug)]
pub struct NamespacePair {
    process_id: u32,
}

impl NamespacePair {
    /// Makes both namespaces, the veth pair between them and their addresses, and brings everything up.
    ///
    /// # Errors
    /// [`NetnsError`]; nothing is left behind then.
    pub fn create() -> Result<Self, NetnsError> {
        remove_leftovers();
        // From here on a failure drops `pair`, which removes whatever was made.
        let pair = Self { process_id: std::process::id() };
        for side in Side::BOTH {
            ip(&["netns", "add", &pair.name(side)])?;
        }
        let (source, destination) = (pair.name(Side::Source), pair.name(Side::Destination));
        ip(&[
            "link",
            "add",
            "veth0",
            "netns",
            &source,
            "type",
            "veth",
            "peer",
            "name",
            "veth0",
            "netns",
            &destination,
        ])?;
        for side in Side::BOTH {
            let name = pair.name(side);
            let address = format!("{}/24", side.address());
            ip(&["-n", &name, "address", "add", &address, "dev", "veth0"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&["-n", &name, "link", "set", "veth0", "mtu", &MTU_BYTES.to_string(), "up"])?;
        }
        Ok(pair)
    }

    /// The name of one side's namespace, as `ip netns` lists it.
    pub fn name(&self, side: Side) -> String {
        format!("{NAME_PREFIX}{}{}", self.process_id, side.letter())
    }

    /// Runs the `ip` command in one side's namespace and gives its standard output.
    ///
    /// # Errors
    /// [`NetnsError`].
    pub fn ip(&self, side: Side, arguments: &[&str]) -> Result<String, NetnsError> {
        let name = self.name(side);
        ip(&[&["-n", name.as_str()], arguments].concat())
    }

    /// The name of the network interface between the two, in both namespaces.
    pub const INTERFACE: &str = "veth0";

    /// The address of one side, reachable from the other.
    pub fn address(&self, side: Side) -> IpAddr {
        side.address().into()
    }
}

impl Drop for NamespacePair {
    fn drop(&mut self) {
        for side in Side::BOTH {
            // A namespace that was never made is not worth a message; its veth end goes with it.
            let _ = ip(&["netns", "delete", &self.name(side)]);
        }
    }
}

/// Removes the namespaces of runs whose process is no more (they were killed before they could tidy up).
fn remove_leftovers() {
    let Ok(list) = ip(&["netns", "list"]) else { return };
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(NAME_PREFIX).map(|rest| rest.trim_end_matches(['s', 'd']));
        let Some(process_id) = owner.and_then(|digits| digits.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{process_id}")).exists() {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// Runs the `ip` command and gives its standard output.
fn ip(arguments: &[&str]) -> Result<String, NetnsError> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().map_err(NetnsError::NoIpCommand)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NetnsError::Refused { command: arguments.join(" "), message })
}
