//! Which way is taken, and what is said of those that are not (XDP-9). Ways over real interfaces are in
//! host/tests/end_to_end/xdp.

use crate::interface::XdpFeatures;
use crate::udp::Options;

use super::*;

fn card(driver: Option<&str>, kind: Option<&str>, zero_copy: Option<bool>) -> Interface {
    Interface {
        name: "eth0".to_owned(),
        driver: driver.map(str::to_owned),
        kind: kind.map(str::to_owned),
        xdp_features: zero_copy.map(|zero_copy| XdpFeatures { zero_copy, ..XdpFeatures::default() }),
        ..Interface::default()
    }
}

#[test]
fn zero_copy_is_tried_where_the_driver_says_that_it_has_it() {
    assert_eq!(no_zero_copy(&card(Some("ice"), None, Some(true))), None);
    for (interface, reason) in [
        (card(Some("e1000"), None, Some(false)), "the driver of eth0 (e1000) has no zero-copy"),
        (card(None, Some("veth"), Some(false)), "the driver of eth0 (veth) has no zero-copy"),
        (card(None, None, None), "the kernel does not tell whether the driver of eth0 (unknown) has zero-copy"),
    ] {
        assert_eq!(no_zero_copy(&interface).as_deref(), Some(reason));
    }
}

fn on_loopback(choice: Choice, interface: Option<&str>) -> Result<Opened, NoTransport> {
    let udp = UdpDevice::bind(SocketAddr::from(([127, 0, 0, 1], 0)), &Options::default()).unwrap();
    let wish = Wish { choice, interface: interface.map(str::to_owned), remote: None, workers: 1, memory_node: None };
    open(&wish, Box::new(udp), Instant::ZERO)
}

/// Every rung that is left out says why; what is left in the end works everywhere.
#[test]
fn the_fastest_way_that_works_is_taken_and_every_other_has_a_reason() {
    for (interface, reason) in [(Some("nowhere"), "there is no interface `nowhere`"), (None, "lo (unknown)")] {
        let Opened { first: transport, steps, .. } = on_loopback(Choice::Auto, interface).unwrap();
        assert!(matches!(transport, Transport::Udp(_)));
        let ways: Vec<_> = steps.iter().map(|step| step.way).collect();
        assert_eq!(ways, ["xdp", "xdp-copy", transport.name()]);
        assert!(steps.iter().all(|step| !step.reason.is_empty()));
        assert!(steps.first().unwrap().reason.contains(reason), "{steps:?}");
    }
}

#[test]
fn a_way_that_is_forced_is_taken_or_refused_with_its_name_in_front() {
    let Opened { first: transport, steps, .. } = on_loopback(Choice::Udp, Some("nowhere")).unwrap();
    assert_eq!(steps, [Step { way: "udp", reason: "as asked for".to_owned() }]);
    assert!(matches!(transport, Transport::Udp(_)));
    for choice in [Choice::Xdp, Choice::XdpCopy, Choice::XdpSkb] {
        for interface in [Some("nowhere"), None] {
            let said = on_loopback(choice, interface).unwrap_err().to_string();
            assert!(said.starts_with(&format!("--transport {}: ", choice.name())) && !said.contains('\n'), "{said}");
        }
    }
}

/// XDP-7: every queue has one worker, every worker a queue, and none has two more than another.
#[test]
fn queues_are_shared_out_evenly() {
    let share_out = |queues, workers| -> Vec<Vec<u32>> {
        let count = worker_count(queues, workers);
        (0..count).map(|number| share(queues, count, number)).collect()
    };
    assert_eq!(share_out(1, 8), [[0]]);
    assert_eq!(share_out(4, 0), [[0, 1, 2, 3]]);
    assert_eq!(share_out(4, 2), [[0, 2], [1, 3]]);
    for queues in 1..200 {
        for workers in 1..100 {
            let shares = share_out(queues, workers);
            assert_eq!(shares.len(), workers.min(queues as usize).min(MAX_WORKERS));
            let mut all: Vec<u32> = shares.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..queues));
            let lengths = shares.iter().map(Vec::len);
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }
}
