//! One end of a veth pair: what the benchmark starts in a namespace.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use quinn_udp::{Transmit, UdpSocketState};
use serde_json::json;
use wirehaul::interface::Interface;
use wirehaul::xdp::{Datapath, Mode, Port};
use wirehaul_core::wire::net::MacAddress;

use super::{FRAME_BYTES, PORT, write_frame};

/// Packets per call.
const BATCH: usize = 64;
/// Frames that the kernel has for packets to come: they fit into the second cache.
pub const LENT: u32 = 512;
/// How many packets pass between two looks whether it is time to end.
const BETWEEN_LOOKS: usize = 16 * BATCH;

/// What this end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Sends frames through AF_XDP.
    Send,
    /// Receives frames through AF_XDP and drops them.
    Drop,
    /// Sends what it receives back.
    Forward,
    /// Sends datagrams, many per call.
    Sendmmsg,
    /// Sends datagrams that the kernel segments.
    Gso,
}

/// Everything that it needs to know.
#[derive(Clone, Debug, Args)]
pub struct RoleArgs {
    /// What to do
    #[arg(long)]
    pub role: Role,
    /// The interface
    #[arg(long)]
    pub iface: String,
    /// The kernel runs the filter behind the driver
    #[arg(long)]
    pub skb: bool,
    /// Own address
    #[arg(long)]
    pub own: Ipv4Addr,
    /// The other's address
    #[arg(long)]
    pub other: Ipv4Addr,
    /// The address whose packets come to the socket, if it is not the own one
    #[arg(long)]
    pub taken: Option<Ipv4Addr>,
    /// Frames that the kernel has for packets to come
    #[arg(long, default_value_t = LENT)]
    pub lent: u32,
    /// The NUMA node that frames lie on
    #[arg(long)]
    pub memory_node: Option<u32>,
    /// The other's hardware address
    #[arg(long, value_parser = parse_mac)]
    pub other_mac: MacAddress,
}

fn parse_mac(text: &str) -> Result<MacAddress, String> {
    let bytes: Vec<u8> = text.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    <[u8; 6]>::try_from(bytes).map(MacAddress).map_err(|_| "expected 00:11:22:33:44:55".to_owned())
}

/// Why a role was not played.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// No such interface.
    #[error(transparent)]
    Interface(#[from] wirehaul::interface::InterfaceError),
    /// AF_XDP is not to be had.
    #[error(transparent)]
    Open(#[from] wirehaul::xdp::OpenError),
    /// The system refuses something.
    #[error(transparent)]
    Os(#[from] io::Error),
}

/// Plays the role until its standard input ends, and prints how many packets that were as one line of JSON.
///
/// # Errors
/// [`RoleError`].
pub fn play(args: &RoleArgs) -> Result<(), RoleError> {
    let end = &*at_the_end_of_input();
    let packets = match args.role {
        Role::Sendmmsg => send_datagrams(args, end)?,
        Role::Gso => send_segmented(args, end)?,
        Role::Send | Role::Drop | Role::Forward => {
            let interface = Interface::by_name(&args.iface)?;
            let mode = if args.skb { Mode::Generic } else { Mode::Copy };
            let taken = args.taken.unwrap_or(args.own);
            let datapath = Datapath::open(&interface, mode, SocketAddr::new(taken.into(), PORT))?;
            let datapath = datapath.on_node(args.memory_node.or(interface.numa_node));
            let mut port = datapath.port(0)?;
            let own = MacAddress(interface.mac.unwrap_or_default());
            port.set_lent(args.lent);
            println!("{}", json!({ "type": "ready" }));
            let packets = match args.role {
                Role::Send => send(&mut port, args, own, end),
                Role::Drop => drop_all(&mut port, end),
                _ => forward(&mut port, end),
            };
            let frames = port.whereabouts();
            assert_eq!(frames.held(), 0, "a frame was lost: {frames:?}");
            packets
        }
    };
    println!("{}", json!({ "type": "summary", "packets": packets }));
    Ok(())
}

/// What becomes true when whoever started this process closes its standard input, or is gone.
fn at_the_end_of_input() -> Arc<AtomicBool> {
    let end = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&end);
    std::thread::spawn(move || {
        // Nothing is read that matters, and an error is an end as well.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        raised.store(true, Ordering::Relaxed);
    });
    end
}

fn send(port: &mut Port, args: &RoleArgs, own: MacAddress, end: &AtomicBool) -> u64 {
    let mut frame = [0; FRAME_BYTES];
    assert!(write_frame(&mut frame, [own, args.other_mac], [args.own, args.other]), "the headers fit");
    let mut packets = 0;
    while !end.load(Ordering::Relaxed) {
        for _ in 0..BETWEEN_LOOKS / BATCH {
            for _ in 0..BATCH {
                let sent = port.transmit(|bytes| {
                    bytes[..FRAME_BYTES].copy_from_slice(&frame);
                    FRAME_BYTES
                });
                packets += u64::from(sent);
            }
            port.flush();
        }
    }
    packets
}

/// Looks at the ring all the time, as xdpsock does: a receiver that sleeps has the sender's CPU wake it.
fn drop_all(port: &mut Port, end: &AtomicBool) -> u64 {
    let mut packets = 0;
    while !end.load(Ordering::Relaxed) {
        packets += port.receive(BATCH, |_| ()) as u64;
    }
    packets
}

fn forward(port: &mut Port, end: &AtomicBool) -> u64 {
    let mut packets = 0;
    while !end.load(Ordering::Relaxed) {
        let (count, forwarded) = port.forward(|frame| {
            let Some((macs, _)) = frame.split_first_chunk_mut::<12>() else { return false };
            let (to, from) = macs.split_at_mut(6);
            to.swap_with_slice(from);
            true
        });
        packets += forwarded as u64;
        if forwarded > 0 {
            port.flush();
        }
        if count == 0 {
            port.reap();
        }
    }
    packets
}

fn socket(args: &RoleArgs) -> io::Result<std::net::UdpSocket> {
    let socket = crate::udp::bind(SocketAddr::new(args.own.into(), PORT))?;
    println!("{}", json!({ "type": "ready" }));
    Ok(socket)
}

fn send_datagrams(args: &RoleArgs, end: &AtomicBool) -> io::Result<u64> {
    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;
    let socket = socket(args)?;
    let payload = [0_u8; FRAME_BYTES - 42];
    let other = args.other.octets();
    let addresses = [Some(SockaddrIn::new(other[0], other[1], other[2], other[3], PORT)); BATCH];
    let slices = [[IoSlice::new(&payload)]; BATCH];
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let mut packets = 0;
    while !end.load(Ordering::Relaxed) {
        for _ in 0..BETWEEN_LOOKS / BATCH {
            let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, addresses, [], MsgFlags::empty());
            packets += sent.map_or(0, |sent| sent.count() as u64);
        }
    }
    Ok(packets)
}

fn send_segmented(args: &RoleArgs, end: &AtomicBool) -> io::Result<u64> {
    let socket = socket(args)?;
    let state = UdpSocketState::new((&socket).into())?;
    let segment = FRAME_BYTES - 42;
    let contents = vec![0_u8; segment * BATCH];
    let transmit = Transmit {
        destination: SocketAddr::new(args.other.into(), PORT),
        ecn: None,
        contents: &contents,
        segment_size: Some(segment),
        src_ip: None,
    };
    let mut packets = 0;
    while !end.load(Ordering::Relaxed) {
        for _ in 0..BETWEEN_LOOKS / BATCH {
            if state.try_send((&socket).into(), &transmit).is_ok() {
                packets += BATCH as u64;
            }
        }
    }
    Ok(packets)
}
