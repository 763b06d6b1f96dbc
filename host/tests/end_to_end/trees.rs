//! What arrives is what was sent: every kind of entry, with its mode and time (XFER-1, XFER-2).

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::host::Scene;
use crate::common::{data, shared, tree};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn set_mtime(path: &Path, mtime: SystemTime) {
    File::open(path).unwrap().set_modified(mtime).unwrap();
}

#[test]
fn a_tree_of_every_kind_of_entry_comes_whole() {
    let _guard = shared();
    let scene = Scene::new();
    let top = scene.from("tree");
    fs::create_dir_all(top.join("empty dir")).unwrap();
    fs::create_dir_all(top.join("inner/deeper")).unwrap();
    fs::write(top.join("empty"), b"").unwrap();
    fs::write(top.join("one byte"), b"1").unwrap();
    // Around the edges of a chunk (256 KiB) and of a block of several chunks.
    for len in [1427, 1428, 1429, 262_143, 262_144, 262_145, 524_288, 3_000_001] {
        data::write_file(&top.join(format!("inner/{len}")), len, len);
    }
    fs::write(top.join(OsStr::from_bytes(b"not \xff\xfe utf-8")), b"bytes are names too").unwrap();
    fs::write(top.join("new\nline"), b"so are these").unwrap();
    fs::write(top.join(OsStr::from_bytes(&[b'n'; 255])), b"as long as names get").unwrap();
    symlink("inner/1427", top.join("link to a file")).unwrap();
    symlink("../tree/inner", top.join("link to a dir")).unwrap();
    symlink("nowhere", top.join("dangling link")).unwrap();
    fs::write(top.join("private"), b"x").unwrap();
    set_mode(&top.join("private"), 0o600);
    fs::write(top.join("program"), b"#!/bin/sh\n").unwrap();
    set_mode(&top.join("program"), 0o755);
    fs::write(top.join("read-only"), b"x").unwrap();
    set_mode(&top.join("read-only"), 0o444);
    fs::write(top.join("inner/deeper/file"), b"x").unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 123_456_789);
    set_mtime(&top.join("program"), long_ago);
    set_mtime(&top.join("inner/262145"), SystemTime::UNIX_EPOCH - Duration::new(86_400, 1));
    set_mtime(&top.join("inner/deeper"), long_ago);
    // A directory that only its owner may enter and nobody may write to.
    set_mode(&top.join("inner/deeper"), 0o500);

    let (sent, received) = scene.transfer(&["tree"]);
    tree::assert_same(&scene.from(""), &scene.to(""));
    scene.assert_no_leftovers();
    for summary in [sent.summary(), received.summary()] {
        // 8 files of sizes, and empty, one byte, three odd names, private, program, read-only, deeper/file.
        assert_eq!((&summary["files"], &summary["verified"]), (&17.into(), &true.into()), "{summary}");
        assert_eq!(summary["resumed_bytes"], 0);
    }
    for path in [scene.from("tree/inner/deeper"), scene.to("tree/inner/deeper")] {
        set_mode(&path, 0o700);
    }
}

#[test]
fn several_paths_come_under_their_own_names() {
    let _guard = shared();
    let scene = Scene::new();
    fs::write(scene.from("a file"), data::bytes(1, 10_000)).unwrap();
    fs::create_dir(scene.from("b")).unwrap();
    fs::write(scene.from("b/inside"), b"inside").unwrap();
    fs::write(scene.from("unasked"), b"stays").unwrap();
    scene.transfer(&["a file", "b"]);
    assert!(!scene.to("unasked").exists());
    fs::remove_file(scene.from("unasked")).unwrap();
    tree::assert_same(&scene.from(""), &scene.to(""));
}

#[test]
fn twenty_thousand_small_files_arrive() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_small_files(&scene.from("many"), 7, 20_000, 4096);
    let (sent, _) = scene.transfer(&["many"]);
    assert_eq!(sent.summary()["files"], 20_000);
    tree::assert_same(&scene.from(""), &scene.to(""));
    scene.assert_no_leftovers();
}

#[test]
fn a_deep_path_arrives() {
    let _guard = shared();
    let scene = Scene::new();
    // 200 levels of short names stay below PATH_MAX, so that the test itself can read them.
    let deep = (0..200).fold(scene.from("deep"), |path, level| path.join(format!("level-{level}")));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"here").unwrap();
    scene.transfer(&["deep"]);
    tree::assert_same(&scene.from(""), &scene.to(""));
}

