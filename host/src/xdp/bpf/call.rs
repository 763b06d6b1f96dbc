//! The bpf(2) system call, as far as the filter needs it; structures as in `union bpf_attr` of include/uapi/linux/bpf.h.
//!
//! Each command has its own structure here. The kernel takes any prefix of the union, and wants zeros in what it does not
//! know: so none of them has padding.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long};
use wirehaul_core::filter::asm::Instruction;

const MAP_CREATE: c_int = 0;
const MAP_UPDATE_ELEM: c_int = 2;
const MAP_DELETE_ELEM: c_int = 3;
const PROG_LOAD: c_int = 5;
const OBJ_GET: c_int = 7;
const PROG_TEST_RUN: c_int = 10;
const OBJ_GET_INFO_BY_FD: c_int = 15;
const LINK_CREATE: c_int = 28;
const LINK_DETACH: c_int = 34;

const PROG_TYPE_XDP: u32 = 6;
/// BPF_XDP of `enum bpf_attach_type`.
const ATTACH_XDP: u32 = 37;
/// BPF_F_XDP_HAS_FRAGS: the program takes packets of several buffers, and looks into the first only.
const XDP_HAS_FRAGS: u32 = 1 << 5;

/// Bytes of a name, with the zero behind it (BPF_OBJ_NAME_LEN).
const NAME_BYTES: usize = 16;
/// The verifier needs about 100 bytes for each instruction that it looks at.
const LOG_BYTES: usize = 64 << 10;

/// What kind of map: a number of `enum bpf_map_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum MapKind {
    Hash = 1,
    Array = 2,
    /// AF_XDP sockets by number.
    Sockets = 17,
}

/// What a map is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapShape {
    /// A [`MapKind`], or one that is none of ours.
    pub(super) kind: u32,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) entries: u32,
}

/// Makes a map.
pub(super) fn create_map(name: &CStr, shape: MapShape) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attribute {
        kind: u32,
        key_bytes: u32,
        value_bytes: u32,
        entries: u32,
        flags: u32,
        inner_map: u32,
        numa_node: u32,
        name: [u8; NAME_BYTES],
    }
    let MapShape { kind, key_bytes, value_bytes, entries } = shape;
    let name = object_name(name);
    let mut attribute = Attribute { kind, key_bytes, value_bytes, entries, flags: 0, inner_map: 0, numa_node: 0, name };
    // SAFETY: the attribute is the start of the union for MAP_CREATE and holds no pointers; what comes back is a new
    // descriptor.
    unsafe { descriptor(bpf(MAP_CREATE, &mut attribute)?) }
}

