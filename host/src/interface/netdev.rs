//! What XDP can do on an interface and which interrupt serves a queue, through the family "netdev"
//! (Documentation/netlink/specs/netdev.yaml, include/uapi/linux/netdev.h).

use std::collections::BTreeMap;
use std::io;

use super::attributes::{find, find_u32, u32_attribute, uint_of};
use super::generic::{Family, GenericSocket};

const DEV_GET: u8 = 1;
const QUEUE_GET: u8 = 10;
const NAPI_GET: u8 = 11;

const DEV_IFINDEX: u16 = 1;
const DEV_XDP_FEATURES: u16 = 3;
const DEV_XDP_ZC_MAX_SEGS: u16 = 4;

const QUEUE_ID: u16 = 1;
const QUEUE_IFINDEX: u16 = 2;
const QUEUE_TYPE: u16 = 3;
const QUEUE_NAPI_ID: u16 = 4;
const QUEUE_TYPE_RX: u32 = 0;

const NAPI_IFINDEX: u16 = 1;
const NAPI_ID: u16 = 2;
const NAPI_IRQ: u16 = 3;

/// `enum netdev_xdp_act`.
const ACT_BASIC: u64 = 1;
const ACT_REDIRECT: u64 = 2;
const ACT_NDO_XMIT: u64 = 4;
const ACT_XSK_ZEROCOPY: u64 = 8;
const ACT_RX_SG: u64 = 32;

/// What XDP can do on an interface, as its driver tells (kernel 6.3 on).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures {
    /// Programs run in the driver (`NETDEV_XDP_ACT_BASIC`).
    pub native: bool,
    /// They can hand packets on, such as to AF_XDP sockets (`NETDEV_XDP_ACT_REDIRECT`).
    pub redirect: bool,
    /// Packets of other interfaces can be handed to this one (`NETDEV_XDP_ACT_NDO_XMIT`).
    pub redirect_target: bool,
    /// Packets get into AF_XDP frames without a copy (`NETDEV_XDP_ACT_XSK_ZEROCOPY`).
    pub zero_copy: bool,
    /// Packets of several buffers reach programs that take them (`NETDEV_XDP_ACT_RX_SG`).
    pub multi_buffer_rx: bool,
    /// Frames that one packet may have in zero-copy mode; 1 means a packet must fit a frame. `None` where that is not told.
    pub zero_copy_max_frames: Option<u32>,
}

/// The family "netdev".
#[derive(Debug)]
struct Protocol;

impl Family for Protocol {
    const NAME: &'static str = "netdev";
    const VERSION: u8 = 1;
}

/// Asks the kernel about interfaces.
#[derive(Debug)]
pub(super) struct Netdev {
    socket: GenericSocket<Protocol>,
}

impl Netdev {
    pub(super) fn open() -> io::Result<Self> {
        GenericSocket::open().map(|socket| Self { socket })
    }

    pub(super) fn xdp_features(&self, index: u32) -> io::Result<XdpFeatures> {
        let answer = self.socket.ask(DEV_GET, u32_attribute(DEV_IFINDEX, index))?;
        features_of(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The interrupt of each receive queue that has one of its own (kernel 6.8 on).
    pub(super) fn rx_interrupts(&self, index: u32) -> io::Result<BTreeMap<u32, u32>> {
        let queues = self.socket.dump(QUEUE_GET, u32_attribute(QUEUE_IFINDEX, index))?;
        let napis = self.socket.dump(NAPI_GET, u32_attribute(NAPI_IFINDEX, index))?;
        Ok(interrupts_of(&queues, &napis))
    }
}

fn features_of(answer: &[u8]) -> Option<XdpFeatures> {
    let bits = find(answer, DEV_XDP_FEATURES).and_then(uint_of)?;
    let has = |bit| bits & bit != 0;
    Some(XdpFeatures {
        native: has(ACT_BASIC),
        redirect: has(ACT_REDIRECT),
        redirect_target: has(ACT_NDO_XMIT),
        zero_copy: has(ACT_XSK_ZEROCOPY),
        multi_buffer_rx: has(ACT_RX_SG),
        zero_copy_max_frames: find_u32(answer, DEV_XDP_ZC_MAX_SEGS),
    })
}

/// Queues name the NAPI instance that polls them, and those name their interrupts.
fn interrupts_of(queues: &[Vec<u8>], napis: &[Vec<u8>]) -> BTreeMap<u32, u32> {
    let pair = |answer: &[u8], key, value| Some((find_u32(answer, key)?, find_u32(answer, value)?));
    let irqs: BTreeMap<u32, u32> = napis.iter().filter_map(|napi| pair(napi, NAPI_ID, NAPI_IRQ)).collect();
    queues
        .iter()
        .filter(|queue| find_u32(queue, QUEUE_TYPE) == Some(QUEUE_TYPE_RX))
        .filter_map(|queue| pair(queue, QUEUE_ID, QUEUE_NAPI_ID))
        .filter_map(|(queue, napi)| Some((queue, *irqs.get(&napi)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::{DefaultNla, Emitable};

    fn answer(features: u64) -> Vec<u8> {
        let attribute = DefaultNla::new(DEV_XDP_FEATURES, features.to_ne_bytes().to_vec());
        let mut bytes = vec![0; attribute.buffer_len()];
        attribute.emit(&mut bytes);
        bytes
    }

    #[test]
    fn each_bit_is_its_own_feature() {
        assert_eq!(features_of(&answer(0)), Some(XdpFeatures::default()));
        let zero_copy = [answer(0b1011), u32_attribute(DEV_XDP_ZC_MAX_SEGS, 8)].concat();
        let expected = XdpFeatures {
            native: true,
            redirect: true,
            zero_copy: true,
            zero_copy_max_frames: Some(8),
            ..XdpFeatures::default()
        };
        assert_eq!(features_of(&zero_copy), Some(expected));
        assert!(features_of(&answer(32)).is_some_and(|features| features.multi_buffer_rx));
        assert_eq!(features_of(&[]), None);
    }

    #[test]
    fn receive_queues_are_joined_with_interrupts_through_their_napi() {
        let queue = |id, kind, napi| {
            [u32_attribute(QUEUE_ID, id), u32_attribute(QUEUE_TYPE, kind), u32_attribute(QUEUE_NAPI_ID, napi)].concat()
        };
        let napi = |id, irq| [u32_attribute(NAPI_ID, id), u32_attribute(NAPI_IRQ, irq)].concat();
        let queues = [queue(0, QUEUE_TYPE_RX, 70), queue(1, QUEUE_TYPE_RX, 71), queue(0, 1, 70), vec![1, 2]];
        let found = interrupts_of(&queues, &[napi(70, 30), u32_attribute(NAPI_ID, 71)]);
        assert_eq!(found, BTreeMap::from([(0, 30)]));
    }
}
