//! Which interfaces are looked at, and what surrounds them.

use std::io;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use wirehaul_core::numa::{Choice, Wish, place};

use crate::doctor::facts::Card;
use crate::interface::{Interface, InterfaceError};
use crate::netlink::RouteSocket;
use crate::numa::Machine;

/// The interface called `name`; without a name, that of the default route, or else all that are up but for loopback.
///
/// # Errors
/// As [`Interface::by_name`].
pub fn cards(name: Option<&str>) -> Result<Vec<Card>, InterfaceError> {
    let all = Interface::all()?;
    let chosen = match name {
        Some(name) => vec![Interface::by_name(name)?],
        None => choose(&all, default_interface()?),
    };
    let machine = Machine::here();
    Ok(chosen.into_iter().map(|interface| card(interface, &all, &machine)).collect())
}

fn choose(all: &[Interface], of_default_route: Option<u32>) -> Vec<Interface> {
    let by_default = all.iter().find(|interface| Some(interface.index) == of_default_route);
    match by_default {
        Some(interface) => vec![interface.clone()],
        None => all.iter().filter(|interface| interface.is_up && !interface.is_loopback).cloned().collect(),
    }
}

/// The interface of the best default route of the main table: over IPv4, or where there is none over IPv6.
fn default_interface() -> io::Result<Option<u32>> {
    let mut routes = RouteSocket::open()?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let mut found = Vec::new();
        routes.ask(RouteNetlinkMessage::GetRoute(request), NLM_F_DUMP, |answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                found.extend(default_route(&route));
            }
        })?;
        if let Some((_, index)) = found.into_iter().min() {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Metric and interface of a default route; nothing for any other.
fn default_route(route: &RouteMessage) -> Option<(u32, u32)> {
    if route.header.destination_prefix_length != 0 || route.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let number = |of: fn(&RouteAttribute) -> Option<u32>| route.attributes.iter().find_map(of);
    let interface = number(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        RouteAttribute::MultiPath(hops) => hops.first().map(|hop| hop.interface_index),
        _ => None,
    })?;
    let metric = number(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    Some((metric.unwrap_or(0), interface))
}

fn card(interface: Interface, all: &[Interface], machine: &Machine) -> Card {
    let carried = |other: &&Interface| other.vlan.is_some_and(|(_, carrier)| carrier == interface.index);
    let vlans = all.iter().filter(carried).map(|other| other.name.clone()).collect();
    let carrier = interface.vlan.and_then(|(_, index)| all.iter().find(|other| other.index == index));
    let carrier = carrier.map(|carrier| carrier.name.clone());
    let interrupts = interface.queue_interrupts();
    let wish = Wish { choice: Choice::Auto, card: interface.numa_node };
    let shortfalls = place(&machine.topology, &machine.allowed, wish).shortfalls;
    Card { interface, vlans, carrier, interrupts, shortfalls }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteNextHop;

    fn interface(index: u32, is_up: bool, is_loopback: bool) -> Interface {
        Interface { name: format!("if{index}"), index, is_up, is_loopback, ..Interface::default() }
    }

    #[test]
    fn the_default_route_decides_or_else_what_is_up() {
        let all = [
            interface(1, true, true),
            interface(2, true, false),
            interface(3, false, false),
            interface(4, true, false),
        ];
        let chosen = |index| choose(&all, index).iter().map(|interface| interface.index).collect::<Vec<_>>();
        assert_eq!(chosen(Some(3)), [3]);
        assert_eq!(chosen(None), [2, 4]);
        assert_eq!(chosen(Some(9)), [2, 4]);
        assert!(choose(&all[..1], None).is_empty());
    }

    #[test]
    fn only_default_routes_of_the_main_table_count() {
        let mut route = RouteMessage::default();
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.attributes = vec![RouteAttribute::Oif(4), RouteAttribute::Priority(100)];
        assert_eq!(default_route(&route), Some((100, 4)));
        let mut other = route.clone();
        other.header.destination_prefix_length = 8;
        assert_eq!(default_route(&other), None);
        other = route.clone();
        // The table of local addresses.
        other.header.table = 255;
        assert_eq!(default_route(&other), None);
        let mut hop = RouteNextHop::default();
        hop.interface_index = 7;
        route.attributes = vec![RouteAttribute::MultiPath(vec![hop])];
        assert_eq!(default_route(&route), Some((0, 7)));
        // Such as `unreachable default`.
        route.attributes.clear();
        assert_eq!(default_route(&route), None);
    }

    #[test]
    fn vlans_know_what_carries_them() {
        let parent = interface(2, true, false);
        let tagged = Interface { vlan: Some((5, 2)), ..interface(3, true, false) };
        let all = [parent.clone(), tagged.clone()];
        let machine = Machine::here();
        assert_eq!(card(parent, &all, &machine).vlans, ["if3"]);
        assert_eq!(card(tagged, &all, &machine).carrier.as_deref(), Some("if2"));
        let elsewhere = Interface { vlan: Some((5, 77)), ..interface(3, true, false) };
        assert_eq!(card(elsewhere, &all, &machine).carrier, None);
    }
}
