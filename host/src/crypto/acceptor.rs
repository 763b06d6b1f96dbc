//! What the responding end brings before it knows who is asking: its key, its tickets, its known peers.

use std::sync::Arc;

use wirehaul_core::crypto::{Acceptor, PSK_ID_BYTES};
use zeroize::Zeroizing;

use super::identity::{KEY_BYTES, Psk, StaticKey};
use super::noise::{KnownKeys, NoiseHandshake, PeerPolicy};
use super::{NoRandomness, random_bytes};

/// Answers first messages made with one of this end's tickets, or by a known peer.
///
/// A clone is for another worker of the same process: it has the same keys, and takes the other's cookies.
#[derive(Clone)]
pub struct HostAcceptor {
    identity: Arc<StaticKey>,
    /// A handful at most: a linear search is the fastest map.
    offers: Vec<Offer>,
    cookie_key: Zeroizing<[u8; KEY_BYTES]>,
}

/// A pre-shared key that this end answers to, and who may come with it.
#[derive(Clone)]
struct Offer {
    psk: Psk,
    policy: PeerPolicy,
}

impl HostAcceptor {
    /// An acceptor that answers nobody yet.
    ///
    /// # Errors
    /// [`NoRandomness`] where the operating system gives none for the cookie key.
    pub fn new(identity: Arc<StaticKey>) -> Result<Self, NoRandomness> {
        Ok(Self { identity, offers: Vec::new(), cookie_key: Zeroizing::new(random_bytes()?) })
    }

    /// Answers whoever holds this ticket's secret, whatever their static key: the secret authorises.
    pub fn accept_ticket(&mut self, ticket_secret: &[u8]) {
        self.answer_to(Psk::of_ticket(ticket_secret), PeerPolicy::Any);
    }

    /// Answers peers who know this end's public key and whose own is in `known`, as it is when they come.
    pub fn accept_known_peers(&mut self, known: KnownKeys) {
        self.answer_to(Psk::of_responder(&self.identity.public()), PeerPolicy::Known(known));
    }

    fn answer_to(&mut self, psk: Psk, policy: PeerPolicy) {
        self.offers.retain(|offer| offer.psk.id() != psk.id());
        self.offers.push(Offer { psk, policy });
    }
}

impl Acceptor for HostAcceptor {
    type Handshake = NoiseHandshake;

    fn accept(&mut self, psk_id: &[u8; PSK_ID_BYTES]) -> Option<NoiseHandshake> {
        let offer = self.offers.iter().find(|offer| offer.psk.id() == *psk_id)?;
        NoiseHandshake::responder(Arc::clone(&self.identity), offer.psk.clone(), offer.policy.clone()).ok()
    }

    fn cookie(&self, input: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.cookie_key, input);
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&hash.as_bytes()[..16]);
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acceptor() -> HostAcceptor {
        HostAcceptor::new(Arc::new(StaticKey::generate().unwrap())).unwrap()
    }

    #[test]
    fn only_offered_psk_ids_are_answered() {
        let mut acceptor = acceptor();
        let ticket = Psk::of_ticket(b"secret").id();
        let by_key = Psk::of_responder(&acceptor.identity.public()).id();
        assert!(acceptor.accept(&ticket).is_none() && acceptor.accept(&by_key).is_none());
        acceptor.accept_ticket(b"secret");
        assert!(acceptor.accept(&ticket).is_some() && acceptor.accept(&by_key).is_none());
        acceptor.accept_known_peers(KnownKeys::default());
        assert!(acceptor.accept(&ticket).is_some() && acceptor.accept(&by_key).is_some());
    }

    #[test]
    fn cookies_depend_on_the_input_and_on_the_process() {
        let (one, two) = (acceptor(), acceptor());
        assert_eq!(one.cookie(b"address"), one.cookie(b"address"));
        assert_ne!(one.cookie(b"address"), one.cookie(b"addresS"));
        assert_ne!(one.cookie(b"address"), two.cookie(b"address"));
    }
}
