//! How frames have to be for an interface, without one (XDP-3, XDP-10).

use crate::interface::{Master, XdpFeatures};

use super::*;

fn card(mtu: u32) -> Interface {
    let xdp_features = Some(XdpFeatures {
        multi_buffer_rx: true,
        zero_copy: true,
        zero_copy_max_frames: Some(17),
        ..XdpFeatures::default()
    });
    Interface { name: "eth0".to_owned(), mtu, is_up: true, is_ethernet: true, xdp_features, ..Interface::default() }
}

const MODES: [Mode; 3] = [Mode::ZeroCopy, Mode::Copy, Mode::Generic];

/// Whatever comes fits into the chunks that it may come in, with the kernel's headroom and two VLAN tags; and the filter lets
/// all of it in.
#[test]
fn what_an_mtu_allows_fits_into_frames() {
    for mtu in (68..9300).chain([576, 1280, 1500, 9216]) {
        for mode in MODES {
            let interface = card(mtu);
            let shape = Shape::of(&interface, mode).unwrap();
            let size = shape.umem_size(1);
            let chunks = if shape.is_multi_buffer { JUMBO_CHUNKS } else { 1 };
            assert_eq!(size.chunks_per_transmit, chunks);
            assert!(
                matches!(shape.chunk_bytes, 2048 | 4096) && mtu + LINK_BYTES <= chunks * shape.chunk_bytes,
                "{mtu}"
            );
            // An IPv4 packet has the longer datagram.
            assert!(u32::from(shape.longest_datagram(&interface)) >= mtu - IPV4_BYTES, "{mtu}");
            assert_eq!(shape.socket(0, 1).multi_buffer, shape.is_multi_buffer);
        }
    }
}

/// A driver that takes no packets in several buffers: the MTU that would fit is said.
#[test]
fn an_mtu_that_does_not_fit_is_refused_with_one_that_does() {
    let mut interface = card(9000);
    interface.xdp_features = Some(XdpFeatures { zero_copy: true, ..XdpFeatures::default() });
    for mode in [Mode::ZeroCopy, Mode::Copy] {
        let error = Shape::of(&interface, mode).unwrap_err();
        let OpenError::Mtu { limit, .. } = error else { panic!("{error}") };
        assert!(error.to_string().contains(&format!("`ip link set dev eth0 mtu {limit}`")), "{error}");
        let fits = Interface { mtu: limit, ..interface.clone() };
        assert!(!Shape::of(&fits, mode).unwrap().is_multi_buffer);
        let does_not = Interface { mtu: limit + 1, ..interface.clone() };
        assert!(matches!(Shape::of(&does_not, mode), Err(OpenError::Mtu { .. })));
    }
    // The kernel puts them into several buffers itself.
    assert!(Shape::of(&interface, Mode::Generic).unwrap().is_multi_buffer);
}

/// Nothing is between a virtual interface and a peer on the same machine that would cut what the peer has not.
#[test]
fn on_a_virtual_interface_the_generic_mode_takes_no_more_than_ordinary_datagrams() {
    let interface = Interface { kind: Some("veth".to_owned()), ..card(9000) };
    for (mode, longest) in [(Mode::Copy, 3 * 4096 - 278 - 40), (Mode::Generic, 1480)] {
        assert_eq!(Shape::of(&interface, mode).unwrap().longest_datagram(&interface), longest);
    }
}

#[test]
fn interfaces_that_will_not_do_say_what_to_change() {
    let master = Some(Master { name: "br0".to_owned(), kind: "bridge".to_owned() });
    for (interface, words) in [
        (Interface { is_ethernet: false, ..card(1500) }, "eth0 is no Ethernet interface"),
        (Interface { is_up: false, ..card(1500) }, "`ip link set dev eth0 up`"),
        (Interface { master, ..card(1500) }, "port of the bridge br0"),
    ] {
        for mode in MODES {
            let said = Shape::of(&interface, mode).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}

/// With many queues each has fewer frames, so that all of them have about as many as one queue would.
#[test]
fn frames_to_receive_into_are_shared_by_the_queues() {
    let shape = Shape::of(&card(1500), Mode::Copy).unwrap();
    for (queues, entries) in [(0, 2048), (1, 2048), (4, 2048), (5, 1024), (8, 1024), (16, 512), (63, 256), (64, 256)] {
        assert_eq!(receive_entries(queues), entries, "{queues}");
        assert_eq!(shape.umem_size(queues).receive_frames, entries * queues);
        assert_eq!(shape.socket(0, queues).receive_entries, entries);
    }
}
