use wirehaul_core::crypto::{Acceptor, Aead};

use super::super::HostAcceptor;
use super::super::primitives::PUBLIC_KEY_OPERATIONS;
use super::*;

const TICKET: &[u8] = b"one-time secret of a ticket";
const SUITES: [Suite; 3] = [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];

/// Both ends' static keys, and handshakes between them under a ticket.
struct Ends {
    initiator_key: Arc<StaticKey>,
    responder_key: Arc<StaticKey>,
}

impl Ends {
    fn new() -> Self {
        let key = || Arc::new(StaticKey::generate().unwrap());
        Self { initiator_key: key(), responder_key: key() }
    }

    fn initiator(&self, psk: Psk) -> NoiseHandshake {
        NoiseHandshake::initiator(Arc::clone(&self.initiator_key), psk, self.responder_key.public()).unwrap()
    }

    fn responder(&self, psk: Psk, policy: PeerPolicy) -> NoiseHandshake {
        NoiseHandshake::responder(Arc::clone(&self.responder_key), psk, policy).unwrap()
    }

    fn with_ticket(&self) -> (NoiseHandshake, NoiseHandshake) {
        (self.initiator(Psk::of_ticket(TICKET)), self.responder(Psk::of_ticket(TICKET), PeerPolicy::Any))
    }
}

fn write(handshake: &mut NoiseHandshake, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2000];
    let bytes = handshake.write_message(payload, &mut out).unwrap();
    out.truncate(bytes);
    out
}

fn read(handshake: &mut NoiseHandshake, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = vec![0; 2000];
    let bytes = handshake.read_message(message, &mut payload)?;
    payload.truncate(bytes);
    Ok(payload)
}

/// Runs all three messages and proves that both payloads and keys arrive.
fn complete(initiator: &mut NoiseHandshake, responder: &mut NoiseHandshake, suite: Suite) -> Epochs {
    let hello = write(initiator, b"hello");
    assert_eq!(read(responder, &hello).unwrap(), b"hello");
    let response = write(responder, b"response");
    assert_eq!(read(initiator, &response).unwrap(), b"response");
    let finish = write(initiator, b"finish");
    assert_eq!(read(responder, &finish).unwrap(), b"finish");
    Epochs { initiator: initiator.first_keys(suite).unwrap(), responder: responder.first_keys(suite).unwrap() }
}

struct Epochs {
    initiator: EpochKeys<DataKey>,
    responder: EpochKeys<DataKey>,
}

fn opens(seal: &DataKey, open: &DataKey) -> bool {
    let mut packet = *b"a text and room for its tag: 16 bytes of it";
    seal.seal_in_place(3, b"header", &mut packet);
    open.open_in_place(3, b"header", &mut packet).is_ok()
}

impl Epochs {
    fn assert_both_ways(&self) {
        assert!(opens(&self.initiator.seal, &self.responder.open) && opens(&self.responder.seal, &self.initiator.open));
        assert!(!opens(&self.initiator.seal, &self.initiator.open));
    }
}

#[test]
fn a_ticket_brings_two_strangers_together_under_every_suite() {
    for suite in SUITES {
        let ends = Ends::new();
        let (mut initiator, mut responder) = ends.with_ticket();
        assert_eq!(responder.remote_static(), None);
        complete(&mut initiator, &mut responder, suite).assert_both_ways();
        assert_eq!(initiator.remote_static(), Some(ends.responder_key.public()));
        assert_eq!(responder.remote_static(), Some(ends.initiator_key.public()));
    }
}

#[test]
fn known_peers_need_no_ticket() {
    let ends = Ends::new();
    let mut acceptor = HostAcceptor::new(Arc::clone(&ends.responder_key)).unwrap();
    let known = KnownKeys::default();
    acceptor.accept_known_peers(Arc::clone(&known));
    known.write().unwrap().insert(ends.initiator_key.public());
    let psk = Psk::of_responder(&ends.responder_key.public());
    let mut responder = acceptor.accept(&psk.id()).unwrap();
    complete(&mut ends.initiator(psk), &mut responder, Suite::Aes256Gcm).assert_both_ways();
}

#[test]
fn messages_fit_exactly_and_not_less() {
    let ends = Ends::new();
    let (mut initiator, mut responder) = ends.with_ticket();
    let payload = [7; 100];
    for (turn, overhead) in MESSAGE_OVERHEAD_BYTES.into_iter().enumerate() {
        let (from, to) = if turn == 1 { (&mut responder, &mut initiator) } else { (&mut initiator, &mut responder) };
        let bytes = payload.len() + overhead;
        assert_eq!(from.write_message(&payload, &mut vec![0; bytes - 1]), Err(HandshakeError::Malformed));
        let mut message = vec![0; bytes];
        assert_eq!(from.write_message(&payload, &mut message), Ok(bytes));
        assert_eq!(to.read_message(&message, &mut [0; 99]), Err(HandshakeError::Malformed));
        let mut arrived = [0; 100];
        assert_eq!(to.read_message(&message, &mut arrived), Ok(100));
        assert_eq!(arrived, payload);
    }
}

