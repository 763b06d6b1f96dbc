//! Receivers started with few descriptors (`ulimit -n`): they take what they are allowed to, and say where that is too little.

use std::process::Command;

use crate::common::host::{Receiver, Scene, own_loopback_address};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

/// What 1024 transfers at once may need, which is how many a receiver takes unless told otherwise.
const WANTED: u64 = 8320;

/// Starts the program with these limits, the soft and the hard one.
fn start(scene: &Scene, (soft, hard): (u64, u64), arguments: &[&str]) -> Process {
    let mut command = scene.receiver.set_up(Command::new("prlimit"));
    command.arg(format!("--nofile={soft}:{hard}")).arg(env!("CARGO_BIN_EXE_wirehaul")).args(arguments);
    Process::spawn(command)
}

fn recv(scene: &Scene, limits: (u64, u64), more: &[&str]) -> Receiver {
    let dir = scene.to("");
    let arguments = ["recv", "--once", "--listen", "127.0.0.1:0", "--dir", dir.to_str().unwrap()];
    Receiver::of(start(scene, limits, &[&arguments, more].concat()))
}

/// Its limits as the kernel has them, the soft and the hard one.
fn limits_of(process: &Process) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_receiver_raises_a_low_limit_of_open_files_and_says_nothing() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_small_files(&scene.from("tree"), 1, 50, 2000);
    let receiver = recv(&scene, (64, WANTED + 1000), &[]);
    assert_eq!(limits_of(&receiver.process), (WANTED, WANTED + 1000));
    scene.send(&["tree"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    assert!(!received.stderr.contains("open files"), "{}", received.output());
    tree::assert_same(&scene.from(""), &scene.to(""));
}

#[test]
fn a_limit_of_open_files_that_is_high_enough_is_left_as_it_is() {
    let _guard = shared();
    let scene = Scene::new();
    let receiver = recv(&scene, (WANTED + 1, WANTED + 2), &[]);
    assert_eq!(limits_of(&receiver.process), (WANTED + 1, WANTED + 2));
}

/// It takes what there is, says for how many transfers that is enough, and receives all the same.
#[test]
fn a_receiver_says_where_it_is_allowed_too_few_open_files() {
    let _guard = shared();
    let scene = Scene::new();
    data::write_small_files(&scene.from("tree"), 1, 50, 2000);
    let receiver = recv(&scene, (256, 528), &[]);
    assert_eq!(limits_of(&receiver.process), (528, 528));
    scene.send(&["tree"], &receiver.ticket, &[]).expect(0);
    let received = receiver.process.wait().expect(0);
    let said: Vec<_> = received.stderr.lines().filter(|line| line.contains("open files")).collect();
    let words = "wirehaul: 528 open files are allowed, enough for 50 transfers at once and not for 1024: raise the limit (ulimit -n)";
    assert_eq!(said, [words], "{}", received.output());
    tree::assert_same(&scene.from(""), &scene.to(""));
    // Whoever wants to hear nothing does not.
    let quiet = recv(&scene, (256, 528), &["--quiet"]);
    assert_eq!(limits_of(&quiet.process), (528, 528));
    let over = quiet.process.kill();
    assert_eq!(over.stderr, "");
}

/// A server's own number of transfers counts, and it names the key that lowers it.
#[test]
fn a_server_says_how_many_transfers_its_limit_of_open_files_is_enough_for() {
    let _guard = shared();
    let scene = Scene::new();
    scene.receiver.run(["key", "trust", "workstation", &scene.sender.key()]).expect(0);
    let config = scene.path().join("serve.toml");
    let serve = |max_transfers: u64| {
        let (dir, address) = (scene.to(""), own_loopback_address().to_string());
        let text = format!("dir = {dir:?}\nlisten = {address:?}\nmetrics = false\nmax_transfers = {max_transfers}\n");
        std::fs::write(&config, text).unwrap();
        let server = start(&scene, (100, 300), &["serve", "--config", config.to_str().unwrap()]);
        server.stderr_line(|line| line.contains("receiving on"));
        server
    };
    let server = serve(22);
    let line = server.stderr_line(|line| line.contains("open files"));
    assert_eq!(limits_of(&server), (300, 300));
    assert!(line.contains("enough for 21 transfers at once and not for 22"), "{line}");
    assert!(line.contains("LimitNOFILE=") && line.contains("max_transfers"), "{line}");
    drop(server);

    let server = serve(21);
    assert_eq!(limits_of(&server), (128 + 8 * 21, 300));
    let over = server.kill();
    assert!(!over.stderr.contains("open files"), "{}", over.output());
}
