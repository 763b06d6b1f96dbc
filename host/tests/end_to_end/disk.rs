//! Disks that will not take it: full, read-only, missing, in use, or gone in mid-transfer (XFER-9).

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::host::{Receiver, Scene};
use crate::common::machine::{SmallDisk, is_privileged};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;
/// Of the file `dir/large`.
const LARGE: u64 = 12 * MIB;
/// The user `nobody`.
const NOBODY: u32 = 65_534;

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

/// XFER-9: the same where the space of a large file is reserved, and its chunks go past the page cache.
#[test]
fn a_full_file_system_of_a_device_is_said_and_resumed() {
    let _guard = shared();
    if !is_privileged("a full file system of a device") {
        return;
    }
    let scene = Scene::new();
    let target = scene.to("");
    let _disk = LoopDisk::mount(&scene, &target, 40 * MIB);
    data::write_file(&scene.to("other"), 1, 16 * MIB);
    data::write_file(&scene.from("file"), 2, 24 * MIB);
    let receiver = scene.recv(&["--once"]);
    let sent = scene.send(&["file"], &receiver.ticket, &[]).expect(5);
    let received = receiver.process.wait().expect(5);
    for finished in [&sent, &received] {
        assert!(finished.one_line().contains("the disk is full"), "{}", finished.output());
    }
    assert!(!scene.to("file").exists());

    fs::remove_file(scene.to("other")).unwrap();
    let (sent, _) = scene.transfer(&["file"]);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > 4 * MIB, "{}", sent.output());
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    scene.assert_no_leftovers();
}

/// XFER-5, XFER-9: a file system that meets an error in itself, and takes no more: what was on the disk before is of use
/// once it is mounted again.
#[test]
fn a_file_system_that_turns_read_only_ends_the_transfer_and_is_resumed() {
    let _guard = shared();
    if !is_privileged("a file system that turns read-only") {
        return;
    }
    let scene = Scene::new();
    let target = scene.to("");
    let disk = LoopDisk::mount(&scene, &target, 64 * MIB);
    let (receiver, send) = under_way(&scene, scene.recv(&["--once"]));
    disk.sync();
    disk.meet_an_error();
    for finished in [send.wait().expect(4), receiver.process.wait().expect(4)] {
        let line = finished.one_line();
        assert!(line.contains("read-only") || line.contains("input/output error"), "{}", finished.output());
    }
    assert!(!scene.to("dir/large").exists());

    disk.mount_again();
    let (sent, _) = scene.transfer(&["dir"]);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > 0, "{}", sent.output());
    tree::assert_same(&scene.from("dir"), &scene.to("dir"));
    scene.assert_no_leftovers();
}

/// XFER-9: files that cannot be given their names are named themselves, and what arrived of them is kept.
#[test]
fn a_target_that_may_not_be_written_to_any_more_is_said_and_resumed() {
    let _guard = shared();
    let scene = Scene::new();
    fs::set_permissions(scene.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(scene.to("dir")).unwrap();
    let mut command = scene.receiver.wirehaul();
    if rustix::process::geteuid().is_root() {
        for path in [scene.receiver.path(), &scene.to(""), &scene.to("dir")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    command.args(["recv", "--json", "--once", "--listen", "127.0.0.1:0", "--dir"]).arg(scene.to(""));
    let (receiver, send) = under_way(&scene, Receiver::of(Process::spawn(command)));
    fs::set_permissions(scene.to("dir"), Permissions::from_mode(0o555)).unwrap();
    for finished in [send.wait().expect(1), receiver.process.wait().expect(1)] {
        assert!(finished.stderr.contains("dir/large: permission denied"), "{}", finished.output());
    }
    assert!(!scene.to("dir/large").exists());

    fs::set_permissions(scene.to("dir"), Permissions::from_mode(0o755)).unwrap();
    let (sent, _) = scene.transfer(&["dir"]);
    assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() >= LARGE, "{}", sent.output());
    tree::assert_same(&scene.from("dir"), &scene.to("dir"));
    scene.assert_no_leftovers();
}

/// XFER-9: whoever removes the directory in mid-transfer gets a message, and not a file in no directory.
#[test]
fn a_target_that_is_removed_is_said() {
    let _guard = shared();
    let scene = Scene::new();
    let (receiver, send) = under_way(&scene, scene.recv(&["--once"]));
    fs::remove_dir_all(scene.to("")).unwrap();
    for finished in [send.wait().expect(1), receiver.process.wait().expect(1)] {
        assert!(finished.stderr.contains("dir/large: cannot "), "{}", finished.output());
        assert!(finished.stderr.contains("No such file or directory"), "{}", finished.output());
    }
    fs::create_dir(scene.to("")).unwrap();
    scene.transfer(&["dir"]);
    tree::assert_same(&scene.from("dir"), &scene.to("dir"));
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

/// Starts to send a directory with a small file and a large one, slowly; some of it has arrived.
fn under_way(scene: &Scene, receiver: Receiver) -> (Receiver, Process) {
    fs::create_dir(scene.from("dir")).unwrap();
    fs::write(scene.from("dir/small"), b"small").unwrap();
    data::write_file(&scene.from("dir/large"), 3, LARGE);
    let send = scene.start_send(&["dir"], &receiver.ticket, &["--rate", "40mbit"]);
    receiver.process.stdout_line(|line| line.contains(r#""stage":"moving""#));
    std::thread::sleep(Duration::from_millis(300));
    (receiver, send)
}

/// An ext4 file system in a file, mounted until dropped.
struct LoopDisk<'a> {
    image: PathBuf,
    at: &'a Path,
}

impl<'a> LoopDisk<'a> {
    /// Makes one of `bytes` and mounts it on the directory `at`.
    fn mount(scene: &Scene, at: &'a Path, bytes: u64) -> Self {
        let image = scene.path().join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&image));
        let disk = Self { image, at };
        disk.mount_image();
        fs::remove_dir(at.join("lost+found")).unwrap();
        disk
    }

    /// Like most systems do, and with a journal that is written only when that is asked for.
    fn mount_image(&self) {
        let options = "loop,errors=remount-ro,commit=600";
        run(Command::new("mount").args(["-t", "ext4", "-o", options]).arg(&self.image).arg(self.at));
    }

    fn mount_again(&self) {
        run(Command::new("umount").arg(self.at));
        self.mount_image();
    }

    fn sync(&self) {
        rustix::fs::syncfs(File::open(self.at).unwrap()).unwrap();
    }

    /// Has the file system find an error in itself.
    fn meet_an_error(&self) {
        let number = fs::metadata(self.at).unwrap().dev();
        let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
        let device = fs::read_link(format!("/sys/dev/block/{major}:{minor}")).unwrap();
        let name = device.file_name().unwrap().to_str().unwrap();
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "a test").unwrap();
    }
}

impl Drop for LoopDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.at).output();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
