//! The filter under the kernel of this machine.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use wirehaul_core::filter::asm::{Assembler, Operation, Register};

use super::*;
use crate::xdp::testing::{in_namespace, unbound_socket};

/// The frames that the interpreter is shown too, with what must become of them.
const FRAMES: &str = include_str!("../../../../proptests/data/filter-frames.txt");

/// The same for the filter of a survey, whose window begins at this port.
const SURVEY_FRAMES: &str = include_str!("../../../../proptests/data/scan-filter-frames.txt");
const WINDOW: u16 = 0xe000;

struct Frame {
    verdict: Verdict,
    name: &'static str,
    bytes: Vec<u8>,
}

fn frames() -> Vec<Frame> {
    frames_in(FRAMES)
}

fn frames_in(text: &'static str) -> Vec<Frame> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("open "))
        .map(|line| {
            let [verdict, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let verdict = match verdict {
                "redirect" => Verdict::Redirect,
                "pass" => Verdict::Pass,
                other => panic!("{other}"),
            };
            Frame { verdict, name, bytes: hex.as_bytes().chunks(2).map(byte).collect() }
        })
        .collect()
}

/// A filter for one queue, open for what the list of frames takes for granted.
fn filter(frags: bool) -> PortFilter {
    let filter = PortFilter::load(1, frags).unwrap_or_else(|error| panic!("{error}"));
    for address in FRAMES.lines().filter_map(|line| line.strip_prefix("open ")) {
        let address: SocketAddr = address.parse().unwrap();
        filter.add(address.ip(), address.port()).unwrap();
    }
    filter
}

fn frame(name: &str) -> Vec<u8> {
    frames().into_iter().find(|frame| frame.name == name).unwrap().bytes
}

/// XDP-8: our ports to the sockets, everything else to the kernel; under the same frames as the interpreter.
#[test]
fn the_kernel_redirects_and_passes_as_the_interpreter_does() {
    in_namespace("the filter under the kernel", || {
        for frags in [false, true] {
            let filter = filter(frags);
            for Frame { name, bytes, .. } in frames() {
                assert_eq!(filter.test_run(&bytes).unwrap(), Verdict::Pass, "{name}, without a socket");
            }
            let socket = unbound_socket();
            filter.bind_queue(0, socket.as_fd()).unwrap();
            for Frame { verdict, name, bytes } in frames() {
                assert_eq!(filter.test_run(&bytes).unwrap(), verdict, "{name}");
            }
        }
    });
}

/// SCAN-1: TCP and UDP to our window to the sockets, everything else to the kernel; under the same frames as the interpreter.
#[test]
fn the_kernel_tells_answers_to_a_survey_from_the_rest() {
    in_namespace("the filter of a survey under the kernel", || {
        for frags in [false, true] {
            let filter = PortFilter::load_for_scan(SocketMap::create(1).unwrap(), frags, WINDOW).unwrap();
            for address in SURVEY_FRAMES.lines().filter_map(|line| line.strip_prefix("open ")) {
                filter.add(address.parse::<SocketAddr>().unwrap().ip(), WINDOW).unwrap();
            }
            let socket = unbound_socket();
            filter.bind_queue(0, socket.as_fd()).unwrap();
            for Frame { verdict, name, bytes } in frames_in(SURVEY_FRAMES) {
                assert_eq!(filter.test_run(&bytes).unwrap(), verdict, "{name}");
            }
            drop(socket);
            for Frame { name, bytes, .. } in frames_in(SURVEY_FRAMES) {
                assert_eq!(filter.test_run(&bytes).unwrap(), Verdict::Pass, "{name}, without a socket");
            }
        }
    });
}

#[test]
fn ports_and_sockets_come_and_go_while_the_filter_is_loaded() {
    in_namespace("ports of the filter", || {
        let filter = filter(false);
        let (ipv4, ipv6) = (frame("ipv4-plain"), frame("ipv6-plain"));
        let verdicts = || [filter.test_run(&ipv4).unwrap(), filter.test_run(&ipv6).unwrap()];
        let socket = unbound_socket();
        filter.bind_queue(0, socket.as_fd()).unwrap();
        assert_eq!(verdicts(), [Verdict::Redirect, Verdict::Redirect]);

        let address = IpAddr::from(Ipv4Addr::new(10, 74, 0, 2));
        assert!(filter.remove(address, 7421).unwrap());
        assert!(!filter.remove(address, 7421).unwrap(), "it was gone already");
        assert_eq!(verdicts(), [Verdict::Pass, Verdict::Redirect]);
        filter.add("::ffff:10.74.0.2".parse().unwrap(), 7421).unwrap();
        filter.add(address, 7421).unwrap();
        assert_eq!(verdicts(), [Verdict::Redirect, Verdict::Redirect]);

        filter.unbind_queue(0).unwrap();
        filter.unbind_queue(0).unwrap();
        assert_eq!(verdicts(), [Verdict::Pass, Verdict::Pass]);
        filter.bind_queue(0, socket.as_fd()).unwrap();
        drop(socket);
        assert_eq!(verdicts(), [Verdict::Pass, Verdict::Pass], "the kernel forgets sockets that are closed");
    });
}

#[test]
fn what_does_not_fit_the_maps_is_said() {
    in_namespace("limits of the filter", || {
        let filter = PortFilter::load(2, false).unwrap();
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        (1..=PORTS_CAPACITY).for_each(|port| filter.add(address, port as u16).unwrap());
        assert!(matches!(filter.add(address, 0), Err(FilterError::PortsFull)));
        assert!(filter.remove(address, 1).unwrap());
        filter.add(address, 0).unwrap();

        let socket = unbound_socket();
        filter.bind_queue(1, socket.as_fd()).unwrap();
        for result in [filter.bind_queue(2, socket.as_fd()), filter.unbind_queue(2)] {
            assert!(matches!(result, Err(FilterError::NoSuchQueue { queue: 2, queues: 2 })), "{result:?}");
        }
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let result = filter.bind_queue(0, udp.as_fd());
        assert!(matches!(result, Err(FilterError::BindQueue { queue: 0, .. })), "{result:?}");
        let result = PortFilter::load(0, false).map(drop);
        assert!(matches!(result, Err(FilterError::CreateSockets { queues: 0, .. })), "{result:?}");
        let result = filter.test_run(&[0; 13]);
        assert!(matches!(result, Err(FilterError::TestRun { bytes: 13, .. })), "{result:?}");
    });
}

#[test]
fn a_program_that_is_refused_comes_with_the_verifier_s_words() {
    in_namespace("a program that the verifier refuses", || {
        let mut asm = Assembler::<4>::new();
        asm.compute(Operation::Move, Register::R0, Register::R7);
        asm.exit();
        let (error, log) = call::load(c"wrong", LICENSE, &asm.finish().unwrap(), false).unwrap_err();
        let error = FilterError::Load { source: error, log };
        assert!(error.to_string().contains("R7 !read_ok"), "{error}");
    });
}

/// XDP-8: a map that libxdp or bpfman made is as good.
#[test]
fn maps_of_others_are_taken_if_they_are_of_sockets() {
    in_namespace("a map that somebody else made", || {
        let theirs = SocketMap::create(4).unwrap();
        let shared = SocketMap::from_descriptor(theirs.descriptor.try_clone().unwrap()).unwrap();
        assert_eq!(shared.queues(), 4);
        let filter = PortFilter::load_with(shared, false, u16::MAX).unwrap();
        filter.add(Ipv4Addr::new(10, 74, 0, 2).into(), 7421).unwrap();
        let socket = unbound_socket();
        theirs.bind(0, socket.as_fd()).unwrap();
        assert_eq!(filter.test_run(&frame("ipv4-plain")).unwrap(), Verdict::Redirect);

        let ports = call::create_map(c"ports", PORTS).unwrap();
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        for other in [ports, file] {
            let result = SocketMap::from_descriptor(other);
            assert!(matches!(result, Err(FilterError::NotASocketMap(_))), "{result:?}");
        }
    });
}

#[test]
fn pinned_maps_are_opened() {
    in_namespace("a pinned map", || {
        let folder = tempfile::tempdir().unwrap();
        mount_bpf(folder.path());
        let place = folder.path().join("xsks_map");
        let result = SocketMap::open_pinned(&place);
        assert!(matches!(&result, Err(FilterError::OpenPinned { path, .. }) if *path == place), "{result:?}");
        let map = SocketMap::create(3).unwrap();
        pin(map.descriptor.as_fd(), &place);
        drop(map);
        assert_eq!(SocketMap::open_pinned(&place).unwrap().queues(), 3);
    });
}

/// Mounts a BPF file system for this thread alone, until it ends.
fn mount_bpf(folder: &Path) {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount").args(arguments).status();
        assert!(status.unwrap().success(), "mount {arguments:?}");
    };
    mount(&["--make-rprivate", "/"]);
    mount(&["-t", "bpf", "bpf", folder.to_str().unwrap()]);
}

fn pin(map: BorrowedFd<'_>, place: &Path) {
    const OBJ_PIN: i32 = 6;
    let path = CString::new(place.as_os_str().as_bytes()).unwrap();
    let attribute = [path.as_ptr().expose_provenance() as u64, map.as_raw_fd() as u64];
    // SAFETY: a path that ends with a zero and outlives the call, and a descriptor with zero flags in the word behind.
    let result = unsafe { libc::syscall(libc::SYS_bpf, OBJ_PIN, attribute.as_ptr(), size_of_val(&attribute)) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Takes all capabilities from this thread.
fn drop_capabilities() {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
}

#[test]
fn without_privilege_the_error_says_what_is_needed() {
    in_namespace("a thread without capabilities", || {
        drop_capabilities();
        let error = PortFilter::load(1, false).unwrap_err();
        assert!(matches!(error, FilterError::Privilege { .. }), "{error:?}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    });
}