#[test]
fn a_sparse_file_stays_sparse_and_travels_light() {
    let _guard = shared();
    let scene = Scene::new();
    // 4 GiB and a little, with data at the front, far in, and at the end.
    let len = (4_u64 << 30) + 4097;
    let file = File::create(scene.from("sparse")).unwrap();
    file.set_len(len).unwrap();
    for offset in [0, 1 << 31, len - 100_000] {
        file.write_all_at(&data::bytes(offset, 100_000), offset).unwrap();
    }
    drop(file);
    scene.transfer(&["sparse"]);
    let (from, to) = (scene.from("sparse").metadata().unwrap(), scene.to("sparse").metadata().unwrap());
    assert_eq!((to.len(), to.mode(), to.mtime()), (from.len(), from.mode(), from.mtime()));
    let file = File::open(scene.to("sparse")).unwrap();
    for offset in [0, 1 << 31, len - 100_000] {
        let mut got = vec![0; 100_000];
        file.read_exact_at(&mut got, offset).unwrap();
        assert_eq!(got, data::bytes(offset, 100_000), "at {offset}");
    }
    let mut hole = vec![1; 100_000];
    file.read_exact_at(&mut hole, 1 << 30).unwrap();
    assert!(hole.iter().all(|byte| *byte == 0));
    assert!(to.blocks() * 512 < 8 << 20, "{} blocks", to.blocks());
}

/// XFER-3: what is in the way decides nothing about where data goes.
#[test]
fn set_user_id_does_not_travel() {
    let _guard = shared();
    let scene = Scene::new();
    fs::write(scene.from("tool"), b"#!/bin/sh\n").unwrap();
    set_mode(&scene.from("tool"), 0o6755);
    scene.transfer(&["tool"]);
    assert_eq!(scene.to("tool").metadata().unwrap().mode() & 0o7777, 0o755);
}

/// The two ways without segmentation offload, against each other and themselves.
#[test]
fn segmentation_offload_is_not_needed_on_either_end() {
    let _guard = shared();
    for (number, (without_at_sender, without_at_receiver)) in
        [(true, false), (false, true), (true, true)].into_iter().enumerate()
    {
        let scene = Scene::new();
        data::write_file(&scene.from("file"), number as u64, 20_000_000);
        let mut recv = scene.receiver.wirehaul();
        recv.args(["recv", "--json", "--once", "--listen", "127.0.0.1:0", "--dir"]).arg(scene.to(""));
        if without_at_receiver {
            recv.env("WIREHAUL_NO_GSO", "1");
        }
        let receiver = crate::common::host::Receiver::of(crate::common::process::Process::spawn(recv));
        let mut send = scene.sender.wirehaul();
        send.args(["send", "--json"]).arg(scene.from("file")).arg(&receiver.ticket);
        if without_at_sender {
            send.env("WIREHAUL_NO_GSO", "1");
        }
        let sent = crate::common::process::Process::spawn(send).wait().expect(0);
        let received = receiver.process.wait().expect(0);
        if without_at_sender {
            assert_eq!(sent.summary()["transport"], "udp");
        }
        if without_at_receiver {
            assert_eq!(received.summary()["transport"], "udp");
        }
        tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    }
}

#[test]
fn ipv6_loopback_works() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 6, 20_000_000);
    let receiver = scene.recv_on("[::1]:0", &["--once"]);
    scene.send(&["file"], &receiver.ticket, &[]).expect(0);
    receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
}

/// Speed tests move no files (`--discard`, `--generate`), and each end says so when the other does not.
#[test]
fn generated_bytes_are_counted_and_thrown_away() {
    let _guard = shared();
    let scene = Scene::new();
    let receiver = scene.recv(&["--once", "--discard"]);
    let sent = scene.sender.run(["send", "--json", "--generate", "100mb", &receiver.ticket]).expect(0);
    let received = receiver.process.wait().expect(0);
    for summary in [sent.summary(), received.summary()] {
        assert_eq!((&summary["bytes"], &summary["verified"]), (&100_000_000.into(), &false.into()), "{summary}");
    }

    let files = scene.recv(&["--once"]);
    let sent = scene.sender.run(["send", "--generate", "1mb", &files.ticket]).expect(3);
    assert!(sent.one_line().contains("--discard"), "{}", sent.output());
    files.process.wait().expect(3);
    let discarding = scene.recv(&["--once", "--discard"]);
    fs::write(scene.from("f"), b"x").unwrap();
    let sent = scene.send(&["f"], &discarding.ticket, &[]).expect(3);
    assert!(sent.one_line().contains("--discard"), "{}", sent.output());
    discarding.process.wait().expect(3);
}
