//! What facts mean. Everything here is pure: the same facts, the same verdicts.

use super::Check;
use super::facts::{Card, Host};

mod host;
mod link;
mod memory;
mod queues;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
mod xdp;

/// The points that hold for every interface of a host.
#[must_use]
pub fn of_host(host: &Host) -> Vec<Check> {
    vec![host::kernel(host), host::sockets(host), host::bpf(host), host::capabilities(host), host::io_uring(host)]
}

/// The points of one interface.
#[must_use]
pub fn of_card(card: &Card, host: &Host) -> Vec<Check> {
    vec![
        link::link(card),
        link::kind(card),
        link::port(card),
        link::program(card),
        xdp::native(card, host),
        xdp::zero_copy(card),
        xdp::multi_buffer(card),
        xdp::mtu(card),
        xdp::merging(card),
        xdp::checksums(card),
        xdp::vlan_tags(card),
        queues::queues(card, host),
        queues::rss(card),
        queues::interrupts(card, host),
        memory::numa_node(card, host),
        memory::huge_pages(card, host),
        memory::memlock(card, host),
        link::qdisc(card),
    ]
}

/// Numbers in the kernel's notation: `0-3,8`.
fn ranges(numbers: &[u32]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in sorted {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

/// `1 queue`, `2 queues`.
fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
