//! `wirehaul doctor` on interfaces of every kind that a namespace can have (XDP-11, OPS-4).

use std::process::Command;

use serde_json::Value;

use crate::common::machine::{Link, Namespace, is_privileged};
use crate::common::process::{Finished, Process};
use crate::common::shared;

const BINARY: &str = env!("CARGO_BIN_EXE_wirehaul");

fn doctor(namespace: &Namespace, flags: &[&str]) -> Finished {
    let mut command = namespace.command(BINARY);
    command.arg("doctor").args(flags);
    Process::spawn(command).wait()
}

/// The check of `point`, on an interface or with `None` on the host.
#[track_caller]
fn check(finished: &Finished, iface: Option<&str>, point: &str) -> Value {
    let checks = finished.events("check").into_iter();
    let mut found: Vec<_> =
        checks.filter(|check| check["iface"].as_str() == iface && check["point"] == point).collect();
    assert_eq!(found.len(), 1, "{point} of {iface:?}: {}", finished.output());
    found.remove(0)
}

/// The one interface in the summary.
#[track_caller]
fn conclusion(finished: &Finished) -> Value {
    let interfaces = finished.summary()["interfaces"].as_array().unwrap().clone();
    assert_eq!(interfaces.len(), 1, "{}", finished.output());
    interfaces[0].clone()
}

/// Whether this kernel can do it at all: the doctor is not what is tested there.
fn has_af_xdp(finished: &Finished) -> bool {
    check(finished, None, "af-xdp")["verdict"] == "ok" && check(finished, None, "bpf")["verdict"] != "fail"
}

#[test]
fn a_veth_pair_that_is_up_works_without_zero_copy() {
    let _guard = shared();
    if !is_privileged("doctor on a veth pair") {
        return;
    }
    let link = Link::new();
    let found = doctor(&link.left, &["--iface", "wire", "--json"]);
    if !has_af_xdp(&found) {
        eprintln!("skipped: this kernel has no AF_XDP");
        return;
    }
    let found = found.expect(0);
    assert_eq!(check(&found, Some("wire"), "link")["verdict"], "ok");
    assert!(check(&found, Some("wire"), "kind")["read"].as_str().unwrap().contains("veth"));
    assert_eq!(check(&found, Some("wire"), "mtu")["verdict"], "ok");
    let conclusion = conclusion(&found);
    assert_eq!((&conclusion["works"], &conclusion["transport"]), (&true.into(), &"xdp-copy".into()));
    assert!(conclusion["queues"].as_u64().unwrap() >= 1);
    assert_eq!((&found.summary()["exit_code"], found.stderr.as_str()), (&0.into(), ""));

    let text = doctor(&link.left, &["--iface", "wire"]).expect(0);
    assert!(
        text.stdout.lines().any(|line| line.starts_with("wire: AF_XDP will work in copy mode only")),
        "{}",
        text.output()
    );
    assert!(
        text.stdout.lines().all(|line| line.len() <= 80 || line.trim_start().starts_with("$ ")),
        "{}",
        text.output()
    );
    // The same again: looking changed nothing.
    assert_eq!(doctor(&link.left, &["--iface", "wire"]).expect(0).stdout, text.stdout);
}

#[test]
fn a_link_that_is_down_is_said_to_be_set_up() {
    let _guard = shared();
    if !is_privileged("doctor on a link that is down") {
        return;
    }
    let link = Link::new();
    link.left.ip(&["link", "set", "wire", "down"]);
    let found = doctor(&link.left, &["--iface", "wire", "--json"]).expect(4);
    let down = check(&found, Some("wire"), "link");
    assert_eq!((&down["verdict"], &down["change"]), (&"fail".into(), &"sudo ip link set dev wire up".into()));
    assert_eq!(conclusion(&found)["transport"], "udp");
    assert_eq!(found.summary()["exit_code"], 4);
    // The other end has no carrier now; that is no reason why sockets would not work.
    let other = doctor(&link.right, &["--iface", "wire", "--json"]);
    assert_eq!(check(&other, Some("wire"), "link")["read"], "up, no carrier");
    // With -q, only what does not work, on stderr.
    let quiet = doctor(&link.left, &["--iface", "wire", "-q"]).expect(4);
    assert!(
        quiet.one_line().starts_with("wire: AF_XDP will not work") && quiet.stdout.is_empty(),
        "{}",
        quiet.output()
    );
}

