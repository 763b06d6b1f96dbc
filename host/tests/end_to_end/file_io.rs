//! How files are read and written: `--io` (URING-2).

use std::process::Command;

use crate::common::host::{Receiver, Scene};
use crate::common::machine::{has_rings, is_privileged};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

const MIB: u64 = 1 << 20;

/// A file that is written directly and one of a few chunks, each with a last chunk that is not whole, many small ones, and an
/// empty one.
fn write_tree(scene: &Scene) {
    std::fs::create_dir(scene.from("tree")).unwrap();
    data::write_file(&scene.from("tree/large"), 1, 20 * MIB + 12_345);
    data::write_file(&scene.from("tree/middle"), 2, MIB + 1);
    data::write_file(&scene.from("tree/empty"), 3, 0);
    data::write_small_files(&scene.from("tree/small"), 4, 700, 9000);
}

/// URING-2: either engine at either end moves the same bytes, and the summary says which it was.
#[test]
fn both_engines_move_the_same() {
    let _guard = shared();
    if !has_rings("transfers with io_uring") {
        return;
    }
    for (sending, receiving) in [("uring", "uring"), ("sync", "uring"), ("uring", "sync"), ("sync", "sync")] {
        let scene = Scene::new();
        write_tree(&scene);
        let receiver = scene.recv(&["--once", "--io", receiving]);
        let sent = scene.send(&["tree"], &receiver.ticket, &["--io", sending]).expect(0);
        let received = receiver.process.wait().expect(0);
        assert_eq!((&sent.summary()["io"], &received.summary()["io"]), (&sending.into(), &receiving.into()));
        tree::assert_same(&scene.from(""), &scene.to(""));
        scene.assert_no_leftovers();
    }
}

/// URING-2: what one engine left off, the other one goes on with.
#[test]
fn one_engine_resumes_what_the_other_began() {
    let _guard = shared();
    if !has_rings("a transfer with io_uring") {
        return;
    }
    for [first, second] in [["uring", "sync"], ["sync", "uring"]] {
        let scene = Scene::new();
        data::write_file(&scene.from("file"), 1, 40 * MIB);
        let receiver = scene.recv(&["--io", first]);
        let sender = scene.start_send(&["file"], &receiver.ticket, &["--io", first, "--rate", "160mbit"]);
        sender.stdout_line(|line| line.contains("\"moving\"") && bytes_of(line) > 8 * MIB);
        receiver.process.kill();
        sender.kill();
        let receiver = scene.recv(&["--once", "--io", second]);
        let sent = scene.send(&["file"], &receiver.ticket, &["--io", second]).expect(0);
        receiver.process.wait().expect(0);
        assert!(sent.summary()["resumed_bytes"].as_u64().unwrap() > 4 * MIB, "{}", sent.output());
        tree::assert_same_file(&scene.from("file"), &scene.to("file"));
        scene.assert_no_leftovers();
    }
}

fn bytes_of(line: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(line).ok().and_then(|event| event["bytes"].as_u64()).unwrap_or(0)
}

/// `wirehaul` as root that may lock enough memory for rings, and not for a block.
fn without_locked_memory(command: &Command) -> Command {
    let mut limited = Command::new("prlimit");
    limited.args(["--memlock=204800:204800", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

/// A limit that leaves no memory for the kernel to know: ordinary calls do the same work, and it is said once.
#[test]
fn a_ring_that_is_refused_is_said_once_and_ordinary_calls_do_the_work() {
    let _guard = shared();
    if !is_privileged("a limit on locked memory") || !has_rings("a limit on locked memory") {
        return;
    }
    let scene = Scene::new();
    write_tree(&scene);
    let mut command = scene.receiver.wirehaul();
    command.args(["recv", "--once", "--listen", "127.0.0.1:0", "--dir"]).arg(scene.to(""));
    let receiver = Receiver::of(Process::spawn(without_locked_memory(&command)));
    let mut command = scene.sender.wirehaul();
    command.arg("send").arg(scene.from("tree")).arg(&receiver.ticket);
    let sent = Process::spawn(without_locked_memory(&command)).wait().expect(0);
    let received = receiver.process.wait().expect(0);
    for finished in [&sent, &received] {
        let said: Vec<_> = finished.stderr.lines().filter(|line| line.contains("ordinary calls")).collect();
        assert!(said.len() == 1 && said[0].contains("204800 may be locked"), "{}", finished.output());
        assert!(finished.stdout.contains("io sync"), "{}", finished.output());
    }
    tree::assert_same(&scene.from(""), &scene.to(""));
    scene.assert_no_leftovers();
}

/// Whoever insists gets no ticket, exit code 4, and the reason in one line.
#[test]
fn a_ring_that_is_refused_to_who_insists_is_the_end() {
    let _guard = shared();
    if !is_privileged("a limit on locked memory") || !has_rings("a limit on locked memory") {
        return;
    }
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 1000);
    let mut command = scene.receiver.wirehaul();
    command.args(["recv", "--io", "uring", "--listen", "127.0.0.1:0", "--dir"]).arg(scene.to(""));
    let refused = Process::spawn(without_locked_memory(&command)).wait().expect(4);
    assert!(refused.stdout.is_empty(), "a ticket that is of no use: {}", refused.output());
    assert!(refused.one_line().contains("--io uring: ") && refused.one_line().contains("ulimit -l"));
    let receiver = scene.recv(&["--once"]);
    let mut command = scene.sender.wirehaul();
    command.args(["send", "--io", "uring"]).arg(scene.from("file")).arg(&receiver.ticket);
    let refused = Process::spawn(without_locked_memory(&command)).wait().expect(4);
    // The limit is on all of a user's processes: where others have rings meanwhile, it may be used up before there is a block.
    let words = ["cannot be registered with io_uring", "no memory for a ring"];
    assert!(words.iter().any(|words| refused.one_line().contains(words)), "{}", refused.output());
    scene.send(&["file"], &receiver.ticket, &["--io", "uring"]).expect(0);
    receiver.process.wait().expect(0);
}
