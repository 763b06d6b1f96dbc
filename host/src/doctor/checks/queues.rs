//! Queues, how packets are spread over them, and which CPUs serve them.

use std::collections::BTreeSet;

use super::{count, ranges};
use crate::doctor::Check;
use crate::doctor::facts::{Card, Host, Interrupt};
use crate::interface::{ChannelCount, HashedFields, Interface};

/// Where writing an interrupt's CPUs is refused with `EIO` or `EPERM` (kernel/irq/proc.c).
const MANAGED: &str = "where the kernel manages an interrupt, it lets nobody move it";

pub(super) fn queues(card: &Card, host: &Host) -> Check {
    const POINT: &str = "queues";
    let interface = &card.interface;
    let usable = interface.usable_queues();
    let Some((kind, channels)) = channels(interface) else {
        return Check::ok(POINT, format!("{} to bind; channels are not told", usable));
    };
    let read = format!("{usable} to bind: {} of {} {kind} channels in use", channels.current, channels.max);
    let cpus = u32::try_from(host.allowed_cpus.len()).unwrap_or(u32::MAX);
    let possible = channels.max.min(cpus);
    if possible <= channels.current {
        return Check::ok(POINT, read);
    }
    Check::info(POINT, read)
        .because(format!("{} could serve {possible}", count(u64::from(cpus), "CPU")))
        .change(format!("sudo ethtool -L {} {kind} {possible}", interface.name))
}

/// The channels that receive: combined ones where the card has any.
fn channels(interface: &Interface) -> Option<(&'static str, ChannelCount)> {
    let channels = interface.channels?;
    let kinds = [("combined", channels.combined), ("rx", channels.rx)];
    kinds.into_iter().find(|(_, count)| count.current > 0 || count.max > 0)
}

pub(super) fn rss(card: &Card) -> Check {
    const POINT: &str = "rss";
    let interface = &card.interface;
    let usable = interface.usable_queues();
    if usable == 1 {
        return Check::ok(POINT, "nothing to spread: every packet arrives on the one queue");
    }
    let told = interface.rss.as_ref().filter(|rss| !rss.indirection.is_empty());
    let Some(rss) = told else {
        let why = "a flow stays on one queue, and which one is the driver's choice";
        return Check::info(POINT, format!("over {usable} queues, by rules that the driver does not tell"))
            .because(why);
    };
    let used: Vec<u32> = rss.indirection.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let name = &interface.name;
    let table = format!("over queues {} by {} entries", ranges(&used), rss.indirection.len());
    let without_ports = |fields: Option<HashedFields>| fields.is_some_and(|fields| !fields.ports);
    let by_addresses = [("udp4", rss.udp4), ("udp6", rss.udp6)].into_iter().find(|(_, fields)| without_ports(*fields));
    if let Some((family, _)) = by_addresses {
        let why = "UDP is spread by addresses alone: all packets between two hosts arrive on one queue";
        return Check::warn(POINT, format!("{table}, {family} by addresses"), why)
            .change(format!("sudo ethtool -N {name} rx-flow-hash {family} sdfn"));
    }
    match rss.udp4 {
        _ if used.len() < usable as usize => Check::info(POINT, table)
            .because(format!("{} get no packets", count(u64::from(usable) - used.len() as u64, "queue")))
            .change(format!("sudo ethtool -X {name} equal {usable}")),
        Some(_) => Check::ok(POINT, format!("{table}, UDP by addresses and ports (sdfn)")),
        None => Check::info(POINT, format!("{table}; what of UDP is hashed is not told"))
            .because("ethtool may know; the answer to hope for has addresses and ports")
            .change(format!("ethtool -n {name} rx-flow-hash udp4")),
    }
}

pub(super) fn interrupts(card: &Card, host: &Host) -> Check {
    const POINT: &str = "interrupts";
    let interrupts = &card.interrupts;
    if interrupts.is_empty() {
        return Check::info(POINT, "none of its own");
    }
    let each = interrupts.iter().map(|interrupt| {
        let of = interrupt.queue.map_or_else(|| interrupt.name.clone(), |queue| format!("queue {queue}"));
        format!("{} ({of}) on CPU {}", interrupt.number, ranges(&interrupt.cpus))
    });
    let balanced = if host.has_irqbalance { "; irqbalance runs, and moves them" } else { "" };
    let read = format!("{}{balanced}", shortened(each.collect()));
    let move_to = |number: u32, cpu: u32| format!("echo {cpu} | sudo tee /proc/irq/{number}/smp_affinity_list");
    let node = host.nodes.iter().find(|node| Some(node.id) == card.interface.numa_node);
    // A node may have memory alone.
    let near = |cpu: &u32| node.is_none_or(|node| node.cpus.is_empty() || node.cpus.contains(cpu));
    let is_far = |interrupt: &&Interrupt| !interrupt.cpus.is_empty() && !interrupt.cpus.iter().any(near);
    if let (Some(far), Some(node)) = (interrupts.iter().find(is_far), node)
        && let Some(cpu) = node.cpus.first()
    {
        let why = format!("CPUs far from the card, which is on node {}, serve it; {MANAGED}", node.id);
        return Check::warn(POINT, read, why).change(move_to(far.number, *cpu));
    }
    if let (Some(taken), Some(last)) = (only_cpu(interrupts), interrupts.last())
        && let Some(other) = host.allowed_cpus.iter().find(|cpu| **cpu != taken && near(cpu))
    {
        let why = format!("one CPU serves all queues; {MANAGED}");
        return Check::warn(POINT, read, why).change(move_to(last.number, *other));
    }
    if host.has_irqbalance {
        return Check::info(POINT, read)
            .because("queues and the threads that serve them are best left where they are")
            .change("sudo systemctl stop irqbalance");
    }
    Check::ok(POINT, read)
}

/// The one CPU that all of several interrupts are delivered to.
fn only_cpu(interrupts: &[Interrupt]) -> Option<u32> {
    let (first, rest) = interrupts.split_first()?;
    match first.cpus.as_slice() {
        [cpu] if !rest.is_empty() && rest.iter().all(|other| other.cpus == [*cpu]) => Some(*cpu),
        _ => None,
    }
}

/// Four of a list, and how many more there are.
fn shortened(list: Vec<String>) -> String {
    let (shown, hidden) = (list.iter().take(4).cloned().collect::<Vec<_>>().join(", "), list.len().saturating_sub(4));
    if hidden == 0 { shown } else { format!("{shown} and {hidden} more") }
}
