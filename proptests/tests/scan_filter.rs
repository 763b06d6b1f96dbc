//! SCAN-1: the filter of a survey under an interpreter, against an oracle that reads frames byte by byte.
//!
//! `WIREHAUL_WRITE_SEEDS=1` writes `data/scan-filter-frames.txt` anew, the frames that the host's tests show to the kernel.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected should stop there")]

mod interpreter;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use interpreter::{Interpreter, MAPS};
use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::filter::{Front, scan_filter};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::filtering::{OPEN, WINDOW, answers_survey, survey_cases, survey_cases_as_text};
use wirehaul_proptests::frames::Frame;

/// Our addresses, with the first port of the window.
fn open() -> impl Iterator<Item = SocketAddr> {
    OPEN.iter().map(|address| SocketAddr::new(address.parse::<SocketAddr>().unwrap().ip(), WINDOW))
}

fn with(front: Front) -> Interpreter {
    Interpreter::of(&scan_filter(MAPS, WINDOW).unwrap(), open(), front, answers_survey)
}

fn interpreter() -> Interpreter {
    let mut front = Front::default();
    for address in open() {
        front.add(address.ip(), address.port());
    }
    with(front)
}

#[test]
fn every_case_is_redirected_or_passed_as_the_oracle_says() {
    for interpreter in [interpreter(), with(Front::default())] {
        for (name, frame) in survey_cases() {
            interpreter.check(&frame, &name);
            (0..frame.len().min(14)).for_each(|length| interpreter.check(&frame[..length], &name));
        }
    }
}

#[test]
fn the_oracle_says_what_the_names_promise() {
    for (name, frame) in survey_cases() {
        let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let passed =
            ["-before", "-behind", "-swapped", "port-low", "-zero", "of-source", "other-address", "icmp", "icmpv6"];
        if ends_with(&passed)
            || ends_with(&["hop-by-hop", "fragment-header", "old-qinq-tag", "arp-type", "odd-version"])
        {
            assert!(!answers_survey(&frame), "{name}");
        } else if ends_with(&["port-first", "port-inside", "port-last", "may-be-split", "reserved-flag"]) {
            assert!(answers_survey(&frame), "{name}");
        }
    }
}

#[test]
fn the_frames_that_the_kernel_is_shown_are_these() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/scan-filter-frames.txt");
    if std::env::var_os("WIREHAUL_WRITE_SEEDS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).and_then(|()| fs::write(&file, survey_cases_as_text())).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap();
    assert!(committed == survey_cases_as_text(), "run again with WIREHAUL_WRITE_SEEDS=1");
    let count = |verdict: &str| committed.lines().filter(|line| line.starts_with(verdict)).count();
    assert!(count("redirect") > 100 && count("pass") > 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_passed_or_redirected(bytes in vec(any::<u8>(), 0..200)) {
        interpreter().check(&bytes, "any bytes");
    }

    #[test]
    fn any_packet_is_found_out(bytes in vec(any::<u8>(), 0..200), to in 0..3_usize, cut in 0..100_usize, port: u16) {
        let mut frame = Frame::draw(&mut Choices::Bytes(&bytes));
        let open = OPEN[to].parse::<SocketAddr>().unwrap();
        if open.is_ipv4() == frame.destination.is_ipv4() {
            frame.destination = open.ip();
        }
        frame.ports.1 = if port.is_multiple_of(3) { port } else { WINDOW | port & 0xfff };
        frame.protocol = if port.is_multiple_of(2) { 6 } else { 17 };
        let bytes = frame.bytes();
        let interpreter = interpreter();
        interpreter.check(&bytes, "drawn");
        interpreter.check(&bytes[..cut.min(bytes.len())], "cut");
    }
}
