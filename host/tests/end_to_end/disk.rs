//! Disks that will not take it: full, read-only, missing, or in use (XFER-9).

use std::fs;

use crate::common::host::Scene;
use crate::common::machine::{SmallDisk, is_privileged};
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;

/// XFER-9: both ends say that the disk is full; what arrived is kept, and the next run needs only the rest.
#[test]
fn a_full_disk_is_said_on_both_ends_and_resumed_once_there_is_room() {
    let _guard = shared();
    if !is_privileged("a full disk") {
        return;
    }
    let scene = Scene::new();
    let target = scene.to("");
    let disk = SmallDisk::mount(&target, 12 * MIB);
    data::write_file(&scene.from("file"), 1, 24 * MIB);
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["file"], &receiver.ticket, &[]).expect(5);
    assert!(sent.one_line().contains("the disk is full"), "{}", sent.output());
    let received = receiver.process.wait().expect(5);
    assert!(received.one_line().contains("the disk is full"), "{}", received.output());
    assert_eq!((&sent.summary()["exit_code"], &received.summary()["exit_code"]), (&5.into(), &5.into()));
    assert!(!scene.to("file").exists());

    disk.remount("size=64m");
    let (sent, _) = scene.transfer(&["file"]);
    let resumed = sent.summary()["resumed_bytes"].as_u64().unwrap();
    assert!(resumed > 4 * MIB, "resumed {resumed} bytes: {}", sent.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    scene.assert_no_leftovers();
}

/// A disk that fills up with small files: those that fitted are there.
#[test]
fn small_files_that_fitted_stay() {
    let _guard = shared();
    if !is_privileged("a full disk") {
        return;
    }
    let scene = Scene::new();
    let target = scene.to("");
    let disk = SmallDisk::mount(&target, 4 * MIB);
    data::write_small_files(&scene.from("many"), 2, 2000, 8192);
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["many"], &receiver.ticket, &[]).expect(5);
    assert!(sent.one_line().contains("the disk is full"), "{}", sent.output());
    receiver.process.wait().expect(5);
    disk.remount("size=64m");
    scene.transfer(&["many"]);
    tree::assert_same(&scene.from(""), &target);
    scene.assert_no_leftovers();
}

#[test]
fn a_read_only_target_is_said_at_once() {
    let _guard = shared();
    if !is_privileged("a read-only file system") {
        return;
    }
    let scene = Scene::new();
    let target = scene.to("");
    let disk = SmallDisk::mount(&target, MIB);
    disk.remount("ro");
    let received = scene.receiver.run(["recv".as_ref(), "--dir".as_ref(), target.as_os_str()]).expect(4);
    assert!(received.one_line().contains("read-only"), "{}", received.output());
    assert!(received.stdout.is_empty(), "a ticket that is of no use: {}", received.output());
}

#[test]
fn a_target_that_is_missing_or_no_directory_is_said_at_once() {
    let _guard = shared();
    let scene = Scene::new();
    fs::write(scene.to("file"), b"x").unwrap();
    for name in ["missing", "file"] {
        let dir = scene.to(name);
        let received = scene.receiver.run(["recv".as_ref(), "--dir".as_ref(), dir.as_os_str()]).expect(4);
        assert!(received.one_line().contains(dir.to_str().unwrap()), "{}", received.output());
        assert!(received.stdout.is_empty(), "{}", received.output());
    }
    // Scripts get their summary in any case.
    let dir = scene.to("missing");
    let received =
        scene.receiver.run(["recv".as_ref(), "--json".as_ref(), "--dir".as_ref(), dir.as_os_str()]).expect(4);
    assert_eq!(received.summary()["exit_code"], 4);
}

#[test]
fn a_directory_has_one_receiver_at_a_time() {
    let _guard = shared();
    let scene = Scene::new();
    let first = scene.recv(&[]);
    let target = scene.to("");
    let second = scene.receiver.run(["recv".as_ref(), "--dir".as_ref(), target.as_os_str()]).expect(4);
    assert!(second.one_line().contains("another receiver"), "{}", second.output());
    // A killed one holds nothing any more.
    first.process.kill();
    fs::write(scene.from("f"), b"x").unwrap();
    scene.transfer(&["f"]);
    scene.assert_no_leftovers();
}

#[test]
fn a_port_that_is_taken_is_said_at_once() {
    let _guard = shared();
    let scene = Scene::new();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let target = scene.to("");
    let arguments = ["recv".as_ref(), "--listen".as_ref(), address.as_ref(), "--dir".as_ref(), target.as_os_str()];
    let received = scene.receiver.run(arguments).expect(4);
    assert!(received.one_line().contains(&address), "{}", received.output());
    scene.assert_no_leftovers();
}
