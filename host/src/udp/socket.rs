//! Opening a UDP socket: both address families on one, and buffers for a fast path.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Options;

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address family or UDP itself is missing here.
    #[error("cannot open a UDP socket: {source}")]
    Open {
        /// What the system said.
        source: io::Error,
    },
    /// The address is taken, not ours, or needs a privilege.
    #[error("cannot listen on UDP {local}: {source}; choose another address or port")]
    Bind {
        /// The address that was asked for.
        local: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no memory for packets.
    #[error("cannot reserve memory for packets: free some, or raise the limit on address space (ulimit -v)")]
    Buffers,
    /// The socket refused a setting that this program depends on.
    #[error("cannot set up a UDP socket: {source}")]
    Configure {
        /// What the system said.
        source: io::Error,
    },
}

/// The sizes of a socket's buffers as the kernel granted them, in bytes of the unit in which one asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferBytes {
    /// For what arrives.
    pub receive: usize,
    /// For what leaves.
    pub send: usize,
}

/// A socket on `local`; see [`super::UdpDevice::bind`].
pub(super) fn bind(local: SocketAddr) -> Result<UdpSocket, BindError> {
    match open(local) {
        Err(error) if is_every_address_of_ipv6(local) && has_no_ipv6(&error) => {
            open(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), local.port()))
        }
        opened => opened,
    }
}

fn open(local: SocketAddr) -> Result<UdpSocket, BindError> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))
        .map_err(|source| BindError::Open { source })?;
    if is_every_address_of_ipv6(local) {
        socket.set_only_v6(false).map_err(|source| BindError::Configure { source })?;
    }
    socket.bind(&local.into()).map_err(|source| BindError::Bind { local, source })?;
    Ok(socket.into())
}

fn is_every_address_of_ipv6(local: SocketAddr) -> bool {
    local.is_ipv6() && local.ip().is_unspecified()
}

/// Whether the failure is one that a kernel without IPv6, or with it disabled, answers with.
fn has_no_ipv6(error: &BindError) -> bool {
    match error {
        BindError::Open { .. } => true,
        BindError::Bind { source, .. } => source.kind() == io::ErrorKind::AddrNotAvailable,
        BindError::Buffers | BindError::Configure { .. } => false,
    }
}

/// Asks for large buffers and says what was granted. A refusal costs speed, not function, so it is no error.
pub(super) fn set_buffers(socket: &UdpSocket, options: &Options) -> BufferBytes {
    let reference = SockRef::from(socket);
    if !force_receive_buffer(socket, options.receive_buffer_bytes) {
        // The system's limit caps this; what was granted is read back below and reported.
        let _ = reference.set_recv_buffer_size(options.receive_buffer_bytes);
    }
    if !force_send_buffer(socket, options.send_buffer_bytes) {
        let _ = reference.set_send_buffer_size(options.send_buffer_bytes);
    }
    // Linux doubles what it was asked for, for its own bookkeeping, and says the doubled figure.
    let doubled = if cfg!(target_os = "linux") { 2 } else { 1 };
    BufferBytes {
        receive: reference.recv_buffer_size().unwrap_or(0) / doubled,
        send: reference.send_buffer_size().unwrap_or(0) / doubled,
    }
}

/// Whether the buffer could be set beyond the system's limit, which takes CAP_NET_ADMIN.
#[cfg(target_os = "linux")]
fn force_receive_buffer(socket: &UdpSocket, bytes: usize) -> bool {
    nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RcvBufForce, &bytes).is_ok()
}

#[cfg(target_os = "linux")]
fn force_send_buffer(socket: &UdpSocket, bytes: usize) -> bool {
    nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::SndBufForce, &bytes).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn force_receive_buffer(_: &UdpSocket, _: usize) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn force_send_buffer(_: &UdpSocket, _: usize) -> bool {
    false
}

/// Turns off the timestamp on every packet that quinn-udp asked for: nothing here reads it, and it costs a clock read.
#[cfg(target_os = "linux")]
pub(super) fn no_timestamps(socket: &UdpSocket) {
    // Without it everything works all the same.
    let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::ReceiveTimestampns, &false);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn no_timestamps(_: &UdpSocket) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_in_the_error() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let local = first.local_addr().unwrap();
        let message = bind(local).unwrap_err().to_string();
        assert!(message.contains(&local.to_string()), "{message}");
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused() {
        // TEST-NET-1 (RFC 5737) is on no machine.
        assert!(matches!(bind("192.0.2.1:0".parse().unwrap()), Err(BindError::Bind { .. })));
    }
}
