//! The link itself: its state, its kind, what it belongs to, what is attached already.

use crate::doctor::facts::Card;
use crate::doctor::{Check, Mode};
use crate::interface::XdpMode;

pub(super) fn link(card: &Card) -> Check {
    const POINT: &str = "link";
    let interface = &card.interface;
    let name = &interface.name;
    if !interface.is_up {
        let change = format!("sudo ip link set dev {name} up");
        return Check::fail(POINT, "down", "the interface is down").change(change);
    }
    if !interface.has_carrier {
        let why = "no packet passes until there is a link, whichever way";
        let change = if interface.kind.as_deref() == Some("veth") {
            "set the other end of the veth pair up"
        } else {
            "plug in the cable, or set the port at its other end up"
        };
        return Check::warn(POINT, "up, no carrier", why).advise(change);
    }
    Check::ok(POINT, "up, with carrier")
}

pub(super) fn kind(card: &Card) -> Check {
    const POINT: &str = "kind";
    let interface = &card.interface;
    if interface.is_loopback {
        let why = "the loopback device has no driver to run programs in";
        return Check::warn(POINT, "loopback", why)
            .advise("an interface that packets between hosts take")
            .allows(Mode::Generic);
    }
    let kind = interface.kind.as_deref();
    let driver = interface.driver.as_deref();
    if !interface.is_ethernet {
        let read = format!("{}, without Ethernet headers", kind.or(driver).unwrap_or("unknown"));
        return Check::fail(POINT, read, "packets here have no Ethernet header, which the port filter expects")
            .advise("use the interface that carries the tunnel's packets");
    }
    match (kind, driver) {
        (Some("vlan"), _) => {
            let id = interface.vlan.map_or_else(String::new, |(id, _)| format!(" {id}"));
            let carrier = card.carrier.as_deref().unwrap_or("an interface elsewhere");
            let check = Check::info(POINT, format!("VLAN{id} on {carrier}"));
            let carrier = card.carrier.as_ref().map(|carrier| format!("wirehaul doctor --iface {carrier}"));
            let better = check.because("the interface below may offer more, and the port filter knows VLAN tags");
            carrier.into_iter().fold(better, Check::change)
        }
        (Some(kind), None) => Check::ok(POINT, format!("{kind}, a virtual interface")),
        (Some(kind), Some(driver)) => Check::ok(POINT, format!("{kind}, driver {driver}")),
        (None, Some(driver)) => Check::ok(POINT, format!("a card, driver {driver}")),
        (None, None) => Check::info(POINT, "unknown: /sys does not name a driver"),
    }
}

pub(super) fn port(card: &Card) -> Check {
    const POINT: &str = "port";
    let interface = &card.interface;
    let Some(master) = &interface.master else { return Check::ok(POINT, "of no bridge or bond") };
    let read = format!("of {} {}", master.kind, master.name);
    if master.kind == "vrf" {
        return Check::ok(POINT, read);
    }
    let why = format!("its addresses and routes are those of {} {}", master.kind, master.name);
    Check::fail(POINT, read, why).change(format!("sudo ip link set dev {} nomaster", interface.name))
}

/// One program of a link at a time: a second one is refused (`EEXIST`, net/core/dev.c, `dev_xdp_attach`).
pub(super) fn program(card: &Card) -> Check {
    const POINT: &str = "program";
    let interface = &card.interface;
    let Some(first) = interface.xdp.first() else { return Check::ok(POINT, "none attached") };
    let each = interface.xdp.iter().map(|program| format!("{} (id {})", program.mode.name(), program.id));
    let read = each.collect::<Vec<_>>().join(", ");
    let off = match first.mode {
        XdpMode::Native => "xdpdrv",
        XdpMode::Generic => "xdpgeneric",
        XdpMode::Offload => "xdpoffload",
    };
    // No command takes off what a process holds by a bpf_link.
    let why =
        format!("XDP program {} is attached already; one that a process holds leaves when that process ends", first.id);
    Check::fail(POINT, read, why).change(format!("sudo ip link set dev {} {off} off", interface.name))
}

/// For UDP sockets, the next step of the ladder: packets of AF_XDP pass by all disciplines.
pub(super) fn qdisc(card: &Card) -> Check {
    const POINT: &str = "qdisc";
    let interface = &card.interface;
    let Some(qdisc) = interface.qdisc.as_deref() else { return Check::info(POINT, "not told") };
    if qdisc == "fq" {
        return Check::ok(POINT, "fq, which paces UDP sockets in the kernel");
    }
    let check = Check::info(POINT, qdisc);
    let name = &interface.name;
    let why = "AF_XDP passes it by; for UDP sockets, fq would keep departure times in the kernel";
    match qdisc {
        _ if interface.is_loopback => check,
        // One discipline for each queue: a new mq makes new ones.
        "mq" => check
            .because("each queue has one of its own, which `tc qdisc show` tells; for UDP sockets, fq is the best")
            .change(format!("sudo sysctl net.core.default_qdisc=fq && sudo tc qdisc replace dev {name} root mq")),
        _ => check.because(why).change(format!("sudo tc qdisc replace dev {name} root fq")),
    }
}
