//! What a driver tells through the family "ethtool": channels, offloads, how packets are spread over queues
//! (Documentation/networking/ethtool-netlink.rst; numbers from include/uapi/linux/ethtool_netlink.h).

use std::collections::BTreeSet;
use std::io;

use super::attributes::{each, find, find_u32, nest, text_of, u32_attribute, u32_of, uint_of};
use super::generic::{Family, GenericSocket};

const FEATURES_GET: u8 = 11;
const CHANNELS_GET: u8 = 17;
const RSS_GET: u8 = 38;

/// The header stands first in every call, and holds the interface's index.
const HEADER: u16 = 1;
const HEADER_DEV_INDEX: u16 = 1;

const CHANNELS_RX_MAX: u16 = 2;
const CHANNELS_TX_MAX: u16 = 3;
const CHANNELS_COMBINED_MAX: u16 = 5;
const CHANNELS_RX_COUNT: u16 = 6;
const CHANNELS_TX_COUNT: u16 = 7;
const CHANNELS_COMBINED_COUNT: u16 = 9;

const FEATURES_HW: u16 = 2;
const FEATURES_ACTIVE: u16 = 4;
const BITSET_NOMASK: u16 = 1;
const BITSET_BITS: u16 = 3;
const BITSET_BIT_NAME: u16 = 2;
const BITSET_BIT_VALUE: u16 = 3;

const RSS_INDIR: u16 = 4;
const RSS_FLOW_HASH: u16 = 8;
const FLOW_UDP4: u16 = 5;
const FLOW_UDP6: u16 = 9;
/// `RXH_IP_SRC`, `RXH_IP_DST`, `RXH_L4_B_0_1`, `RXH_L4_B_2_3` (include/uapi/linux/ethtool.h).
const HASH_ADDRESSES: u64 = 0x30;
const HASH_PORTS: u64 = 0xc0;

/// The channels of a card: what `ethtool -l` prints. A channel is an interrupt with its queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// That only receive.
    pub rx: ChannelCount,
    /// That only send.
    pub tx: ChannelCount,
    /// That do both.
    pub combined: ChannelCount,
}

/// How many channels of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCount {
    /// In use now.
    pub current: u32,
    /// That the card has.
    pub max: u32,
}

/// An offload, which may be on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Whether it is on.
    pub on: bool,
    /// Whether it stays as it is, whatever one asks for.
    pub fixed: bool,
}

/// The offloads that matter to packets which the kernel's stack does not see: what `ethtool -k` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Merging in the kernel (`rx-gro`): after XDP, so harmless to it.
    pub rx_gro: Offload,
    /// Merging in the card so that it can be undone (`rx-gro-hw`).
    pub rx_gro_hw: Offload,
    /// Merging in the card (`rx-lro`).
    pub rx_lro: Offload,
    /// Checksums checked by the card (`rx-checksum`).
    pub rx_checksum: Offload,
    /// Checksums left to the card, or on a virtual link to nobody (any of `tx-checksum-*`).
    pub tx_checksum: Offload,
    /// VLAN tags taken out of the packet (`rx-vlan-hw-parse`).
    pub rx_vlan_strip: Offload,
    /// Rules that steer packets to queues (`rx-ntuple-filter`).
    pub ntuple: Offload,
}

/// How packets are spread over receive queues: what `ethtool -x` and `ethtool -n IF rx-flow-hash udp4` print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rss {
    /// The queue of each value of the hash, in the order of the values.
    pub indirection: Vec<u32>,
    /// What is hashed of UDP over IPv4; `None` where kernel or driver do not tell (the kernel does from 6.17 on).
    pub udp4: Option<HashedFields>,
    /// The same over IPv6.
    pub udp6: Option<HashedFields>,
}

/// What of a packet is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedFields {
    /// Both addresses: `sd`.
    pub addresses: bool,
    /// Both ports: `fn`.
    pub ports: bool,
}

/// The family "ethtool".
#[derive(Debug)]
struct Protocol;

impl Family for Protocol {
    const NAME: &'static str = "ethtool";
    const VERSION: u8 = 1;
}

/// Asks drivers.
#[derive(Debug)]
pub(super) struct Ethtool {
    socket: GenericSocket<Protocol>,
}

impl Ethtool {
    pub(super) fn open() -> io::Result<Self> {
        GenericSocket::open().map(|socket| Self { socket })
    }

    pub(super) fn channels(&self, index: u32) -> io::Result<Channels> {
        self.ask(CHANNELS_GET, index).map(|answer| channels_of(&answer))
    }

    pub(super) fn offloads(&self, index: u32) -> io::Result<Offloads> {
        self.ask(FEATURES_GET, index).map(|answer| offloads_of(&answer))
    }

    pub(super) fn rss(&self, index: u32) -> io::Result<Rss> {
        self.ask(RSS_GET, index).map(|answer| rss_of(&answer))
    }

    fn ask(&self, command: u8, index: u32) -> io::Result<Vec<u8>> {
        self.socket.ask(command, nest(HEADER, u32_attribute(HEADER_DEV_INDEX, index)))
    }
}

fn channels_of(answer: &[u8]) -> Channels {
    let count = |current, max| ChannelCount {
        current: find_u32(answer, current).unwrap_or(0),
        max: find_u32(answer, max).unwrap_or(0),
    };
    Channels {
        rx: count(CHANNELS_RX_COUNT, CHANNELS_RX_MAX),
        tx: count(CHANNELS_TX_COUNT, CHANNELS_TX_MAX),
        combined: count(CHANNELS_COMBINED_COUNT, CHANNELS_COMBINED_MAX),
    }
}

