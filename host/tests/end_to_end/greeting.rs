//! How a transfer fails before it begins: tickets, versions, receivers that are not there (XFER-9, OPS-4).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use wirehaul::crypto::PublicKey;
use wirehaul::transfer::ticket::Ticket;
use wirehaul_core::limits::PACKET_HEADER_BYTES;
use wirehaul_core::wire::{InitBody, PacketFlags, PacketHeader, PacketKind, VersionBody};

use crate::common::host::Scene;
use crate::common::shared;

/// A ticket that no receiver gave out, for `key` at `address`.
fn foreign_ticket(key: &str, address: SocketAddr) -> String {
    Ticket::new(key.parse::<PublicKey>().unwrap(), vec![address]).unwrap().to_string()
}

fn address_of(ticket: &str) -> SocketAddr {
    ticket.parse::<Ticket>().unwrap().addresses()[0]
}

#[test]
fn a_ticket_that_the_receiver_does_not_know_is_refused_soon() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let receiver = scene.recv(&["--once"]);
    let wrong = foreign_ticket(&scene.receiver.key(), address_of(&receiver.ticket));
    let sent = scene.send(&["f"], &wrong, &[]).expect(3);
    assert!(sent.one_line().contains("does not know this ticket"), "{}", sent.output());
    assert!(sent.seconds < 4.0, "told only after {} s", sent.seconds);
    assert_eq!(sent.summary()["exit_code"], 3);
    // It took no notice: the right ticket still works, and a one-time receiver has not spent its one time.
    scene.send(&["f"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    // Once for each time that it was asked.
    assert!(
        received.summary()["rejects"]["unknown_psk"].as_u64().is_some_and(|count| count > 0),
        "{}",
        received.output()
    );
}

/// SEC-1: whoever holds the ticket's secret and not the receiver's key is not the receiver.
#[test]
fn a_ticket_with_another_key_is_refused() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"secret").unwrap();
    let receiver = scene.recv(&[]);
    let wrong = foreign_ticket(&scene.sender.key(), address_of(&receiver.ticket));
    scene.send(&["f"], &wrong, &[]).expect(3);
    assert!(!scene.to("f").exists());
}

#[test]
fn tickets_that_cannot_be_read_are_usage_errors() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let good = foreign_ticket(&scene.receiver.key(), "127.0.0.1:9".parse().unwrap());
    let mut mistyped = good.clone();
    let last = if mistyped.pop() == Some('a') { 'b' } else { 'a' };
    mistyped.push(last);
    let other_version = format!("wh2{}", &good[3..]);
    for (ticket, words) in [
        (&good[..good.len() - 9], "not complete"),
        (&mistyped, "mistake"),
        (&other_version, "another version"),
        (&scene.receiver.key()[..], "public key"),
        ("!!", "neither a ticket nor a HOST"),
        ("", "the ticket is empty"),
    ] {
        let sent = scene.send(&["f"], ticket, &[]).expect(2);
        assert!(sent.stderr.contains(words), "{ticket}: {}", sent.output());
    }
    let sent = scene.sender.run(["send", &good]).expect(2);
    assert!(sent.stderr.contains("what to send is missing"), "{}", sent.output());
    let sent = scene.send(&["not there"], &good, &[]).expect(2);
    assert!(sent.one_line().contains("not there"), "{}", sent.output());
}

#[test]
fn a_receiver_that_is_not_there_is_given_up() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    // Bound and never read, so that no other process gets the port.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ticket = foreign_ticket(&scene.receiver.key(), nobody.local_addr().unwrap());
    let sent = scene.send(&["f"], &ticket, &[]).expect(1);
    assert!(
        sent.one_line().starts_with(&format!("no answer from {}", nobody.local_addr().unwrap())),
        "{}",
        sent.output()
    );
    assert!((4.0..15.0).contains(&sent.seconds), "given up after {} s", sent.seconds);
    assert_eq!(sent.summary()["exit_code"], 1);
}

