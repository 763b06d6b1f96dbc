//! What the kernel tells of a link over rtnetlink(7).

use std::io;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
};

use super::{AttachedProgram, XdpMode};
use crate::netlink::RouteSocket;

/// A link, with indices where an [`super::Interface`] has names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: u32,
    pub(super) is_up: bool,
    pub(super) has_carrier: bool,
    pub(super) is_loopback: bool,
    pub(super) is_ethernet: bool,
    pub(super) kind: Option<String>,
    pub(super) master: Option<u32>,
    pub(super) port_kind: Option<String>,
    pub(super) parent: Option<u32>,
    pub(super) vlan_id: Option<u16>,
    pub(super) qdisc: Option<String>,
    pub(super) xdp: Vec<AttachedProgram>,
    pub(super) rx_queues: u32,
    pub(super) tx_queues: u32,
}

/// Which link.
pub(super) enum Which<'a> {
    Name(&'a str),
    Index(u32),
}

/// Asks for one; `None` where there is none.
pub(super) fn one(which: &Which<'_>) -> io::Result<Option<Link>> {
    let mut request = request();
    match which {
        Which::Name(name) => request.attributes.push(LinkAttribute::IfName((*name).to_owned())),
        Which::Index(index) => request.header.index = *index,
    }
    let mut found = None;
    let asked = RouteSocket::open()?.ask(RouteNetlinkMessage::GetLink(request), 0, |answer| {
        if let RouteNetlinkMessage::NewLink(message) = answer {
            found = Some(link_of(&message));
        }
    });
    match asked {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        asked => asked.map(|()| found),
    }
}

/// Asks for all of this network namespace.
pub(super) fn all() -> io::Result<Vec<Link>> {
    let mut found = Vec::new();
    RouteSocket::open()?.ask(RouteNetlinkMessage::GetLink(request()), NLM_F_DUMP, |answer| {
        if let RouteNetlinkMessage::NewLink(message) = answer {
            found.push(link_of(&message));
        }
    })?;
    Ok(found)
}

fn request() -> LinkMessage {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    request
}

fn link_of(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        is_up: flags.contains(LinkFlags::Up),
        has_carrier: flags.contains(LinkFlags::LowerUp),
        is_loopback: flags.contains(LinkFlags::Loopback),
        is_ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(address) => link.mac = address.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(index) => link.master = Some(*index),
            LinkAttribute::Qdisc(name) => link.qdisc = Some(name.clone()),
            LinkAttribute::Link(index) => link.parent = Some(*index),
            LinkAttribute::NumRxQueues(count) => link.rx_queues = *count,
            LinkAttribute::NumTxQueues(count) => link.tx_queues = *count,
            LinkAttribute::Xdp(xdp) => link.xdp = xdp.iter().filter_map(program_of).collect(),
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| take_info(&mut link, info)),
            _ => {}
        }
    }
    link
}

fn take_info(link: &mut Link, info: &LinkInfo) {
    match info {
        LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
        LinkInfo::PortKind(kind) => link.port_kind = Some(kind.to_string()),
        LinkInfo::Data(InfoData::Vlan(data)) => {
            link.vlan_id = data.iter().find_map(|attribute| match attribute {
                InfoVlan::Id(id) => Some(*id),
                _ => None,
            });
        }
        _ => {}
    }
}

/// Each mode has an attribute of its own; `IFLA_XDP_PROG_ID` repeats one of them.
fn program_of(attribute: &LinkXdp) -> Option<AttachedProgram> {
    let (mode, id) = match attribute {
        LinkXdp::DrvProgId(id) => (XdpMode::Native, *id),
        LinkXdp::SkbProgId(id) => (XdpMode::Generic, *id),
        LinkXdp::HwProgId(id) => (XdpMode::Offload, *id),
        _ => return None,
    };
    Some(AttachedProgram { mode, id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::{InfoKind, InfoPortKind, XdpAttached};

    #[test]
    fn flags_and_attributes_become_facts() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        message.attributes = vec![
            LinkAttribute::IfName("eth0.5".to_owned()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Mtu(9000),
            LinkAttribute::Link(3),
            LinkAttribute::Controller(4),
            LinkAttribute::NumRxQueues(16),
            LinkAttribute::Xdp(vec![
                LinkXdp::Attached(XdpAttached::Multiple),
                LinkXdp::ProgId(11),
                LinkXdp::DrvProgId(11),
                LinkXdp::SkbProgId(12),
            ]),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(5)])),
                LinkInfo::PortKind(InfoPortKind::Bridge),
            ]),
        ];
        let link = link_of(&message);
        assert_eq!((link.name.as_str(), link.index, link.mtu), ("eth0.5", 7, 9000));
        assert_eq!((link.mac, link.rx_queues), (Some([2, 0, 0, 0, 0, 1]), 16));
        assert!(link.is_up && link.has_carrier && link.is_ethernet && !link.is_loopback);
        assert_eq!((link.kind.as_deref(), link.vlan_id, link.parent), (Some("vlan"), Some(5), Some(3)));
        assert_eq!((link.master, link.port_kind.as_deref()), (Some(4), Some("bridge")));
        let native = AttachedProgram { mode: XdpMode::Native, id: 11 };
        assert_eq!(link.xdp, [native, AttachedProgram { mode: XdpMode::Generic, id: 12 }]);
    }

    #[test]
    fn a_link_that_says_nothing_is_down_and_without_programs() {
        let link = link_of(&LinkMessage::default());
        assert_eq!(link, Link { is_ethernet: link.is_ethernet, ..Link::default() });
    }

    #[test]
    fn an_index_that_no_link_has_is_none() {
        assert_eq!(one(&Which::Index(0x7fff_fffe)).unwrap(), None);
    }
}
