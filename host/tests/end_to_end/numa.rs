//! NUMA-6, and what is asked for and cannot be had: a transfer goes its way on whichever node there is. Machines with several
//! nodes are tested in virtual ones (`./x vm-test`).

use crate::common::host::Scene;
use crate::common::process::Finished;
use crate::common::{data, shared, tree};

/// Machines that tests run on have fewer nodes.
const NOWHERE: &str = "63";

/// Sends a file with these flags at both ends.
fn transfer(flags: &[&str]) -> (Finished, Finished) {
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 3 << 20);
    let receiver = scene.recv(&[&["--once"], flags].concat());
    let sent = scene.send(&["file"], &receiver.ticket, flags).expect(0);
    let received = receiver.process.wait().expect(0);
    tree::assert_same_file(&scene.from("file"), &scene.to("file"));
    (sent, received)
}

/// A node that is not there is said in one line at each end, and the transfer takes place.
#[test]
fn a_node_that_does_not_exist_is_a_remark() {
    let _guard = shared();
    let (sent, received) = transfer(&["--numa-node", NOWHERE]);
    for end in [sent, received] {
        let line = end.stdout.lines().find(|line| line.contains("\"type\":\"numa\"")).unwrap();
        assert!(line.contains("there is no NUMA node 63"), "{line}");
        assert_eq!(end.summary()["verified"], true);
    }
    let scene = Scene::new();
    data::write_file(&scene.from("file"), 1, 10);
    let receiver = scene.recv(&["--once"]);
    let mut command = scene.sender.wirehaul();
    command.args(["send", "--numa-node", NOWHERE]).arg(scene.from("file")).arg(&receiver.ticket);
    let sent = crate::common::process::Process::spawn(command).wait().expect(0);
    assert_eq!(sent.stderr.matches("NUMA").count(), 1, "{}", sent.stderr);
    receiver.process.wait().expect(0);
}

/// Where there is one node, or nobody wants to know, there is not a word about nodes.
#[test]
fn one_node_makes_no_noise() {
    let _guard = shared();
    let is_one = wirehaul::numa::has_one_node();
    let flags: &[&[&str]] = if is_one { &[&[], &["--no-numa"]] } else { &[&["--no-numa"]] };
    for flags in flags {
        let (sent, received) = transfer(&[&["-v"], *flags].concat());
        for end in [sent, received] {
            assert!(!end.stdout.contains("\"type\":\"numa\"") && !end.stderr.contains("NUMA"), "{}", end.output());
            assert!(end.summary()["numa"].is_null());
        }
    }
}

#[test]
fn flags_that_make_no_sense_are_usage_errors() {
    let scene = Scene::new();
    for flags in [&["--numa-node", "one"][..], &["--numa-node", "-1"], &["--no-numa", "--numa-node", "0"]] {
        let told = scene.sender.run([&["recv"], flags].concat()).expect(2);
        assert!(told.stderr.contains("--n"), "{}", told.stderr);
    }
}
