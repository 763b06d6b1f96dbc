#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use crate::rng::{Purpose, Seed};

fn acceptor(identity: Identity, component: u64) -> SimAcceptor {
    SimAcceptor::new(identity, Seed(1).stream(component, Purpose::Keys))
}

/// Runs a handshake; returns both ends, or the first error.
fn agree(initiator: Identity, responder: Identity) -> Result<(SimHandshake, SimHandshake), HandshakeError> {
    let (mut one, id) = acceptor(initiator, 1).initiate();
    let mut two = acceptor(responder, 2).accept(&id).unwrap();
    let (mut wire, mut payload) = ([0; 256], [0; 256]);
    for (index, text) in [b"first".as_slice(), b"second", b""].into_iter().enumerate() {
        let (from, to) = if index == 1 { (&mut two, &mut one) } else { (&mut one, &mut two) };
        let len = from.write_message(text, &mut wire)?;
        let len = to.read_message(&wire[..len], &mut payload)?;
        assert_eq!(&payload[..len], text);
    }
    Ok((one, two))
}

fn passes(from: &SimAead, to: &SimAead) -> bool {
    let mut packet = *b"some text and room for a tag....";
    from.seal_in_place(7, b"header", &mut packet);
    to.open_in_place(7, b"header", &mut packet) == Ok(16) && packet.starts_with(b"some text and ro")
}

#[test]
fn both_ends_agree_and_each_rekey_changes_the_keys() {
    let (mut one, mut two) = agree(Identity::new(11), Identity::new(22)).unwrap();
    assert_eq!((one.remote_static(), two.remote_static()), (Some(22), Some(11)));
    let (a, b) = (one.first_keys(Suite::Aes128Gcm).unwrap(), two.first_keys(Suite::Aes128Gcm).unwrap());
    assert!(passes(&a.seal, &b.open) && passes(&b.seal, &a.open));
    assert!(!passes(&a.seal, &a.open) && !passes(&a.seal, &b.seal));

    let offer = one.rekey_offer().unwrap();
    assert_eq!(one.rekey_offer(), Ok(offer));
    let (answer, next_b) = two.rekey_answer(&offer).unwrap();
    let next_a = one.rekey_finish(&answer).unwrap();
    assert!(passes(&next_a.seal, &next_b.open) && passes(&next_b.seal, &next_a.open));
    assert!(!passes(&a.seal, &next_b.open) && !passes(&next_a.seal, &b.open));
    assert!(one.rekey_finish(&answer).is_err());
}

#[test]
fn a_packet_opens_only_as_it_was_sealed() {
    let aead = SimAead::new(5, Vigilance::Strict);
    let mut sealed = [3; 100];
    aead.seal_in_place(9, b"associated", &mut sealed);
    assert_eq!(aead.open_in_place(9, b"associated", &mut sealed.clone()), Ok(84));
    assert_eq!(aead.open_in_place(10, b"associated", &mut sealed.clone()), Err(Forged));
    assert_eq!(aead.open_in_place(9, b"associatee", &mut sealed.clone()), Err(Forged));
    assert_eq!(aead.open_in_place(9, b"associated", &mut sealed[..99].to_vec()), Err(Forged));
    for bit in 0..800 {
        let mut altered = sealed;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(aead.open_in_place(9, b"associated", &mut altered), Err(Forged), "bit {bit}");
    }
    let blind = SimAead::new(5, Vigilance::Blind);
    sealed[0] ^= 1;
    assert_eq!(blind.open_in_place(9, b"associated", &mut sealed), Ok(84));
}

#[test]
fn what_does_not_match_is_refused() {
    let mut other_secret = Identity::new(1);
    other_secret.psks = vec![(COMMON_PSK.0, 1)];
    assert_eq!(agree(other_secret, Identity::new(2)).err(), Some(HandshakeError::Unauthentic));

    let mut other_version = Identity::new(1);
    other_version.version = 9;
    assert_eq!(agree(other_version, Identity::new(2)).err(), Some(HandshakeError::Unauthentic));

    let mut choosy = Identity::new(2);
    choosy.known = Some(vec![3]);
    assert_eq!(agree(Identity::new(1), choosy.clone()).err(), Some(HandshakeError::UnknownPeer));
    assert!(agree(Identity::new(3), choosy).is_ok());

    assert!(acceptor(Identity::new(2), 1).accept(b"not this").is_none());
}

/// The trait's promise: a forged message does not end a handshake.
#[test]
fn a_forged_message_leaves_the_handshake_as_it_was() {
    let (mut one, id) = acceptor(Identity::new(1), 1).initiate();
    let mut two = acceptor(Identity::new(2), 2).accept(&id).unwrap();
    let (mut wire, mut payload) = ([0; 256], [0; 256]);
    for index in 0..3 {
        let (from, to) = if index == 1 { (&mut two, &mut one) } else { (&mut one, &mut two) };
        let len = from.write_message(b"x", &mut wire).unwrap();
        for at in 0..len {
            wire[at] ^= 0x40;
            assert_eq!(to.read_message(&wire[..len], &mut payload), Err(HandshakeError::Unauthentic), "{index} {at}");
            wire[at] ^= 0x40;
        }
        assert_eq!(to.read_message(&wire[..len], &mut payload), Ok(1));
    }
}
