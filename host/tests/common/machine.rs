//! What some machines lack: root, network namespaces, small file systems.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use wirehaul::uring::{Queue, QueueOptions};
use wirehaul::xdp::bpf::SocketMap;

/// Whether this process may make namespaces and mounts. Where it may not, says that `test` is skipped; with
/// `WIREHAUL_REQUIRE=net` that is a failure.
pub fn is_privileged(test: &str) -> bool {
    let may =
        rustix::process::geteuid().is_root() && runs("ip", &["netns", "list"]) && runs("unshare", &["--mount", "true"]);
    may || skip(test, "root, `ip netns` and mounts", "net")
}

/// The same, and whether the kernel has AF_XDP and loads BPF programs: with `WIREHAUL_REQUIRE=xdp` it must.
pub fn has_xdp(test: &str) -> bool {
    if !is_privileged(test) {
        return false;
    }
    let protocols = std::fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    let has_sockets = protocols.lines().any(|line| line.starts_with("XDP "));
    has_sockets && SocketMap::create(1).is_ok() || skip(test, "AF_XDP and BPF", "xdp")
}

/// Whether the kernel gives this process rings: with `WIREHAUL_REQUIRE=uring` it must.
pub fn has_rings(test: &str) -> bool {
    match Queue::open(&QueueOptions::default()) {
        Ok(_) => true,
        Err(refused) => skip(test, &format!("io_uring ({refused})"), "uring"),
    }
}

/// Whether ethtool(8) is installed: with `WIREHAUL_REQUIRE=xdp` it must be.
pub fn has_ethtool(test: &str) -> bool {
    runs("ethtool", &["--version"]) || skip(test, "ethtool", "xdp")
}

/// Says that `test` is skipped, unless `WIREHAUL_REQUIRE` names what it needs.
fn skip(test: &str, needs: &str, feature: &str) -> bool {
    let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|needed| needed.trim() == feature);
    assert!(!is_required, "{test} needs {needs}, and WIREHAUL_REQUIRE says that it is here");
    eprintln!("skipped: {test} needs {needs}");
    false
}

/// Whether long tests run at their full size, as in CI.
pub fn is_full_size() -> bool {
    std::env::var_os("WIREHAUL_TEST_FULL").is_some_and(|value| value == "1")
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn unique_name(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("wh{kind}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A file system in memory, mounted until dropped.
pub struct SmallDisk<'a> {
    at: &'a Path,
}

impl<'a> SmallDisk<'a> {
    /// Mounts one of `bytes` on the directory `at`.
    pub fn mount(at: &'a Path, bytes: u64) -> Self {
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "wirehaul-test", at.to_str().unwrap()]);
        Self { at }
    }

    /// Mounts it again with these options.
    pub fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), self.at.to_str().unwrap()]);
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.at).output();
    }
}

/// Moves this thread into the namespace of this name, for good.
pub fn enter(name: &str) {
    let file = std::fs::File::open(format!("/run/netns/{name}")).unwrap();
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
}

/// A network namespace, gone when dropped.
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn new() -> Self {
        let name = unique_name("n");
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    /// Runs `ip` inside.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) {
        run("ip", &[&["-n", self.name()], arguments].concat());
    }

    /// Runs `ip` inside; returns what it prints.
    #[track_caller]
    pub fn ask_ip(&self, arguments: &[&str]) -> String {
        let output = Command::new("ip").args(["-n", &self.name]).args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a line of shell inside.
    #[track_caller]
    pub fn sh(&self, line: &str) {
        run("ip", &["netns", "exec", &self.name, "sh", "-c", line]);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves this thread inside, for good.
    pub fn enter(&self) {
        enter(&self.name);
    }

    /// A command that runs `program` inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

/// Two namespaces joined by a veth pair: 10.74.0.1 and 10.74.0.2, fd74::1 and fd74::2. Both ends are called `wire`.
pub struct Link {
    pub left: Namespace,
    pub right: Namespace,
}

impl Link {
    /// Of MTU 1500 and one queue.
    pub fn new() -> Self {
        Self::with(1, 1500)
    }

    /// With so many queues in each direction.
    pub fn with(queues: u32, mtu: u32) -> Self {
        let (left, right) = (Namespace::new(), Namespace::new());
        left.join("wire", &right, "wire", queues);
        for (host, end) in [(&left, 1), (&right, 2)] {
            host.set_up("wire", &[&format!("10.74.0.{end}/24"), &format!("fd74::{end}/64")], mtu);
        }
        Self { left, right }
    }
}

impl Namespace {
    /// A veth pair from here to `other`.
    #[track_caller]
    pub fn join(&self, name: &str, other: &Self, other_name: &str, queues: u32) {
        let queues = queues.to_string();
        let queues = ["numtxqueues", &queues, "numrxqueues", &queues];
        let here = [&["link", "add", name][..], &queues, &["type", "veth", "peer", "name", other_name]].concat();
        self.ip(&[&here[..], &queues, &["netns", &other.name]].concat());
    }

    /// Gives an interface its addresses and sets it up, and the loopback device.
    #[track_caller]
    pub fn set_up(&self, interface: &str, addresses: &[&str], mtu: u32) {
        // Like IPv4 addresses, those of IPv6 are to outlive a link that goes down.
        self.sh(&format!("echo 1 > /proc/sys/net/ipv6/conf/{interface}/keep_addr_on_down"));
        for address in addresses {
            let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
            self.ip(&[&["address", "add", address, "dev", interface][..], nodad].concat());
        }
        self.ip(&["link", "set", "lo", "up"]);
        self.ip(&["link", "set", interface, "mtu", &mtu.to_string(), "up"]);
    }
}
