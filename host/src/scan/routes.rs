//! The ways of a survey's targets, from the kernel's tables as they stand when it starts (SCAN-7).
//!
//! ```text
//! kernel   routes, neighbours and sources over rtnetlink(7)      choice   which interface, and whether all targets leave by it
//! ```

mod choice;
mod kernel;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;

use wirehaul_core::cdn::prefix::{Address, Span};
use wirehaul_core::scan::{Hop, LinkKind, Routes};
use wirehaul_core::wire::net::MacAddress;

use crate::interface::{Interface, InterfaceError};
use choice::{Chosen, Faulty};
use kernel::{Kernel, Kind};
#[cfg(test)]
use kernel::{Known, Way};

/// Why targets cannot be surveyed from here.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// There is none of that name.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// It is down.
    #[error("{0} is down: `ip link set dev {0} up`")]
    Down(String),
    /// The kernel does not tell.
    #[error("the kernel does not tell its routes: {0}")]
    Kernel(#[source] io::Error),
    /// No table has a way.
    #[error("there is no route to {0}: leave it out (--exclude-file), or add one (`ip route`)")]
    NoRoute(Targets),
    /// The way leads through another interface.
    #[error(
        "{targets} is reached through {other}, not {interface}: survey it with `--iface {other}`, apart from the others, or leave \
         it out (--exclude-file)"
    )]
    Elsewhere {
        /// The targets.
        targets: Targets,
        /// Where they are.
        other: String,
        /// Where they should be.
        interface: String,
    },
    /// It is this host.
    #[error("{0} is this host: survey it with `--iface lo`, or leave it out (--exclude-file)")]
    Local(Targets),
    /// It is no host.
    #[error("{0} is the address of a whole network, not of a host: leave it out (--exclude-file)")]
    NotUnicast(Targets),
    /// We have no address to ask from.
    #[error("{interface} has no address that {targets} could answer to: `ip address add ... dev {interface}`")]
    NoSource {
        /// The targets.
        targets: Targets,
        /// Our interface.
        interface: String,
    },
}

/// Targets from one to another, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl Targets {
    fn of<A: Address>(span: Span<A>) -> Self {
        Self { first: span.first.ip(), last: span.last.ip() }
    }
}

impl std::fmt::Display for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// The ways of all targets through one interface.
#[derive(Clone, Debug)]
pub struct RouteTable {
    interface: Interface,
    v4: Vec<(Span<u32>, u16)>,
    v6: Vec<(Span<u128>, u16)>,
    hops: Vec<Hop>,
    pinned: Vec<(IpAddr, MacAddress)>,
    left_out: Vec<Targets>,
}

impl RouteTable {
    /// Finds them: through the interface of this name, or the one that the first target is behind. The targets are sorted and
    /// disjoint.
    ///
    /// Addresses of this host, and those of a whole network, are left out where they are within a span of others; see
    /// [`RouteTable::left_out`].
    ///
    /// # Errors
    /// [`RouteError`] names the first targets that cannot be surveyed so.
    pub fn find(name: Option<&str>, v4: &[Span<u32>], v6: &[Span<u128>]) -> Result<Self, RouteError> {
        let mut kernel = Kernel::open().map_err(RouteError::Kernel)?;
        let named = name.map(Interface::by_name).transpose()?;
        let ways =
            choice::Ways::of(&kernel.routes().map_err(RouteError::Kernel)?, named.as_ref().map(|named| named.index));
        let interface = match named {
            Some(named) => named,
            None => Interface::by_index(ways.interface_of(v4, v6)?)?,
        };
        if !interface.is_up {
            return Err(RouteError::Down(interface.name));
        }
        let ports = kernel.ports(&interface).map_err(RouteError::Kernel)?;
        let chosen = ways.choose(&interface, &ports, v4, v6).map_err(|faulty| in_words(faulty, &interface))?;
        Self::of(interface, chosen, &mut kernel, &ports)
    }

    fn of(interface: Interface, chosen: Chosen, kernel: &mut Kernel, ports: &[Port]) -> Result<Self, RouteError> {
        let mut hops = Vec::with_capacity(chosen.ways.len());
        let mut pinned = kernel.lasting_neighbours(ports).map_err(RouteError::Kernel)?;
        for (way, sample) in &chosen.ways {
            let port = ports.iter().find(|port| way.interface == Some(port.index));
            let Some(port) = port else { continue };
            let told = kernel.source(sample.first, port.index).map_err(RouteError::Kernel)?;
            let source = told
                .or(way.source)
                .ok_or_else(|| RouteError::NoSource { targets: *sample, interface: interface.name.clone() })?;
            let mut hop =
                Hop { gateway: way.gateway, source, ether_source: port.mac, vlan: port.vlan, link: port.link };
            if interface.is_loopback {
                // Nobody answers there to who has an address: all have the same, which is zero.
                hop.gateway = Some(source);
                pinned.push((source, MacAddress::default()));
            } else if let Some(gateway) = way.gateway
                && let Some(mac) = kernel.neighbour(gateway, port.index).map_err(RouteError::Kernel)?
            {
                pinned.push((gateway, mac));
            }
            hops.push(hop);
        }
        Ok(Self { interface, v4: chosen.v4, v6: chosen.v6, hops, pinned, left_out: chosen.left_out })
    }

    /// The interface that all leave by.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The ways, for the core.
    #[must_use]
    pub fn routes(&self) -> Option<Routes<'_>> {
        Routes::new(&self.v4, &self.v6, &self.hops)
    }

    /// Our addresses that probes come from.
    #[must_use]
    pub fn sources(&self) -> Vec<IpAddr> {
        let mut sources: Vec<_> = self.hops.iter().map(|hop| hop.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Neighbours whose link-layer addresses are known: those that were set by hand, and routers that answered lately.
    #[must_use]
    pub fn pinned(&self) -> &[(IpAddr, MacAddress)] {
        &self.pinned
    }

    /// Targets that are not probed, because they are this host or a whole network, and lie within others.
    #[must_use]
    pub fn left_out(&self) -> &[Targets] {
        &self.left_out
    }
}

/// Our interface, or a VLAN on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    index: u32,
    mac: MacAddress,
    vlan: Option<u16>,
    link: LinkKind,
}

fn in_words(faulty: Faulty, interface: &Interface) -> RouteError {
    let Faulty { targets, way } = faulty;
    match way.map(|way| (way.kind, way.interface)) {
        Some((Kind::Unicast, Some(index))) => {
            // The wrapper gives no error where the index is unknown, but an empty name.
            let name = nix::net::if_::if_indextoname(index).ok().filter(|name| !name.is_empty());
            let name = name.map(|name| name.to_string_lossy().into_owned());
            let other = name.unwrap_or_else(|| format!("the interface with index {index}"));
            RouteError::Elsewhere { targets, other, interface: interface.name.clone() }
        }
        Some((Kind::Local, _)) => RouteError::Local(targets),
        Some((Kind::NotUnicast, _)) => RouteError::NotUnicast(targets),
        _ => RouteError::NoRoute(targets),
    }
}
