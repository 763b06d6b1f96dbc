//! What XDP can do on the interface, and what of packets it gets to see.

use crate::doctor::facts::{Card, Host};
use crate::doctor::{Check, Mode};
use crate::interface::{Interface, Offload};
use crate::xdp::MAX_FRAME_MTU;

/// The largest packet that a native program without fragments allows: a page without headroom, the frame's own
/// bookkeeping and the Ethernet header (drivers/net/veth.c, `veth_xdp_set`; other drivers are within some bytes of it).
pub(super) const SINGLE_BUFFER_MTU: u32 = 4096 - 256 - 320 - 14;
/// What is advised: within the limits of all drivers but few.
const ADVISED_MTU: u32 = 3498;

/// Drivers that ran programs natively, and handed packets on, before the kernel told which do (6.2).
const KNOWN_NATIVE: [&str; 21] = [
    "ena",
    "bnxt_en",
    "virtio_net",
    "mlx4_en",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx5_core",
    "nfp",
    "qede",
    "sfc",
    "hv_netvsc",
    "mvneta",
    "mvpp2",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "stmmac",
    "tun",
];
/// Those of them that did so without a copy.
const KNOWN_ZERO_COPY: [&str; 7] = ["i40e", "ice", "igc", "ixgbe", "mlx5_core", "nfp", "stmmac"];

fn is_known(interface: &Interface, drivers: &[&str]) -> bool {
    interface.driver.as_deref().is_some_and(|driver| drivers.contains(&driver))
}

/// The driver's name, or what else to call it.
fn driver(interface: &Interface) -> &str {
    let other = if interface.is_loopback { "the loopback device" } else { "this interface" };
    interface.driver.as_deref().or(interface.kind.as_deref()).unwrap_or(other)
}

pub(super) fn native(card: &Card, host: &Host) -> Check {
    const POINT: &str = "native-xdp";
    let interface = &card.interface;
    if interface.virtio.is_some_and(|virtio| virtio.has_fixed_guest_offloads) {
        let why = "the host of this virtual machine merges packets or leaves out checksums, and lets nobody stop it";
        return Check::warn(POINT, "the driver would, its host does not let it", why)
            .advise("on the host: ctrl_guest_offloads=on for this virtio card, or its guest_* offloads off")
            .allows(Mode::Generic);
    }
    let without = |read: String| {
        let why = format!("{} runs no XDP programs that hand packets on", driver(interface));
        Check::warn(POINT, read, why).advise("a card whose driver has native XDP").allows(Mode::Generic)
    };
    match interface.xdp_features {
        Some(features) if features.native && features.redirect => Check::ok(POINT, "yes, with redirect"),
        Some(features) if features.native => without("yes, without redirect".to_owned()),
        Some(_) => without("no".to_owned()),
        None if interface.kind.as_deref() == Some("veth") || is_known(interface, &KNOWN_NATIVE) => {
            Check::info(POINT, format!("not told by Linux {}; {} is known for it", host.release, driver(interface)))
        }
        None => without(format!("not told by Linux {}, and {} is not known for it", host.release, driver(interface))),
    }
}

pub(super) fn zero_copy(card: &Card) -> Check {
    const POINT: &str = "zero-copy";
    let interface = &card.interface;
    let without = |read: &str| {
        let why = format!("{} has no zero-copy", driver(interface));
        Check::warn(POINT, read, why)
            .advise("a card whose driver has it, such as ice, i40e, ixgbe, igc or mlx5")
            .allows(Mode::Copy)
    };
    let told = match interface.xdp_features {
        Some(features) => features.zero_copy,
        None if is_known(interface, &KNOWN_ZERO_COPY) => {
            return Check::info(POINT, format!("not told; {} is known for it", driver(interface)));
        }
        None => return without("not told, and not known"),
    };
    if !told {
        return without("no");
    }
    if interface.virtio.is_some_and(|virtio| !virtio.has_platform_access) {
        let why = "this virtio card does not reach memory through the DMA interface, which zero-copy needs";
        return Check::warn(POINT, "the driver would, this card cannot", why)
            .advise("on the host: iommu_platform=on for this virtio card")
            .allows(Mode::Copy);
    }
    Check::ok(POINT, "yes")
}

pub(super) fn multi_buffer(card: &Card) -> Check {
    const POINT: &str = "multi-buffer";
    let Some(features) = card.interface.xdp_features else { return Check::info(POINT, "not told") };
    let received = if features.multi_buffer_rx { "received" } else { "not received" };
    let frames = match features.zero_copy_max_frames {
        Some(frames @ 2..) => format!(", up to {frames} frames a packet in zero-copy mode"),
        _ => String::new(),
    };
    Check::info(POINT, format!("packets of several buffers are {received}{frames}"))
}

