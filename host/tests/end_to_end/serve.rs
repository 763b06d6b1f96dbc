//! `wirehaul serve`: one transfer after another and several at once, from hosts that it knows, until it is stopped.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::host::{Scene, own_loopback_address};
use crate::common::process::Process;
use crate::common::{data, shared, tree};

/// A server of `scene`'s receiver at `address`, into its directory. It reads the keys that it trusts when it starts.
fn serve(scene: &Scene, address: &str, more: &str) -> Process {
    let config = scene.path().join("serve.toml");
    let text = format!("dir = {:?}\nlisten = {address:?}\n{more}", scene.to(""));
    std::fs::write(&config, text).unwrap();
    let process = run(scene, &config);
    process.stderr_line(|line| line.contains("receiving on"));
    process
}

fn run(scene: &Scene, config: &Path) -> Process {
    let mut command = scene.receiver.wirehaul();
    command.arg("serve").arg("--config").arg(config);
    Process::spawn(command)
}

fn trust_each_other(scene: &Scene, address: &str) {
    let host = address.rsplit_once(':').unwrap().0;
    scene.sender.run(["key", "trust", host, &scene.receiver.key()]).expect(0);
    scene.receiver.run(["key", "trust", "workstation", &scene.sender.key()]).expect(0);
}

#[test]
fn a_server_takes_transfer_after_transfer_and_several_at_once() {
    let _guard = shared();
    let scene = Scene::new();
    let names = ["a", "b", "c", "d", "e"];
    for (name, seed) in names.iter().zip(1..) {
        data::write_file(&scene.from(name), seed, 3 << 20);
    }
    let address = own_loopback_address().to_string();
    trust_each_other(&scene, &address);
    let server = serve(&scene, &address, "");
    scene.send(&["a"], &address, &[]).expect(0);
    let at_once: Vec<_> = names[1..].iter().map(|name| scene.start_send(&[name], &address, &[])).collect();
    for sent in at_once {
        sent.wait().expect(0);
    }
    server.signal(Signal::SIGTERM);
    let served = server.wait().expect(0);
    tree::assert_same(&scene.from(""), &scene.to(""));
    assert_eq!(served.stdout.matches("every hash verified").count(), names.len(), "{}", served.output());
}

/// SEC-7: once it listens, a server has the capabilities that files take and no others, in every thread, and no program that it
/// starts can get more.
#[test]
fn a_server_gives_up_what_it_does_not_need() {
    // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER (include/uapi/linux/capability.h).
    const FOR_FILES: u64 = 1 << 1 | 1 << 2 | 1 << 3;
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let address = own_loopback_address().to_string();
    trust_each_other(&scene, &address);
    let server = serve(&scene, &address, "");
    scene.send(&["f"], &address, &[]).expect(0);
    let statuses = server.thread_statuses();
    assert!(statuses.len() > 1, "file threads came after it");
    for status in &statuses {
        let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            let held = u64::from_str_radix(&of(set), 16).unwrap();
            assert_eq!(held & !FOR_FILES, 0, "{set} {held:x}\n{status}");
        }
        assert_eq!(of("NoNewPrivs:"), "1");
    }
    server.signal(Signal::SIGTERM);
    server.wait().expect(0);
}

/// Nobody is let in by a ticket, and a host that is not in the list is told so.
#[test]
fn a_server_takes_nothing_from_strangers() {
    let _guard = shared();
    let scene = Scene::new();
    std::fs::write(scene.from("f"), b"x").unwrap();
    let address = own_loopback_address().to_string();
    let server = serve(&scene, &address, "");
    let host = address.rsplit_once(':').unwrap().0.to_owned();
    scene.sender.run(["key", "trust", &host, &scene.receiver.key()]).expect(0);
    let sent = scene.send(&["f"], &address, &[]).expect(3);
    assert!(sent.one_line().contains("does not know this host's key"), "{}", sent.output());
    assert!(!scene.to("f").exists());
    server.signal(Signal::SIGTERM);
    let served = server.wait().expect(0);
    assert!(!served.stdout.contains("wh1"), "it has no ticket: {}", served.output());
}

/// What is wrong with the configuration is said with its place, and nothing starts.
#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let _guard = shared();
    let scene = Scene::new();
    let config = scene.path().join("serve.toml");
    for (text, words) in [
        ("dir = 7", "dir"),
        ("dri = \"/tmp\"", "dri"),
        ("listen = \"127.0.0.1:7420\"", "dir"),
        ("dir = \"/tmp\"\nlisten = \"nowhere at all\"", "listen"),
        ("dir = \"", ":1: "),
    ] {
        std::fs::write(&config, text).unwrap();
        let refused = run(&scene, &config).wait().expect(2);
        assert!(refused.stderr.contains("serve.toml") && refused.stderr.contains(words), "{}", refused.output());
    }
    std::fs::remove_file(&config).unwrap();
    let refused = run(&scene, &config).wait().expect(2);
    assert!(refused.one_line().contains("cannot read the configuration"), "{}", refused.output());
}

/// A file that differs is kept, unless the configuration says otherwise.
#[test]
fn a_server_overwrites_only_where_its_configuration_says_so() {
    let _guard = shared();
    for (more, code, content) in [("", 3, "old"), ("overwrite = true", 0, "new")] {
        let scene = Scene::new();
        std::fs::write(scene.from("f"), "new").unwrap();
        std::fs::write(scene.to("f"), "old").unwrap();
        let address = own_loopback_address().to_string();
        trust_each_other(&scene, &address);
        let server = serve(&scene, &address, more);
        scene.send(&["f"], &address, &[]).expect(code);
        assert_eq!(std::fs::read_to_string(scene.to("f")).unwrap(), content);
        server.signal(Signal::SIGTERM);
        // What became of a transfer is the sender's to know: being stopped is no failure of a server.
        server.wait().expect(0);
    }
}