#[test]
fn a_receiver_of_another_version_is_named() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let ticket = foreign_ticket(&scene.receiver.key(), socket.local_addr().unwrap());
    let send = scene.start_send(&["f"], &ticket, &[]);
    let mut init = [0; 2048];
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (len, from) = socket.recv_from(&mut init).unwrap();
    assert!(len >= 1200, "an INIT has 1200 bytes at least (SEC-4), this one {len}");
    let (_, sender_index) = InitBody::version_and_sender(&init[PACKET_HEADER_BYTES..len]).unwrap();
    let mut answer = [0; 64];
    let body = VersionBody::write([2, 7].into_iter(), &mut answer[PACKET_HEADER_BYTES..]).unwrap();
    let header = PacketHeader {
        kind: PacketKind::Version,
        flags: PacketFlags::empty(),
        receiver: sender_index,
        packet_number_low: 0,
    };
    header.write(&mut answer).unwrap();
    socket.send_to(&answer[..PACKET_HEADER_BYTES + body], from).unwrap();
    let sent = send.wait().expect(1);
    assert!(sent.one_line().contains("speaks version 7"), "{}", sent.output());
    assert!(sent.seconds < 4.0, "told only after {} s", sent.seconds);
}

#[test]
fn a_sender_of_another_version_is_told_which_are_spoken() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let receiver = scene.recv(&["--once"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut init = [0; 1200];
    let header =
        PacketHeader { kind: PacketKind::Init, flags: PacketFlags::empty(), receiver: 0, packet_number_low: 0 };
    let at = header.write(&mut init).unwrap();
    // Version 2, reserved, the index to answer to; what else an INIT of version 2 holds, version 1 cannot know.
    init[at..at + 8].copy_from_slice(&[0, 2, 0, 0, 0xab, 0xcd, 0xef, 0x01]);
    init[at + 8..].fill(0x55);
    socket.send_to(&init, address_of(&receiver.ticket)).unwrap();
    let mut answer = [0; 2048];
    let (len, _) = socket.recv_from(&mut answer).unwrap();
    assert!(len < init.len(), "an answer to anybody is shorter than the question (SEC-4)");
    let (header, at) = PacketHeader::parse(&answer[..len]).unwrap();
    assert_eq!((header.kind, header.receiver), (PacketKind::Version, 0xabcd_ef01));
    let versions: Vec<_> = VersionBody::parse(&answer[at..len]).unwrap().versions.iter().collect();
    assert_eq!(versions, [1]);
    scene.send(&["f"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    assert_eq!(received.summary()["rejects"]["bad_version"], 1, "{}", received.output());
}

/// SEC-4: what nobody sent on purpose is counted, answered by nothing, and changes nothing.
#[test]
fn noise_on_the_port_is_ignored() {
    let _guard = shared();
    let scene = Scene::new();
    crate::common::data::write_file(&scene.from("f"), 1, 5_000_000);
    let receiver = scene.recv(&["--once"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..2000_u64 {
        let mut noise = crate::common::data::bytes(seed, 1 + (seed as usize * 7) % 1500);
        if let Some(first) = noise.first_mut().filter(|_| seed % 2 == 0) {
            *first = [1, 2, 3, 4, 5, 6, 0x10][(seed / 2 % 7) as usize];
        }
        socket.send_to(&noise, address_of(&receiver.ticket)).unwrap();
    }
    scene.send(&["f"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    crate::common::tree::assert_same_file(&scene.from("f"), &scene.to("f"));
    let rejects = received.summary()["rejects"].as_object().unwrap().clone();
    let counted: u64 = rejects.values().map(|count| count.as_u64().unwrap()).sum();
    assert!(counted > 1000 && rejects.contains_key("packet_kind_unknown"), "{rejects:?}");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv_from(&mut [0; 2048]).is_err(), "noise was answered");
}