pub(super) fn mtu(card: &Card) -> Check {
    const POINT: &str = "mtu";
    let interface = &card.interface;
    let mtu = interface.mtu;
    if mtu <= SINGLE_BUFFER_MTU {
        return Check::ok(POINT, format!("{mtu}: a packet fits a frame"));
    }
    let lower = |check: Check| check.change(format!("sudo ip link set dev {} mtu {ADVISED_MTU}", interface.name));
    if interface.is_loopback {
        let why = format!("packets above {MAX_FRAME_MTU} bytes do not fit a frame, and some not several");
        return lower(Check::warn(POINT, mtu.to_string(), why));
    }
    if !interface.xdp_features.is_some_and(|features| features.multi_buffer_rx) {
        let why = format!(
            "with an MTU of {mtu}, above {SINGLE_BUFFER_MTU}, a packet takes several buffers, which {} does not give to \
             programs",
            driver(interface)
        );
        return lower(Check::warn(POINT, mtu.to_string(), why).allows(Mode::Generic));
    }
    if mtu <= MAX_FRAME_MTU {
        return Check::ok(POINT, format!("{mtu}: a packet fits a frame, if not a buffer of the driver's"));
    }
    let takes_several = interface.xdp_features.and_then(|features| features.zero_copy_max_frames).unwrap_or(1) > 1;
    let why =
        format!("with an MTU of {mtu}, above {MAX_FRAME_MTU}, a packet takes several frames, and is copied together");
    let allowed = if takes_several { Mode::ZeroCopy } else { Mode::Copy };
    lower(Check::warn(POINT, mtu.to_string(), why).allows(allowed))
}

pub(super) fn merging(card: &Card) -> Check {
    const POINT: &str = "merging";
    let interface = &card.interface;
    let Some(offloads) = interface.offloads else { return Check::info(POINT, "not told") };
    let on: Vec<_> = [("lro", offloads.rx_lro), ("rx-gro-hw", offloads.rx_gro_hw)]
        .into_iter()
        .filter(|(_, offload)| offload.on)
        .collect();
    let names = on.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ");
    if on.is_empty() {
        return Check::ok(POINT, "the card merges no packets (lro and rx-gro-hw are off)");
    }
    // virtio_net switches it off itself, where its host lets it; where not, that is told under native-xdp.
    if interface.virtio.is_some_and(|virtio| !virtio.has_fixed_guest_offloads) {
        return Check::ok(POINT, format!("{names} on, which the driver turns off by itself"));
    }
    let why = "the driver may refuse a native program while the card merges packets";
    let check = Check::warn(POINT, format!("{names} on"), why);
    let off: String = on.iter().filter(|(_, offload)| !offload.fixed).map(|(name, _)| format!(" {name} off")).collect();
    if off.is_empty() {
        return Check::info(POINT, format!("{names} on, and fixed"));
    }
    check.change(format!("sudo ethtool -K {}{off}", interface.name))
}

pub(super) fn checksums(card: &Card) -> Check {
    const POINT: &str = "checksums";
    let interface = &card.interface;
    if interface.kind.as_deref() == Some("veth") || interface.is_loopback {
        let check = Check::info(POINT, "packets of kernel sockets at the other end come without a finished checksum")
            .because("programs other than Wirehaul may take these for damaged");
        return if interface.is_loopback {
            check
        } else {
            check.advise("at the other end: sudo ethtool -K DEV tx off")
        };
    }
    match interface.offloads {
        None => Check::info(POINT, "not told"),
        Some(offloads) => {
            let by = |offload: Offload| if offload.on { "the card" } else { "software" };
            let (rx, tx) = (by(offloads.rx_checksum), by(offloads.tx_checksum));
            Check::ok(POINT, format!("checked by {rx}, made by {tx}; packets of AF_XDP bring their own"))
        }
    }
}

pub(super) fn vlan_tags(card: &Card) -> Check {
    const POINT: &str = "vlan-tags";
    let interface = &card.interface;
    let Some(offloads) = interface.offloads else { return Check::info(POINT, "not told") };
    let used = match card.vlans.as_slice() {
        [] => "no VLAN here".to_owned(),
        vlans => format!("VLANs here: {}", vlans.join(", ")),
    };
    if !offloads.rx_vlan_strip.on {
        return Check::ok(POINT, format!("left in packets; {used}"));
    }
    let read = format!("taken out of packets; {used}");
    if card.vlans.is_empty() {
        return Check::ok(POINT, read);
    }
    let check = Check::warn(POINT, read, "the port filter cannot tell packets of a VLAN from those of none");
    if offloads.rx_vlan_strip.fixed {
        return check.advise("carry the VLANs on another card: this one takes tags out, whatever one asks for");
    }
    check.change(format!("sudo ethtool -K {} rxvlan off", interface.name))
}
