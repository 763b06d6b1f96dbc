//! The bytes of the questions, with zeros where the cookie goes.

use super::echo::Back;
use super::{Form, MAX_PAYLOAD_BYTES, Question};

pub(super) static ECHO: Question = Question::new(&[0; 16], Form::Hex, 0, Back::At(0));

/// One question, of class CH: `version.bind TXT`.
pub(super) static DNS: Question =
    Question::new(b"\0\0\0\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03", Form::Half, 0, Back::At(0));

/// What services there are, as a host asks that does not speak mDNS itself: from another port, with an id.
pub(super) static MDNS: Question = Question::new(
    b"\0\0\0\0\0\x01\0\0\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01",
    Form::Half,
    0,
    Back::At(0),
);

/// Node status of `*`, whose name is written in letters, half a byte each.
pub(super) static NETBIOS: Question = Question::new(
    b"\0\0\0\0\0\x01\0\0\0\0\0\0 CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01",
    Form::Half,
    0,
    Back::At(0),
);

/// Call, RPC version 2, program 100000 (the port mapper), version 2, procedure 0; no credentials, no verifier. A server that
/// has not this program says so.
pub(super) static RPC: Question = Question::new(
    b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    Form::Word,
    0,
    Back::At(0),
);

/// Version 4, mode 3 (client); the answer has the last field at its byte 24.
pub(super) static NTP: Question = Question::new(&join::<48>(b"\x23", b""), Form::Whole, 40, Back::At(24));

/// Version 1, community `public`, get 1.3.6.1.2.1.1.1.0.
pub(super) static SNMP: Question = Question::new(
    b"0\x29\x02\x01\0\x04\x06public\xa0\x1c\x02\x04\0\0\0\0\x02\x01\0\x02\x01\0\
      0\x0e0\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0\x05\0",
    Form::Number,
    17,
    Back::Snmp,
);

/// Version 3: who is the engine? An empty get without a user, to be reported on (RFC 3414 section 4).
pub(super) static SNMP3: Question = Question::new(
    b"0\x3b\x02\x01\x03\
      0\x11\x02\x04\0\0\0\0\x02\x03\0\xff\xe3\x04\x01\x04\x02\x01\x03\
      \x04\x100\x0e\x04\0\x02\x01\0\x02\x01\0\x04\0\x04\0\x04\0\
      0\x11\x04\0\x04\0\xa0\x0b\x02\x01\0\x02\x01\0\x02\x01\x000\0",
    Form::Number,
    9,
    Back::Snmp,
);

/// Version 1, query, no authentication names.
pub(super) static XDMCP: Question = Question::new(b"\0\x01\0\x02\0\x01\0", Form::Nothing, 0, Back::Nowhere);

/// Search the root entry itself, for anything that has an objectClass, all attributes.
pub(super) static LDAP: Question = Question::new(
    b"0\x28\x02\x04\0\0\0\0c\x20\x04\0\x0a\x01\0\x0a\x01\0\x02\x01\0\x02\x01\0\x01\x01\0\x87\x0bobjectClass0\0",
    Form::Number,
    4,
    Back::Ldap,
);

/// An initial packet of a version that is reserved to be refused (RFC 9000 section 15), padded to the least length.
pub(super) static QUIC: Question = Question::new(
    &join::<MAX_PAYLOAD_BYTES>(b"\xc0\x1a\x2a\x3a\x4a\x08wirehaul\x08\0\0\0\0\0\0\0\0", b""),
    Form::Whole,
    15,
    Back::Quic,
);

/// Header and one security association: 3DES, SHA, pre-shared key, group 2, for 8 hours. What is old is known everywhere.
const IKE_BYTES: [u8; 80] = join(
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x10\x02\0\0\0\0\0\0\0\0\x50",
    b"\0\0\0\x34\0\0\0\x01\0\0\0\x01\0\0\0\x28\x01\x01\0\x01\0\0\0\x20\x01\x01\0\0\
      \x80\x01\0\x05\x80\x02\0\x02\x80\x03\0\x01\x80\x04\0\x02\x80\x0b\0\x01\x80\x0c\x70\x80",
);
pub(super) static IKE: Question = Question::new(&IKE_BYTES, Form::Whole, 0, Back::At(0));
/// The same behind four zeros, which tell it from ESP (RFC 3948 section 2.2).
pub(super) static IKE_BEHIND_NAT: Question =
    Question::new(&join::<84>(b"\0\0\0\0", &IKE_BYTES), Form::Whole, 4, Back::At(4));