fn offloads_of(answer: &[u8]) -> Offloads {
    let names = |kind| find(answer, kind).map(names_in).unwrap_or_default();
    let (changeable, active) = (names(FEATURES_HW), names(FEATURES_ACTIVE));
    let any = |matches: &dyn Fn(&str) -> bool| Offload {
        on: active.iter().any(|name| matches(name)),
        fixed: !changeable.iter().any(|name| matches(name)),
    };
    let offload = |name: &str| any(&|other| other == name);
    Offloads {
        rx_gro: offload("rx-gro"),
        rx_gro_hw: offload("rx-gro-hw"),
        rx_lro: offload("rx-lro"),
        rx_checksum: offload("rx-checksum"),
        tx_checksum: any(&|name| matches!(name, "tx-checksum-ipv4" | "tx-checksum-ip-generic" | "tx-checksum-ipv6")),
        rx_vlan_strip: offload("rx-vlan-hw-parse"),
        ntuple: offload("rx-ntuple-filter"),
    }
}

/// The names of the bits that are set. A set without a mask lists just these; one with a mask marks them.
fn names_in(bitset: &[u8]) -> BTreeSet<String> {
    let is_list = find(bitset, BITSET_NOMASK).is_some();
    let bits = find(bitset, BITSET_BITS).unwrap_or_default();
    each(bits)
        .filter(|(_, bit)| is_list || find(bit, BITSET_BIT_VALUE).is_some())
        .filter_map(|(_, bit)| find(bit, BITSET_BIT_NAME).and_then(text_of).map(str::to_owned))
        .collect()
}

fn rss_of(answer: &[u8]) -> Rss {
    let table = find(answer, RSS_INDIR).unwrap_or_default();
    let hash = find(answer, RSS_FLOW_HASH).unwrap_or_default();
    let fields = |kind| {
        let bits = find(hash, kind).and_then(uint_of)?;
        let has = |all| bits & all == all;
        Some(HashedFields { addresses: has(HASH_ADDRESSES), ports: has(HASH_PORTS) })
    };
    Rss {
        indirection: table.chunks_exact(4).filter_map(u32_of).collect(),
        udp4: fields(FLOW_UDP4),
        udp6: fields(FLOW_UDP6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::{DefaultNla, Emitable};

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let attribute = DefaultNla::new(kind, value.to_vec());
        let mut bytes = vec![0; attribute.buffer_len()];
        attribute.emit(&mut bytes);
        bytes
    }

    fn bit(name: &str, is_set: bool) -> Vec<u8> {
        let mut inner = attribute(BITSET_BIT_NAME, format!("{name}\0").as_bytes());
        if is_set {
            inner.extend(attribute(BITSET_BIT_VALUE, &[]));
        }
        nest(1, inner)
    }

    #[test]
    fn channels_that_are_not_told_count_as_none() {
        let answer = [u32_attribute(CHANNELS_COMBINED_MAX, 8), u32_attribute(CHANNELS_COMBINED_COUNT, 4)].concat();
        let combined = ChannelCount { current: 4, max: 8 };
        assert_eq!(channels_of(&answer), Channels { combined, ..Channels::default() });
        assert_eq!(channels_of(&[]), Channels::default());
    }

    #[test]
    fn offloads_are_told_by_name_and_those_that_stay_are_fixed() {
        let list = |names: &[&str]| {
            let bits = names.iter().flat_map(|name| bit(name, false)).collect();
            [attribute(BITSET_NOMASK, &[]), nest(BITSET_BITS, bits)].concat()
        };
        let answer = [
            nest(FEATURES_HW, nest(BITSET_BITS, [bit("rx-gro", true), bit("rx-lro", false)].concat())),
            nest(FEATURES_ACTIVE, list(&["rx-gro", "tx-checksum-ip-generic", "rx-vlan-hw-parse"])),
        ];
        let offloads = offloads_of(&answer.concat());
        assert_eq!(offloads.rx_gro, Offload { on: true, fixed: false });
        assert_eq!(offloads.rx_lro, Offload { on: false, fixed: true });
        assert_eq!(offloads.tx_checksum, Offload { on: true, fixed: true });
        assert_eq!(offloads.rx_vlan_strip, Offload { on: true, fixed: true });
        assert_eq!(offloads.ntuple, Offload { on: false, fixed: true });
    }

    #[test]
    fn the_table_of_queues_and_what_is_hashed() {
        let table: Vec<u8> = [0_u32, 1, 0, 1].iter().flat_map(|queue| queue.to_ne_bytes()).collect();
        let hash = [u32_attribute(FLOW_UDP4, 0xf0), u32_attribute(FLOW_UDP6, 0x30)].concat();
        let rss = rss_of(&[attribute(RSS_INDIR, &table), nest(RSS_FLOW_HASH, hash)].concat());
        assert_eq!(rss.indirection, [0, 1, 0, 1]);
        assert_eq!(rss.udp4, Some(HashedFields { addresses: true, ports: true }));
        assert_eq!(rss.udp6, Some(HashedFields { addresses: true, ports: false }));
        assert_eq!(rss_of(&[]), Rss::default());
    }
}
