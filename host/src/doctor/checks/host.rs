//! The kernel, and what this process may do.

use crate::doctor::Check;
use crate::doctor::facts::{AfXdp, Capabilities, Host};

/// AF_XDP itself (net/xdp, 2018).
const AF_XDP_SINCE: (u32, u32) = (4, 18);
/// XDP programs that go with the process that attached them (`bpf_link`, XDP-8).
const BPF_LINK_SINCE: (u32, u32) = (5, 9);
/// The family "netdev", by which drivers tell what XDP can do.
const FEATURES_SINCE: (u32, u32) = (6, 3);

const SET_CAPABILITIES: &str =
    "sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep \"$(command -v wirehaul)\"";

pub(super) fn kernel(host: &Host) -> Check {
    const POINT: &str = "kernel";
    let read = format!("Linux {}", host.release);
    let newer = |check: Check| check.advise("a kernel from 5.9 on, better from 6.3 on");
    if host.kernel().is_none() {
        return Check::info(POINT, format!("{read}: a release without a version"));
    }
    if host.is_before(AF_XDP_SINCE) {
        return newer(Check::fail(POINT, read, "AF_XDP came with Linux 4.18"));
    }
    if host.is_before(BPF_LINK_SINCE) {
        let why = "programs that leave with their process (bpf_link for XDP) came with Linux 5.9";
        return newer(Check::fail(POINT, read, why));
    }
    if host.is_before(FEATURES_SINCE) {
        return Check::info(POINT, read).because("drivers tell what XDP can do only from Linux 6.3 on");
    }
    Check::ok(POINT, read)
}

pub(super) fn sockets(host: &Host) -> Check {
    const POINT: &str = "af-xdp";
    match &host.af_xdp {
        AfXdp::Opens => Check::ok(POINT, "a socket opens"),
        AfXdp::Missing => Check::fail(POINT, "no such sockets", "this kernel was built without AF_XDP")
            .advise("a kernel with CONFIG_XDP_SOCKETS=y"),
        AfXdp::Refused if host.capabilities.have(Capabilities::NET_RAW) => Check::fail(
            POINT,
            "refused",
            "something forbids the socket: a filter of system calls, or a security module",
        )
        .advise("allow socket(AF_XDP) in the profile of the container or service"),
        AfXdp::Refused => Check::fail(POINT, "refused", "AF_XDP sockets take CAP_NET_RAW").change(SET_CAPABILITIES),
        AfXdp::Fails(error) => Check::fail(POINT, error.clone(), "an AF_XDP socket cannot be opened")
            .advise("see what `dmesg` says, and whether sockets have run out"),
    }
}

pub(super) fn bpf(host: &Host) -> Check {
    const POINT: &str = "bpf";
    if !host.has_bpf {
        return Check::fail(POINT, "no bpf(2)", "this kernel loads no BPF programs")
            .advise("a kernel with CONFIG_BPF_SYSCALL=y");
    }
    let of_others = match host.unprivileged_bpf_disabled {
        Some(0) => "anybody may load programs, of XDP only the privileged",
        _ => "only the privileged may load programs",
    };
    let lockdown = match host.lockdown.as_deref() {
        None | Some("none") => String::new(),
        Some(mode) => format!("; lockdown is {mode}, which lets programs of XDP pass"),
    };
    let read = format!("{of_others}{lockdown}");
    if host.has_bpf_jit == Some(false) {
        let why = "programs are interpreted, which costs time for every packet";
        return Check::warn(POINT, read, why).change("sudo sysctl net.core.bpf_jit_enable=1");
    }
    Check::ok(POINT, read)
}

pub(super) fn capabilities(host: &Host) -> Check {
    const POINT: &str = "capabilities";
    let own = host.capabilities;
    let has_bpf = own.have(Capabilities::BPF) || own.have(Capabilities::SYS_ADMIN);
    let mut missing = Vec::new();
    for (name, is_there) in [
        ("CAP_NET_RAW", own.have(Capabilities::NET_RAW)),
        ("CAP_NET_ADMIN", own.have(Capabilities::NET_ADMIN)),
        ("CAP_BPF", has_bpf),
    ] {
        if !is_there {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        let list = missing.join(", ");
        return Check::fail(POINT, format!("missing {list}"), format!("this process lacks {list}"))
            .change(SET_CAPABILITIES);
    }
    if host.is_in_user_namespace {
        let why = "capabilities of a user namespace do not reach as far as bpf(2)";
        return Check::fail(POINT, "only those of a user namespace", why)
            .advise("run it outside of the rootless container, or in a privileged one");
    }
    let and = if own.have(Capabilities::IPC_LOCK) { ", CAP_IPC_LOCK" } else { "" };
    Check::ok(POINT, format!("CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF{and}"))
}

/// Files, not packets: nothing here decides about AF_XDP.
pub(super) fn io_uring(host: &Host) -> Check {
    const POINT: &str = "io-uring";
    let slower = "files are read and written by threads instead";
    let enable = "sudo sysctl kernel.io_uring_disabled=0";
    if host.is_before((5, 1)) {
        return Check::warn(POINT, "none", slower).advise("a kernel from 6.1 on");
    }
    match host.io_uring_disabled {
        Some(2..) => Check::warn(POINT, "kernel.io_uring_disabled=2: for nobody", slower).change(enable),
        Some(1) if !host.may(Capabilities::SYS_ADMIN) => {
            Check::warn(POINT, "kernel.io_uring_disabled=1: for the privileged only", slower).change(enable)
        }
        Some(value) => Check::ok(POINT, format!("allowed (kernel.io_uring_disabled={value})")),
        None if host.is_before((6, 1)) => {
            Check::info(POINT, "allowed").because("Linux 6.1 brought modes of it that cost fewer interruptions")
        }
        None => Check::ok(POINT, "allowed"),
    }
}