/// Class ASF, presence ping.
pub(super) static RMCP: Question = Question::new(b"\x06\0\xff\x06\0\0\x11\xbe\x80\0\0\0", Form::Tag, 9, Back::At(9));

/// Hard reset of a client, version 2, key 0: session id, nothing acknowledged, packet 0.
pub(super) static OPENVPN: Question = Question::new(b"\x38\0\0\0\0\0\0\0\0\0\0\0\0\0", Form::Whole, 1, Back::OpenVpn);

pub(super) static SQL_SERVER: Question = Question::new(b"\x02", Form::Nothing, 0, Back::Nowhere);

pub(super) static SSDP: Question = Question::new(
    b"M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nMan: \"ssdp:discover\"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n",
    Form::Nothing,
    0,
    Back::Nowhere,
);

/// Version 1, GTP, with a sequence number: echo request.
pub(super) static GTP: Question = Question::new(b"\x32\x01\0\x04\0\0\0\0\0\0\0\0", Form::Half, 8, Back::At(8));

/// A binding request without attributes; the last four bytes of the transaction id are constant.
pub(super) static STUN: Question =
    Question::new(b"\0\x01\0\0\x21\x12\xa4\x42\0\0\0\0\0\0\0\0wire", Form::Whole, 8, Back::At(8));

const SIP_BYTES: &[u8] = b"OPTIONS sip:survey@localhost SIP/2.0\r\n\
    Via: SIP/2.0/UDP localhost;branch=z9hG4bKwirehaul;rport\r\n\
    Max-Forwards: 0\r\n\
    From: <sip:survey@localhost>;tag=wirehaul\r\n\
    To: <sip:survey@localhost>\r\n\
    Call-ID: \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\
    CSeq: 1 OPTIONS\r\n\
    Contact: <sip:survey@localhost>\r\n\
    Content-Length: 0\r\n\r\n";
pub(super) static SIP: Question =
    Question::new(SIP_BYTES, Form::Hex, find(SIP_BYTES, b"Call-ID: ") + b"Call-ID: ".len(), Back::Sip);

/// Version 0, what is the external address?
pub(super) static NAT_PMP: Question = Question::new(b"\0\0", Form::Nothing, 0, Back::Nowhere);

/// Confirmable GET with a token of eight bytes, `/.well-known/core`.
pub(super) static COAP: Question =
    Question::new(b"\x48\x01\0\0\0\0\0\0\0\0\0\0\xbb.well-known\x04core", Form::IdAndToken, 2, Back::Coap);

const DHT_BYTES: &[u8] = b"d1:ad2:id20:wirehaul-survey-nodee1:q4:ping1:t8:\0\0\0\0\0\0\0\x001:y1:qe";
pub(super) static DHT: Question =
    Question::new(DHT_BYTES, Form::Whole, find(DHT_BYTES, b"1:t8:") + b"1:t8:".len(), Back::Dht);

/// Request id, sequence 0 of 1, reserved.
pub(super) static MEMCACHED: Question = Question::new(b"\0\0\0\0\0\x01\0\0version\r\n", Form::Half, 0, Back::At(0));

pub(super) static SOURCE: Question =
    Question::new(b"\xff\xff\xff\xffTSource Engine Query\0", Form::Nothing, 0, Back::Nowhere);

/// `front`, `back`, and zeros up to the end.
const fn join<const N: usize>(front: &[u8], back: &[u8]) -> [u8; N] {
    assert!(front.len() + back.len() <= N);
    let mut out = [0; N];
    let mut at = 0;
    while at < front.len() + back.len() {
        out[at] = if at < front.len() { front[at] } else { back[at - front.len()] };
        at += 1;
    }
    out
}

/// Where `part` begins in `whole`; does not compile where it is not in there.
const fn find(whole: &[u8], part: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let mut same = 0;
        while same < part.len() && whole[at + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return at;
        }
        at += 1;
    }
}