#[test]
fn a_port_of_a_bridge_belongs_to_the_bridge() {
    let _guard = shared();
    if !is_privileged("doctor on a bridge") {
        return;
    }
    let link = Link::new();
    link.left.ip(&["link", "add", "room", "type", "bridge"]);
    link.left.ip(&["link", "set", "wire", "master", "room"]);
    let found = doctor(&link.left, &["--iface", "wire", "--json"]).expect(4);
    let port = check(&found, Some("wire"), "port");
    assert_eq!((&port["read"], &port["verdict"]), (&"of bridge room".into(), &"fail".into()));
    assert_eq!(port["change"], "sudo ip link set dev wire nomaster");
    // What is advised helps.
    link.left.ip(&["link", "set", "dev", "wire", "nomaster"]);
    assert_eq!(check(&doctor(&link.left, &["--iface", "wire", "--json"]), Some("wire"), "port")["verdict"], "ok");
}

#[test]
fn large_packets_take_more_than_a_frame() {
    let _guard = shared();
    if !is_privileged("doctor on a link of MTU 9000") {
        return;
    }
    let link = Link::new();
    for host in [&link.left, &link.right] {
        host.ip(&["link", "set", "wire", "mtu", "9000"]);
    }
    let found = doctor(&link.left, &["--iface", "wire", "--json"]);
    let mtu = check(&found, Some("wire"), "mtu");
    assert_eq!((&mtu["read"], &mtu["verdict"]), (&"9000".into(), &"warn".into()));
    assert_eq!(mtu["change"], "sudo ip link set dev wire mtu 3498");
}

#[test]
fn without_a_default_route_every_interface_that_is_up_is_looked_at() {
    let _guard = shared();
    if !is_privileged("doctor without a default route") {
        return;
    }
    let link = Link::new();
    let ifaces = |finished: &Finished| -> Vec<String> {
        let interfaces = finished.summary()["interfaces"].as_array().unwrap().clone();
        interfaces.iter().map(|interface| interface["iface"].as_str().unwrap().to_owned()).collect()
    };
    link.left.ip(&["link", "add", "left", "type", "veth", "peer", "name", "right"]);
    link.left.ip(&["link", "set", "left", "up"]);
    link.left.ip(&["link", "set", "right", "up"]);
    let mut all = ifaces(&doctor(&link.left, &["--json"]));
    all.sort();
    assert_eq!(all, ["left", "right", "wire"]);
    link.left.ip(&["route", "add", "default", "via", "10.74.0.2"]);
    assert_eq!(ifaces(&doctor(&link.left, &["--json"])), ["wire"]);
    link.left.ip(&["route", "delete", "default"]);
    link.left.ip(&["-6", "route", "add", "default", "via", "fd74::2"]);
    assert_eq!(ifaces(&doctor(&link.left, &["--json"])), ["wire"]);

    let empty = Namespace::new();
    let found = doctor(&empty, &["--json"]).expect(4);
    assert!(found.one_line().contains("no interface is up"), "{}", found.output());
    assert_eq!(found.summary()["interfaces"], Value::Array(Vec::new()));
}

#[test]
fn names_that_nobody_has() {
    let _guard = shared();
    let run = |flags: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("doctor").args(flags);
        Process::spawn(command).wait()
    };
    let found = run(&["--iface", "wh-nobody", "--json"]).expect(4);
    let message = found.one_line();
    assert!(
        message.starts_with("there is no interface `wh-nobody`; there are ") && message.contains("lo"),
        "{message}"
    );
    assert_eq!(found.summary()["error"], message);
    assert!(run(&["--iface", "wh-nobody"]).expect(4).stdout.is_empty());
    for bad in ["", "sixteen-bytes-xx", "a b", "a/b"] {
        assert!(run(&["--iface", bad]).expect(2).stderr.contains("like eth0"), "{bad:?}");
    }
}

/// What takes a privilege is said with the command that gives it, and the rest is looked at all the same.
#[test]
fn an_ordinary_user_is_told_which_capabilities_are_missing() {
    let _guard = shared();
    if !is_privileged("doctor as another user") {
        return;
    }
    let link = Link::new();
    // The binary lies where only its builder may look, perhaps.
    let place = tempfile::Builder::new().permissions(permissions(0o755)).tempdir().unwrap();
    let binary = place.path().join("wirehaul");
    std::fs::copy(BINARY, &binary).unwrap();
    let mut command = link.left.command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
    command.arg(&binary).args(["doctor", "--iface", "wire", "--json"]);
    let found = Process::spawn(command).wait().expect(4);
    let missing = check(&found, None, "capabilities");
    assert_eq!(missing["read"], "missing CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF");
    assert!(missing["change"].as_str().unwrap().starts_with("sudo setcap cap_net_raw,cap_net_admin,cap_bpf"));
    assert_ne!(check(&found, None, "af-xdp")["verdict"], "ok");
    assert_eq!(check(&found, Some("wire"), "link")["verdict"], "ok");
    assert_eq!(conclusion(&found)["works"], false);
}

fn permissions(mode: u32) -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}