#[test]
fn another_psk_is_refused_without_public_key_work() {
    let ends = Ends::new();
    let hello = write(&mut ends.initiator(Psk::of_ticket(b"another ticket")), b"hello");
    let before = PUBLIC_KEY_OPERATIONS.get();
    let mut responder = ends.responder(Psk::of_ticket(TICKET), PeerPolicy::Any);
    assert_eq!(read(&mut responder, &hello), Err(HandshakeError::Unauthentic));
    for bytes in [0, 1, 31, 32, 47, 48, 100, 1400] {
        assert!(read(&mut responder, &vec![0xa5; bytes]).is_err());
    }
    assert_eq!(PUBLIC_KEY_OPERATIONS.get(), before, "garbage made the responder work (SEC-4)");
    complete(&mut ends.initiator(Psk::of_ticket(TICKET)), &mut responder, Suite::Aes128Gcm).assert_both_ways();
    assert!(PUBLIC_KEY_OPERATIONS.get() > before, "the counter counts nothing");
}

#[test]
fn another_version_is_refused() {
    let ends = Ends::new();
    let psk = Psk::of_ticket(TICKET);
    let policy = PeerPolicy::Exactly(ends.responder_key.public());
    let key = Arc::clone(&ends.initiator_key);
    let mut newer = NoiseHandshake::new(Role::Initiator, key, psk, policy, VERSION + 1).unwrap();
    let (_, mut responder) = ends.with_ticket();
    assert_eq!(read(&mut responder, &write(&mut newer, b"hello")), Err(HandshakeError::Unauthentic));
}

#[test]
fn the_initiator_refuses_another_responder_and_then_takes_the_right_one() {
    let ends = Ends::new();
    let (mut initiator, mut responder) = ends.with_ticket();
    let impostor_key = Arc::new(StaticKey::generate().unwrap());
    let mut impostor = NoiseHandshake::responder(impostor_key, Psk::of_ticket(TICKET), PeerPolicy::Any).unwrap();
    let hello = write(&mut initiator, b"hello");
    read(&mut impostor, &hello).unwrap();
    read(&mut responder, &hello).unwrap();

    let forged = write(&mut impostor, b"response");
    assert_eq!(read(&mut initiator, &forged), Err(HandshakeError::UnknownPeer));
    assert_eq!(initiator.remote_static(), None);

    let response = write(&mut responder, b"response");
    assert_eq!(read(&mut initiator, &response).unwrap(), b"response");
    let finish = write(&mut initiator, b"finish");
    assert_eq!(read(&mut responder, &finish).unwrap(), b"finish");
    let initiator = initiator.first_keys(Suite::Aes128Gcm).unwrap();
    Epochs { initiator, responder: responder.first_keys(Suite::Aes128Gcm).unwrap() }.assert_both_ways();
}

#[test]
fn the_responder_refuses_a_stranger_and_can_tell_it_so() {
    let ends = Ends::new();
    let psk = Psk::of_responder(&ends.responder_key.public());
    let mut initiator = ends.initiator(psk.clone());
    let mut responder = ends.responder(psk, PeerPolicy::Known(KnownKeys::default()));
    let hello = write(&mut initiator, b"hello");
    read(&mut responder, &hello).unwrap();
    let response = write(&mut responder, b"response");
    read(&mut initiator, &response).unwrap();
    let finish = write(&mut initiator, b"finish");

    let mut payload = [0; 100];
    assert_eq!(responder.read_message(&finish, &mut payload), Err(HandshakeError::UnknownPeer));
    assert_eq!(payload, [0; 100], "a refused peer's words were passed on");
    assert_eq!(responder.remote_static(), None);
    assert!(read(&mut responder, &finish).is_err());

    let initiator = initiator.first_keys(Suite::Aes128Gcm).unwrap();
    let responder = responder.first_keys(Suite::Aes128Gcm).unwrap();
    Epochs { initiator, responder }.assert_both_ways();
}

/// Every way to alter a message: each byte in turn, cut short, made longer.
fn alterations(message: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let flipped = (0..message.len()).map(|at| {
        let mut altered = message.to_vec();
        altered[at] ^= 0x40;
        altered
    });
    let cut = [0, 1, 31, 47, message.len() - 1].map(|bytes| message[..bytes].to_vec());
    flipped.chain(cut).chain([[message, b"x"].concat()])
}

