//! What tests of BPF and AF_XDP need of the machine: root, network namespaces, a kernel with both.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Command;

use super::bpf::SocketMap;

/// Runs `test` on a thread in a network namespace of its own, which ends with the thread. Where this process may not, says
/// that `name` is skipped; with `WIREHAUL_REQUIRE=xdp` that is a failure.
pub(super) fn in_namespace(name: &str, test: impl FnOnce() + Send + 'static) {
    let name = name.to_owned();
    let thread = std::thread::spawn(move || {
        let is_alone = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok();
        match SocketMap::create(1) {
            Ok(_) if is_alone && runs(&["link", "set", "lo", "up"]) => test(),
            outcome => {
                let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
                let is_required = required.split(',').any(|needed| needed.trim() == "xdp");
                assert!(
                    !is_required,
                    "{name} needs root, namespaces, BPF and AF_XDP, which WIREHAUL_REQUIRE says are here: {outcome:?}"
                );
                eprintln!("skipped: {name} needs root, network namespaces, BPF and AF_XDP");
            }
        }
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn runs(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).status().is_ok_and(|status| status.success())
}

/// Runs ip(8) in this thread's network namespace; returns what it prints.
#[track_caller]
pub(super) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a veth pair, `wire0` and `wire1`, of this MTU; returns their indexes.
pub(super) fn veth_pair(mtu: u32) -> [u32; 2] {
    ip("link add wire0 type veth peer name wire1");
    ["wire0", "wire1"].map(|name| {
        ip(&format!("link set dev {name} mtu {mtu} up"));
        nix::net::if_::if_nametoindex(name).unwrap()
    })
}

/// An AF_XDP socket without memory, rings or queue.
pub(super) fn unbound_socket() -> OwnedFd {
    // SAFETY: no memory is passed.
    let number = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(number >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a descriptor that was opened just now and has no other owner.
    unsafe { OwnedFd::from_raw_fd(number) }
}
