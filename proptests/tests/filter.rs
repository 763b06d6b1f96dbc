//! XDP-8: the port filter under an interpreter, against an oracle that reads frames byte by byte.
//!
//! `WIREHAUL_WRITE_SEEDS=1` writes `data/filter-frames.txt` anew, the frames that the host's tests show to the kernel.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected should stop there")]

mod interpreter;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use interpreter::{BOUND_QUEUE, Interpreter, MAPS};
use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::filter::{Front, Verdict, port_filter};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::filtering::{OPEN, cases, cases_as_text, is_ours};
use wirehaul_proptests::frames::Frame;

/// What the filter is open for.
fn open() -> impl Iterator<Item = SocketAddr> {
    OPEN.iter().map(|address| address.parse().unwrap())
}

fn port_interpreter() -> Interpreter {
    up_to(u16::MAX)
}

fn up_to(longest: u16) -> Interpreter {
    let mut front = Front::default();
    for address in open() {
        front.add(address.ip(), address.port());
    }
    with(longest, front)
}

fn with(longest: u16, front: Front) -> Interpreter {
    Interpreter::of(&port_filter(MAPS, longest).unwrap(), open(), front, is_ours)
}

#[test]
fn every_case_is_redirected_or_passed_as_the_oracle_says() {
    let interpreter = port_interpreter();
    for (name, frame) in cases() {
        interpreter.check(&frame, &name);
        (0..frame.len().min(14)).for_each(|length| interpreter.check(&frame[..length], &name));
    }
}

/// A pair need not have a place in front: what has none is found in the hash map, and who has one is the only one that it is for.
#[test]
fn a_pair_is_found_wherever_its_place_is() {
    let pairs: Vec<_> = open().filter(SocketAddr::is_ipv4).collect();
    let strangers: Vec<SocketAddr> = (3..6).map(|last| SocketAddr::from(([10, 74, 0, last], 9))).collect();
    for places in [vec![], pairs[..1].to_vec(), pairs[1..].to_vec(), [strangers, pairs].concat()] {
        let mut front = Front::default();
        for address in &places {
            front.add(address.ip(), address.port());
        }
        let interpreter = with(u16::MAX, front);
        for (name, frame) in cases() {
            interpreter.check(&frame, &name);
        }
    }
}

/// A hit in front asks no map.
#[test]
fn a_pair_in_front_needs_no_look_up() {
    let (_, frame) = cases().into_iter().find(|(name, _)| name == "ipv4-plain").unwrap();
    let interpreter = port_interpreter();
    interpreter::forget_open_keys();
    assert_eq!(interpreter.run(&frame, BOUND_QUEUE), Verdict::Redirect);
    let interpreter = with(u16::MAX, Front::default());
    interpreter::forget_open_keys();
    assert_eq!(interpreter.run(&frame, BOUND_QUEUE), Verdict::Pass);
}

/// What no frame holds is the kernel's, to the byte: a peer on the same machine may hand over many datagrams in one.
#[test]
fn a_datagram_that_no_frame_holds_is_passed() {
    let (_, frame) = cases().into_iter().find(|(name, _)| name == "ipv6-qinq").unwrap();
    for longest in [8, 255, 256, 1472, 1730, 12_226] {
        let interpreter = up_to(longest);
        for length in [8, longest - 1, longest, longest + 1, longest | 0xff, longest + 255, u16::MAX] {
            let mut frame = frame.clone();
            let at = 14 + 8 + 40 + 4;
            frame[at..at + 2].copy_from_slice(&length.to_be_bytes());
            let expected = if length <= longest { Verdict::Redirect } else { Verdict::Pass };
            assert_eq!(interpreter.run(&frame, BOUND_QUEUE), expected, "{length} of {longest}");
        }
    }
}

#[test]
fn the_oracle_says_what_the_names_promise() {
    let passed = ["port-before", "port-swapped", "port-of-source", "other-address", "ends-swapped", "icmp", "icmpv6"]
        .into_iter()
        .chain(["tcp", "hop-by-hop", "fragment-header", "old-qinq-tag", "arp-type", "odd-version"]);
    let passed: Vec<_> = passed.collect();
    for (name, frame) in cases() {
        let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends_with(&passed) || name.starts_with("ipv4") && ends_with(&["-fragment", "-fragment-low", "short-header"])
        {
            assert!(!is_ours(&frame), "{name}");
        } else if ends_with(&["plain", "-vlan", "-qinq", "-vlans", "no-payload", "padded", "may-be-split", "flag"]) {
            assert!(is_ours(&frame), "{name}");
        }
    }
}

#[test]
fn the_frames_that_the_kernel_is_shown_are_these() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/filter-frames.txt");
    if std::env::var_os("WIREHAUL_WRITE_SEEDS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).and_then(|()| fs::write(&file, cases_as_text())).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap();
    assert!(committed == cases_as_text(), "run again with WIREHAUL_WRITE_SEEDS=1");
    let count = |verdict: &str| committed.lines().filter(|line| line.starts_with(verdict)).count();
    assert!(count("redirect") > 100 && count("pass") > 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_passed_or_redirected(bytes in vec(any::<u8>(), 0..200)) {
        port_interpreter().check(&bytes, "any bytes");
    }

    #[test]
    fn any_datagram_is_found_out(bytes in vec(any::<u8>(), 0..200), to in 0..4_usize, cut in 0..100_usize) {
        let mut frame = Frame::draw(&mut Choices::Bytes(&bytes));
        if let Some(Ok(open)) = OPEN.get(to).map(|open| open.parse::<SocketAddr>())
            && open.is_ipv4() == frame.destination.is_ipv4()
        {
            (frame.destination, frame.ports.1) = (open.ip(), open.port());
        }
        let bytes = frame.bytes();
        let interpreter = port_interpreter();
        interpreter.check(&bytes, "drawn");
        interpreter.check(&bytes[..cut.min(bytes.len())], "cut");
    }
}
