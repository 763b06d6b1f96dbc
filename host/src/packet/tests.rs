//! What packet sockets do without an interface of their own; more in tests/scan_devices.

use super::*;

#[test]
fn a_packet_s_first_byte_says_what_it_is() {
    assert_eq!(ether_type(&[0x45, 0]), 0x0800);
    assert_eq!(ether_type(&[0x60]), 0x86dd);
    assert_eq!(ether_type(&[]), 0x0800);
}

#[test]
fn errors_of_the_link_are_told_from_others() {
    let of = |code| fault_of(&io::Error::from_raw_os_error(code));
    assert_eq!(of(libc::ENETDOWN), Some(Fault::Down));
    assert_eq!((of(libc::ENXIO), of(libc::ENODEV)), (Some(Fault::Gone), Some(Fault::Gone)));
    assert_eq!((of(libc::ENOBUFS), of(libc::EMSGSIZE)), (None, None));
}
