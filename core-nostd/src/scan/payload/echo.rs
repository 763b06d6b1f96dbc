//! Where the answer to a question has the cookie.

use super::{Cookie, Form, Talk};
use crate::scan::cookie::are_same;

/// Where an answer repeats what the question had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// Nowhere: the protocol has no such field.
    Nowhere,
    /// At this byte, in the form in which it was sent.
    At(usize),
    /// SNMP: request id of versions 1 and 2, message id of version 3.
    Snmp,
    /// LDAP: message id.
    Ldap,
    /// CoAP: the token; of an empty message, the message id.
    Coap,
    /// SIP: the header field Call-ID.
    Sip,
    /// OpenVPN: the remote session id, behind what is acknowledged.
    OpenVpn,
    /// QUIC: the destination connection id.
    Quic,
    /// `BitTorrent` DHT: the transaction id.
    Dht,
}

/// Whether a datagram from this port brings back what a probe of it had. `true` where we have no question for the port, or one
/// whose answer has nothing to bring back.
pub(in crate::scan) fn is_answer(port: u16, cookie: Cookie, datagram: &[u8]) -> bool {
    let talks = Talk::of_port(port);
    talks.is_empty() || talks.iter().any(|talk| brings_back(*talk, cookie, datagram))
}

fn brings_back(talk: Talk, cookie: Cookie, datagram: &[u8]) -> bool {
    let question = talk.question();
    let (field, length) = question.form.bytes(cookie);
    let expected = field.get(..length).unwrap_or_default();
    let same = |came: Option<&[u8]>| came.is_some_and(|came| are_same(expected, came));
    match question.back {
        Back::Nowhere => true,
        Back::At(at) => same(datagram.get(at..at + length)),
        Back::Snmp => same(snmp_id(datagram)),
        Back::Ldap => same(ldap_id(datagram)),
        Back::Coap => is_coap_answer(cookie, datagram),
        Back::Sip => same(call_id(datagram, length)),
        Back::OpenVpn => same(remote_session(datagram)),
        Back::Quic => same(destination_id(datagram)),
        Back::Dht => {
            const KEY: &[u8] = b"1:t8:";
            let at = datagram.windows(KEY.len()).position(|window| window == KEY);
            same(at.and_then(|at| datagram.get(at + KEY.len()..)?.get(..length)))
        }
    }
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Takes a value of BER with a definite length: its tag, its contents and what follows (X.690 section 8.1).
fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        if !(1..=4).contains(&digits.len()) {
            return None;
        }
        (
            digits
                .iter()
                .try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)))?,
            rest,
        )
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// Takes a value of this tag; returns its contents and what follows.
fn take_only(wanted: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    take(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, contents, rest)| (contents, rest))
}

fn snmp_id(datagram: &[u8]) -> Option<&[u8]> {
    let (message, _) = take_only(SEQUENCE, datagram)?;
    let (version, rest) = take_only(INTEGER, message)?;
    let inner = if version == [3] {
        take_only(SEQUENCE, rest)?.0
    } else {
        let (_community, rest) = take_only(OCTETS, rest)?;
        // A response or a report: its tag says which.
        take(rest)?.1
    };
    Some(take_only(INTEGER, inner)?.0)
}

fn ldap_id(datagram: &[u8]) -> Option<&[u8]> {
    Some(take_only(INTEGER, take_only(SEQUENCE, datagram)?.0)?.0)
}

fn is_coap_answer(cookie: Cookie, datagram: &[u8]) -> bool {
    let (field, length) = Form::IdAndToken.bytes(cookie);
    let (id, token) = field.get(..length).unwrap_or_default().split_at(2);
    let Some((&[first, code, ..], rest)) = datagram.split_first_chunk::<4>() else { return false };
    // Version 1; the length of the token is in the lower half. An empty message acknowledges or refuses by its id alone (RFC 7252
    // sections 4.2 and 5.2.2).
    match (first >> 6, first & 0xf, code) {
        (1, 8, _) => rest.get(..8).is_some_and(|came| are_same(token, came)),
        (1, 0, 0) => datagram.get(2..4).is_some_and(|came| are_same(id, came)),
        _ => false,
    }
}

/// The value of the first header field `Call-ID`, or `i`, which is short for it (RFC 3261 section 20.8).
fn call_id(datagram: &[u8], length: usize) -> Option<&[u8]> {
    let lines = datagram.split(|byte| *byte == b'\n');
    for line in lines.map(<[u8]>::trim_ascii_end).take_while(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii_end();
        if name.eq_ignore_ascii_case(b"Call-ID") || name.eq_ignore_ascii_case(b"i") {
            let value = value.get(1..)?.trim_ascii_start();
            return Some(value).filter(|value| value.len() == length);
        }
    }
    None
}

/// Opcode and key (1), session id (8), number of packets acknowledged (1), their ids (4 each), the remote session id (8).
fn remote_session(datagram: &[u8]) -> Option<&[u8]> {
    let acknowledged = usize::from(*datagram.get(9)?);
    if acknowledged == 0 {
        return None;
    }
    datagram.get(10 + 4 * acknowledged..)?.get(..8)
}

/// Flags (1), version (4), the length of the id (1), the id.
fn destination_id(datagram: &[u8]) -> Option<&[u8]> {
    const LONG_HEADER: u8 = 0x80;
    datagram.first().filter(|first| **first & LONG_HEADER != 0)?;
    let length = usize::from(*datagram.get(5)?);
    datagram.get(6..)?.get(..length)
}