#[test]
fn no_forged_message_ends_the_handshake_of_the_genuine_ones() {
    let ends = Ends::new();
    let (mut initiator, mut responder) = ends.with_ticket();

    let hello = write(&mut initiator, b"hello");
    for forged in alterations(&hello) {
        assert!(read(&mut responder, &forged).is_err());
    }
    assert_eq!(read(&mut responder, &hello).unwrap(), b"hello");

    let response = write(&mut responder, b"response");
    for forged in alterations(&response) {
        assert!(read(&mut initiator, &forged).is_err());
        assert_eq!(initiator.remote_static(), None);
    }
    assert_eq!(read(&mut initiator, &response).unwrap(), b"response");

    let finish = write(&mut initiator, b"finish");
    for forged in alterations(&finish) {
        assert!(read(&mut responder, &forged).is_err());
        assert_eq!(responder.remote_static(), None);
    }
    assert_eq!(read(&mut responder, &finish).unwrap(), b"finish");

    let initiator = initiator.first_keys(Suite::ChaCha20Poly1305).unwrap();
    Epochs { initiator, responder: responder.first_keys(Suite::ChaCha20Poly1305).unwrap() }.assert_both_ways();
}

#[test]
fn messages_out_of_turn_are_refused_and_harm_nothing() {
    let ends = Ends::new();
    let (mut initiator, mut responder) = ends.with_ticket();
    let mut out = [0; 500];
    assert_eq!(responder.write_message(b"", &mut out), Err(HandshakeError::Malformed));
    assert_eq!(initiator.read_message(&[0; 200], &mut out), Err(HandshakeError::Malformed));
    assert!(initiator.first_keys(Suite::Aes128Gcm).is_err());
    assert_eq!(initiator.rekey_offer(), Err(HandshakeError::Malformed));
    let epochs = complete(&mut initiator, &mut responder, Suite::Aes128Gcm);
    epochs.assert_both_ways();
    assert_eq!(initiator.read_message(&[0; 200], &mut out), Err(HandshakeError::Malformed));
    assert_eq!(initiator.write_message(b"", &mut out), Err(HandshakeError::Malformed));
    assert!(initiator.first_keys(Suite::Aes128Gcm).is_err());
}

fn rekey(initiator: &mut NoiseHandshake, responder: &mut NoiseHandshake) -> Epochs {
    let offer = initiator.rekey_offer().unwrap();
    assert_eq!(initiator.rekey_offer().unwrap(), offer, "a repeated offer must be the same");
    let (answer, responder_keys) = responder.rekey_answer(&offer).unwrap();
    Epochs { initiator: initiator.rekey_finish(&answer).unwrap(), responder: responder_keys }
}

#[test]
fn every_epoch_has_keys_of_its_own() {
    let ends = Ends::new();
    let (mut initiator, mut responder) = ends.with_ticket();
    let mut epochs = vec![complete(&mut initiator, &mut responder, Suite::Aes128Gcm)];
    for _ in 0..4 {
        epochs.push(rekey(&mut initiator, &mut responder));
    }
    // The schedule does not care which end offers, should a later version let the responder do so.
    epochs.push({
        let turned = rekey(&mut responder, &mut initiator);
        Epochs { initiator: turned.responder, responder: turned.initiator }
    });
    for (n, one) in epochs.iter().enumerate() {
        one.assert_both_ways();
        for other in &epochs[..n] {
            assert!(!opens(&one.initiator.seal, &other.responder.open), "two epochs share a key");
        }
    }
}

#[test]
fn low_order_points_are_refused_and_the_rekey_goes_on() {
    let ends = Ends::new();
    let (mut initiator, mut responder) = ends.with_ticket();
    complete(&mut initiator, &mut responder, Suite::Aes128Gcm);
    let mut one = [0; 32];
    one[0] = 1;
    let offer = initiator.rekey_offer().unwrap();
    for low in [[0; 32], one] {
        assert_eq!(responder.rekey_answer(&low).err(), Some(HandshakeError::Malformed));
        assert_eq!(initiator.rekey_finish(&low).err(), Some(HandshakeError::Malformed));
    }
    assert_eq!(initiator.rekey_offer().unwrap(), offer);
    rekey(&mut initiator, &mut responder).assert_both_ways();
    assert_eq!(initiator.rekey_finish(&offer).err(), Some(HandshakeError::Malformed), "no offer is under way");
}

#[test]
fn a_session_does_not_open_what_another_sealed() {
    let ends = Ends::new();
    let (mut a, mut b) = ends.with_ticket();
    let (mut c, mut d) = ends.with_ticket();
    let one = complete(&mut a, &mut b, Suite::Aes128Gcm);
    let two = complete(&mut c, &mut d, Suite::Aes128Gcm);
    assert!(!opens(&one.initiator.seal, &two.responder.open));
}
