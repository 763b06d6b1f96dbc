//! What some machines lack: root, network namespaces, small file systems.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether this process may make namespaces and mounts. Where it may not, says that `test` is skipped; with
/// `WIREHAUL_REQUIRE=net` that is a failure.
pub fn is_privileged(test: &str) -> bool {
    if rustix::process::geteuid().is_root() && runs("ip", &["netns", "list"]) && runs("unshare", &["--mount", "true"]) {
        return true;
    }
    let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|needed| needed.trim() == "net");
    assert!(!is_required, "{test} needs root, `ip netns` and mounts, and WIREHAUL_REQUIRE says that they are here");
    eprintln!("skipped: {test} needs root, `ip netns` and mounts");
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
        run("ip", &[&["-n", &self.name], arguments].concat());
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

/// Two namespaces joined by a veth pair of MTU 1500: 10.74.0.1 and 10.74.0.2, fd74::1 and fd74::2.
pub struct Link {
    pub left: Namespace,
    pub right: Namespace,
}

impl Link {
    pub fn new() -> Self {
        let (left, right) = (Namespace::new(), Namespace::new());
        left.ip(&["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &right.name]);
        for (host, end) in [(&left, 1), (&right, 2)] {
            // Like IPv4 addresses, those of IPv6 are to outlive a link that goes down.
            let setting = "echo 1 > /proc/sys/net/ipv6/conf/wire/keep_addr_on_down";
            run("ip", &["netns", "exec", &host.name, "sh", "-c", setting]);
            host.ip(&["address", "add", &format!("10.74.0.{end}/24"), "dev", "wire"]);
            host.ip(&["address", "add", &format!("fd74::{end}/64"), "dev", "wire", "nodad"]);
            host.ip(&["link", "set", "lo", "up"]);
            host.ip(&["link", "set", "wire", "mtu", "1500", "up"]);
        }
        Self { left, right }
    }
}