/// A key of a map and, where it is set, the value.
#[repr(C)]
struct Element {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Sets the value of a key, new or not.
///
/// `key` and `value` have as many bytes as the map was made for.
pub(super) fn set(map: BorrowedFd<'_>, shape: MapShape, key: &[u8], value: &[u8]) -> io::Result<()> {
    check_length(key, shape.key_bytes)?;
    check_length(value, shape.value_bytes)?;
    let mut attribute = Element { map: raw(map), zero: 0, key: address(key), value: address(value), flags: 0 };
    // SAFETY: the kernel reads as many bytes of key and value as the map was made for, which were counted just now; both
    // outlive the call.
    unsafe { bpf(MAP_UPDATE_ELEM, &mut attribute) }.map(drop)
}

/// Takes a key out.
pub(super) fn remove(map: BorrowedFd<'_>, shape: MapShape, key: &[u8]) -> io::Result<()> {
    check_length(key, shape.key_bytes)?;
    let mut attribute = Element { map: raw(map), zero: 0, key: address(key), value: 0, flags: 0 };
    // SAFETY: as in `set`; no value is read.
    unsafe { bpf(MAP_DELETE_ELEM, &mut attribute) }.map(drop)
}

fn check_length(bytes: &[u8], wanted: u32) -> io::Result<()> {
    if bytes.len() == wanted as usize { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// What kind of map is behind the descriptor.
pub(super) fn shape_of(map: BorrowedFd<'_>) -> io::Result<MapShape> {
    /// The start of `struct bpf_map_info`.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        kind: u32,
        id: u32,
        key_bytes: u32,
        value_bytes: u32,
        entries: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Attribute {
        descriptor: u32,
        info_bytes: u32,
        info: u64,
    }
    let mut info = Info::default();
    let place = (&raw mut info).expose_provenance() as u64;
    let mut attribute = Attribute { descriptor: raw(map), info_bytes: size_of::<Info>() as u32, info: place };
    // SAFETY: the kernel writes at most `info_bytes` to `info`, which is so long, takes any bytes, and outlives the call.
    // It refuses descriptors that are not its own.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attribute) }?;
    Ok(MapShape { kind: info.kind, key_bytes: info.key_bytes, value_bytes: info.value_bytes, entries: info.entries })
}

/// Opens what somebody pinned in a BPF file system.
pub(super) fn open_pinned(path: &CStr) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attribute {
        path: u64,
        descriptor: u32,
        flags: u32,
    }
    let mut attribute = Attribute { path: address(path.to_bytes_with_nul()), descriptor: 0, flags: 0 };
    // SAFETY: the path ends with a zero and outlives the call; what comes back is a new descriptor.
    unsafe { descriptor(bpf(OBJ_GET, &mut attribute)?) }
}

/// Loads an XDP program; where the verifier refuses it, comes with what the verifier says.
pub(super) fn load(
    name: &CStr,
    license: &CStr,
    program: &[Instruction],
    takes_frags: bool,
) -> Result<OwnedFd, (io::Error, String)> {
    let code: Vec<u8> = program.iter().flat_map(Instruction::encode).collect();
    match load_once(name, license, &code, takes_frags, &mut []) {
        // Nothing was verified.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err((error, String::new())),
        // Once more, for the verifier to say why. Writing its log takes longer than its work.
        Err(error) => {
            let mut log = vec![0; LOG_BYTES];
            match load_once(name, license, &code, takes_frags, &mut log) {
                Ok(program) => Ok(program),
                Err(_) => {
                    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
                    Err((error, String::from_utf8_lossy(text).trim().to_owned()))
                }
            }
        }
        Ok(program) => Ok(program),
    }
}

fn load_once(name: &CStr, license: &CStr, code: &[u8], takes_frags: bool, log: &mut [u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attribute {
        kind: u32,
        instructions: u32,
        code: u64,
        license: u64,
        log_level: u32,
        log_bytes: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; NAME_BYTES],
        interface: u32,
        attach_type: u32,
    }
    let mut attribute = Attribute {
        kind: PROG_TYPE_XDP,
        instructions: (code.len() / Instruction::BYTES) as u32,
        code: address(code),
        license: address(license.to_bytes_with_nul()),
        log_level: u32::from(!log.is_empty()),
        log_bytes: log.len() as u32,
        // Without a log there must be no address either.
        log: if log.is_empty() { 0 } else { address_mut(log) },
        kernel_version: 0,
        flags: if takes_frags { XDP_HAS_FRAGS } else { 0 },
        name: object_name(name),
        interface: 0,
        attach_type: ATTACH_XDP,
    };
    // SAFETY: the kernel reads `instructions` of 8 bytes from `code`, a license that ends with a zero, and writes at most
    // `log_bytes` to `log`; all outlive the call. What comes back is a new descriptor.
    unsafe { descriptor(bpf(PROG_LOAD, &mut attribute)?) }
}

/// Runs a program over a packet, and returns what the program returned. The packet has to hold an Ethernet header.
pub(super) fn test_run(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<u32> {
    #[repr(C)]
    struct Attribute {
        program: u32,
        returned: u32,
        bytes_in: u32,
        bytes_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut attribute = Attribute {
        program: raw(program),
        returned: 0,
        bytes_in: u32::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        bytes_out: 0,
        data_in: address(packet),
        data_out: 0,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: the kernel reads `bytes_in` from the packet, which outlives the call, and writes no packet without `data_out`.
    unsafe { bpf(PROG_TEST_RUN, &mut attribute) }?;
    Ok(attribute.returned)
}

/// Attaches an XDP program to an interface, until the descriptor is closed.
pub(in crate::xdp) fn attach(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attribute {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
    }
    let mut attribute = Attribute { program: raw(program), interface, attach_type: ATTACH_XDP, flags };
    // SAFETY: the attribute is the start of the union for LINK_CREATE and holds no pointers; what comes back is a new
    // descriptor.
    unsafe { descriptor(bpf(LINK_CREATE, &mut attribute)?) }
}

/// Detaches the program of a link, which has to be closed as well.
pub(in crate::xdp) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut link = raw(link);
    // SAFETY: the attribute is the start of the union for LINK_DETACH and holds no pointers.
    unsafe { bpf(LINK_DETACH, &mut link) }.map(drop)
}

/// The system call.
///
/// # Safety
/// `T` is laid out as the start of `union bpf_attr` is for `command`, without padding; what its addresses point to is there
/// until the call returns, as long as the kernel takes it to be, and may be written where `command` writes.
unsafe fn bpf<T>(command: c_int, attribute: &mut T) -> io::Result<c_long> {
    // SAFETY: `attribute` is as long as said, and the caller answers for its contents.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// # Safety
/// `number` is a descriptor that was opened for the caller and has no other owner.
unsafe fn descriptor(number: c_long) -> io::Result<OwnedFd> {
    let number = c_int::try_from(number).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: as the caller says.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor as the structures have it. One that is borrowed is open, and so not negative.
fn raw(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

/// Where bytes lie that the kernel is to read.
fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// Where bytes lie that the kernel is to write.
fn address_mut(bytes: &mut [u8]) -> u64 {
    bytes.as_mut_ptr().expose_provenance() as u64
}

/// The name in the kernel's lists (`bpftool map`), cut to what fits.
fn object_name(name: &CStr) -> [u8; NAME_BYTES] {
    let mut out = [0; NAME_BYTES];
    out.iter_mut().zip(name.to_bytes()).take(NAME_BYTES - 1).for_each(|(to, byte)| *to = *byte);
    out
}
