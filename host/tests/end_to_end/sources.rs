//! Source files that cannot be read, or do not stay as they were: they are named, and the others arrive (XFER-9).

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::host::{Home, Receiver, Scene};
use crate::common::process::{Finished, Process};
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;
/// The user `nobody`, who may read what everybody may.
const NOBODY: u32 = 65_534;

/// The program as a user who may not read everything: this one, or nobody where this one is root.
fn unprivileged(home: &Home) -> Command {
    let mut command = home.wirehaul();
    if rustix::process::geteuid().is_root() {
        give_to_nobody(home.path());
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn give_to_nobody(path: &Path) {
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

fn send_unprivileged(scene: &Scene, name: &str, receiver: &Receiver) -> Finished {
    // Root's temporary directories are for root alone.
    fs::set_permissions(scene.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = unprivileged(&scene.sender);
    command.args(["send", "--json"]).arg(scene.from(name)).arg(&receiver.ticket).current_dir("/");
    Process::spawn(command).wait()
}

#[test]
fn an_unreadable_file_is_named_and_the_others_arrive() {
    let _guard = shared();
    let scene = Scene::new();
    fs::create_dir(scene.from("dir")).unwrap();
    for name in ["a", "m", "z"] {
        data::write_file(&scene.from(&format!("dir/{name}")), 1, 600_000);
    }
    data::write_file(&scene.from("dir/small"), 1, 10);
    for name in ["m", "small"] {
        fs::set_permissions(scene.from(&format!("dir/{name}")), Permissions::from_mode(0o000)).unwrap();
    }
    let receiver = scene.recv(&["--once"]);
    let sent = send_unprivileged(&scene, "dir", &receiver).expect(1);
    let received = receiver.process.wait().expect(1);
    for finished in [&sent, &received] {
        assert!(
            finished.stderr.contains("dir/m: ") && finished.stderr.contains("dir/small: "),
            "{}",
            finished.output()
        );
        assert!(finished.stderr.contains("ermission"), "{}", finished.output());
        let summary = finished.summary();
        assert_eq!((&summary["failures"], &summary["files"], &summary["exit_code"]), (&2.into(), &2.into(), &1.into()));
        assert_eq!(summary["verified"], false);
    }
    for name in ["a", "z"] {
        tree::assert_same_file(&scene.from(&format!("dir/{name}")), &scene.to(&format!("dir/{name}")));
    }
    assert!(!scene.to("dir/m").exists() && !scene.to("dir/small").exists());
    scene.assert_no_leftovers();
}

#[test]
fn an_unreadable_directory_is_named_and_the_rest_arrives() {
    let _guard = shared();
    let scene = Scene::new();
    fs::create_dir_all(scene.from("dir/closed")).unwrap();
    fs::write(scene.from("dir/closed/inside"), b"unseen").unwrap();
    fs::write(scene.from("dir/open"), b"seen").unwrap();
    fs::set_permissions(scene.from("dir/closed"), Permissions::from_mode(0o000)).unwrap();
    let receiver = scene.recv(&["--once"]);
    let sent = send_unprivileged(&scene, "dir", &receiver).expect(1);
    receiver.process.wait().expect(0);
    fs::set_permissions(scene.from("dir/closed"), Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(scene.to("dir/closed"), Permissions::from_mode(0o700)).unwrap();
    assert!(sent.stderr.contains("dir/closed: "), "{}", sent.output());
    tree::assert_same_file(&scene.from("dir/open"), &scene.to("dir/open"));
    assert!(!scene.to("dir/closed/inside").exists());
}

/// Starts a slow transfer of a directory with a small file and two of 8 MiB, and does `mischief` to the last one.
fn disturb(mischief: impl FnOnce(&Path)) -> (Scene, Finished, Finished) {
    let scene = Scene::new();
    fs::create_dir(scene.from("dir")).unwrap();
    fs::write(scene.from("dir/a"), b"first").unwrap();
    for name in ["b", "c"] {
        data::write_file(&scene.from(&format!("dir/{name}")), 1, 8 * MIB);
    }
    let receiver = scene.recv(&["--once"]);
    let send = scene.start_send(&["dir"], &receiver.ticket, &["--rate", "50mbit"]);
    std::thread::sleep(Duration::from_millis(500));
    mischief(&scene.from("dir/c"));
    let sent = send.wait();
    (scene, sent, receiver.process.wait())
}

#[track_caller]
fn assert_only_c_failed(scene: &Scene, sent: Finished, received: Finished) {
    let (sent, received) = (sent.expect(1), received.expect(1));
    for finished in [&sent, &received] {
        assert!(finished.stderr.contains("dir/c: "), "{}", finished.output());
        assert_eq!(finished.summary()["failures"], 1, "{}", finished.output());
    }
    for name in ["dir/a", "dir/b"] {
        tree::assert_same_file(&scene.from(name), &scene.to(name));
    }
    assert!(!scene.to("dir/c").exists());
    // XFER-9: once it is at rest, or gone, the rest of the tree arrives, and nothing twice.
    let (sent, _) = scene.transfer(&["dir"]);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() >= 8 * MIB, "{}", sent.output());
    tree::assert_same(&scene.from("dir"), &scene.to("dir"));
}

#[test]
fn a_file_that_vanishes_during_the_transfer_is_named() {
    let _guard = shared();
    let (scene, sent, received) = disturb(|path| fs::remove_file(path).unwrap());
    assert_only_c_failed(&scene, sent, received);
}

#[test]
fn a_file_that_shrinks_during_the_transfer_is_named() {
    let _guard = shared();
    let (scene, sent, received) = disturb(|path| File::options().write(true).open(path).unwrap().set_len(100).unwrap());
    assert_only_c_failed(&scene, sent, received);
}

#[test]
fn a_file_that_is_written_to_during_the_transfer_is_named() {
    let _guard = shared();
    let (scene, sent, received) = disturb(|path| {
        File::options().write(true).open(path).unwrap().write_all_at(b"changed", 5 * MIB).unwrap();
    });
    assert_only_c_failed(&scene, sent, received);
}

#[test]
fn a_file_that_grows_during_the_transfer_is_named() {
    let _guard = shared();
    let (scene, sent, received) = disturb(|path| {
        File::options().append(true).open(path).unwrap().write_all(b"one more line").unwrap();
    });
    assert_only_c_failed(&scene, sent, received);
}

/// A disk that fails while it is read. Of this file of the kernel every read fails.
#[test]
fn a_file_whose_reads_fail_is_named_and_the_others_arrive() {
    let _guard = shared();
    let failing = "/sys/class/net/lo/speed";
    let Err(error) = fs::read(failing) else { panic!("{failing} can be read") };
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, MIB);
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["file", failing], &receiver.ticket, &[]).expect(1);
    let received = receiver.process.wait().expect(1);
    for finished in [&sent, &received] {
        let named = format!("speed: it cannot be read: {error}");
        assert!(finished.stderr.contains(&named), "{}", finished.output());
        assert_eq!(finished.summary()["failures"], 1, "{}", finished.output());
    }
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    assert!(!scene.to("speed").exists());
    scene.assert_no_leftovers();
}

/// A file that is put in the place of one that is being read does not get mixed with it.
#[test]
fn a_file_that_is_replaced_during_the_transfer_arrives_as_one_of_the_two_or_not_at_all() {
    let _guard = shared();
    let (scene, sent, received) = disturb(|path| {
        let new = path.with_extension("new");
        data::write_file(&new, 9, 8 * MIB);
        fs::rename(new, path).unwrap();
    });
    if sent.code == Some(0) {
        received.expect(0);
        let old = blake3::hash(&data::bytes(1, 8 * MIB as usize)).to_hex().to_string();
        let got = tree::hash(&scene.to("dir/c"));
        assert!(got == old || got == tree::hash(&scene.from("dir/c")), "a mixture");
    } else {
        assert_only_c_failed(&scene, sent, received);
    }
}

/// Links out of the tree and special files cannot be sent: said with -v, and no failure.
#[test]
fn what_cannot_be_sent_is_left_out() {
    let _guard = shared();
    let scene = Scene::new();
    fs::create_dir(scene.from("dir")).unwrap();
    fs::write(scene.from("dir/file"), b"x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", scene.from("dir/out")).unwrap();
    nix::unistd::mkfifo(&scene.from("dir/fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["dir"], &receiver.ticket, &["-v"]).expect(0);
    receiver.process.wait().expect(0);
    assert!(sent.stderr.contains("dir/out: ") && sent.stderr.contains("dir/fifo: "), "{}", sent.output());
    let names: Vec<_> = tree::snapshot(&scene.to("dir")).into_keys().collect();
    assert_eq!(names, ["file"]);
}
