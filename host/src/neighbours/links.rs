//! The interfaces of this namespace, as far as they matter to what leaves through ours.

use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
use wirehaul_core::hops::Port;

use super::LinkState;

/// What of an interface's flags decides about routes.
const FLAGS: LinkFlags = LinkFlags::Up.union(LinkFlags::LowerUp).union(LinkFlags::Running).union(LinkFlags::Noarp);

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    index: u32,
    flags: LinkFlags,
    ether: Option<[u8; 6]>,
    mtu: u32,
    /// The limit of IPv6, which a router may announce.
    mtu_v6: Option<u32>,
    /// The bridge, bond or VRF that it is part of.
    controller: Option<u32>,
    /// The interface that it lies on, in this namespace.
    parent: Option<u32>,
    /// Of 802.1Q, if it is one.
    vlan: Option<u16>,
}

impl Link {
    fn of(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            flags: message.header.flags & FLAGS,
            ether: None,
            mtu: 0,
            mtu_v6: None,
            controller: None,
            parent: None,
            vlan: None,
        };
        let mut parent_is_elsewhere = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => link.ether = bytes.as_slice().try_into().ok(),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::AfSpecUnspec(families) => link.mtu_v6 = mtu_v6(families),
                LinkAttribute::Controller(index) => link.controller = Some(*index),
                LinkAttribute::Link(index) => link.parent = Some(*index),
                LinkAttribute::LinkNetNsId(_) => parent_is_elsewhere = true,
                LinkAttribute::LinkInfo(infos) => link.vlan = vlan(infos),
                _ => {}
            }
        }
        if parent_is_elsewhere {
            link.parent = None;
        }
        link
    }

    /// `None` where it is no Ethernet.
    pub(super) fn state(&self) -> Option<LinkState> {
        Some(LinkState {
            mtu: self.mtu,
            is_up: self.flags.contains(LinkFlags::Up),
            has_carrier: self.flags.contains(LinkFlags::LowerUp),
            mac: self.ether?,
        })
    }
}

fn mtu_v6(families: &[AfSpecUnspec]) -> Option<u32> {
    families.iter().find_map(|family| match family {
        AfSpecUnspec::Inet6(facts) => facts.iter().find_map(|fact| match fact {
            AfSpecInet6::DevConf(configuration) => u32::try_from(configuration.mtu6).ok(),
            _ => None,
        }),
        _ => None,
    })
}

fn vlan(infos: &[LinkInfo]) -> Option<u16> {
    let facts = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(facts)) => Some(facts),
        _ => None,
    })?;
    let protocol = InfoVlan::Protocol(VlanProtocol::Ieee8021Q);
    let id = facts.iter().find_map(|fact| match fact {
        InfoVlan::Id(id) => Some(*id),
        _ => None,
    });
    id.filter(|_| facts.contains(&protocol))
}

/// All interfaces; one of them is ours.
#[derive(Debug)]
pub(super) struct Links {
    ours: u32,
    all: Vec<Link>,
}

impl Links {
    pub(super) const fn new(ours: u32) -> Self {
        Self { ours, all: Vec::new() }
    }

    pub(super) const fn our_index(&self) -> u32 {
        self.ours
    }

    pub(super) fn ours(&self) -> Option<&Link> {
        self.by_index(self.ours)
    }

    fn by_index(&self, index: u32) -> Option<&Link> {
        self.all.iter().find(|link| link.index == index)
    }

    /// Takes in what a message says, and returns whether that is news.
    pub(super) fn apply(&mut self, message: &LinkMessage) -> bool {
        let link = Link::of(message);
        match self.all.iter_mut().find(|known| known.index == link.index) {
            Some(known) if *known == link => false,
            Some(known) => {
                *known = link;
                true
            }
            None => {
                self.all.push(link);
                true
            }
        }
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.all.retain(|link| link.index != index);
    }

    pub(super) fn forget(&mut self) {
        self.all.clear();
    }

    /// Ours, or a VLAN right on it.
    pub(super) fn port(&self, interface: u32) -> Option<Port> {
        let link = self.by_index(interface)?;
        let is_vlan_on_ours = link.vlan.is_some() && link.parent == Some(self.ours);
        if interface != self.ours && !is_vlan_on_ours {
            return None;
        }
        let mtu_v6 = link.mtu_v6.map_or(link.mtu, |limit| limit.min(link.mtu));
        // What ours is itself stands in no tag of our frames: where it is a VLAN, the kernel adds that.
        let vlan = link.vlan.filter(|_| interface != self.ours);
        Some(Port { ether_source: link.ether?, vlan, mtu_v4: link.mtu, mtu_v6 })
    }
}
