//! The file of known peers: plain text that people edit.

use std::collections::BTreeSet;

use crate::crypto::PublicKey;
use crate::crypto::identity::NotAPublicKey;

/// A peer that the user trusts, under the name by which the user calls it: its host name, where it is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPeer {
    /// The name, without white space.
    pub name: String,
    /// The peer's public key.
    pub key: PublicKey,
}

/// All peers that the user trusts, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownPeers {
    peers: Vec<KnownPeer>,
}

/// A mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnownPeersError {
    /// A line is not a name and a key.
    #[error("expected `NAME KEY`; begin a comment with #")]
    Shape {
        /// The line, counted from 1.
        line: usize,
    },
    /// The name cannot be one.
    #[error("{error}")]
    Name {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        error: NameError,
    },
    /// The key is not one.
    #[error("{error}")]
    Key {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        error: NotAPublicKey,
    },
    /// The name stands for two keys.
    #[error("the name {name} is also on line {first}; give one of them another name or delete it")]
    Duplicate {
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
        /// Where it was before.
        first: usize,
    },
}

impl KnownPeersError {
    /// The line with the mistake, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        match self {
            Self::Shape { line } | Self::Name { line, .. } | Self::Key { line, .. } | Self::Duplicate { line, .. } => {
                *line
            }
        }
    }
}

/// Why a name cannot stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("the peer's name is empty; give its host name")]
    Empty,
    /// White space, a control character, or a # that would begin a comment.
    #[error("a peer's name has no spaces and no #; give its host name")]
    Character,
    /// A public key in the name's place.
    #[error("this is a key where the peer's name should be; the name comes first")]
    IsAKey,
}

/// Whether `name` can be a peer's name in the file.
///
/// # Errors
/// [`NameError`] says why not.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(NameError::Character);
    }
    if name.parse::<PublicKey>().is_ok() {
        return Err(NameError::IsAKey);
    }
    Ok(())
}

impl KnownPeers {
    /// The peers in the text of the file.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(text: &str) -> Result<Self, KnownPeersError> {
        let mut peers: Vec<KnownPeer> = Vec::new();
        let mut lines = Vec::new();
        for (index, content) in text.lines().enumerate() {
            let line = index + 1;
            let Some(peer) = parse_line(line, content)? else { continue };
            if let Some(at) = peers.iter().position(|other| other.name == peer.name) {
                return Err(KnownPeersError::Duplicate { line, name: peer.name, first: lines[at] });
            }
            peers.push(peer);
            lines.push(line);
        }
        Ok(Self { peers })
    }

    /// The peer of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&KnownPeer> {
        self.peers.iter().find(|peer| peer.name == name)
    }

    /// All peers, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &KnownPeer> {
        self.peers.iter()
    }

    /// All keys, as [`crate::crypto::HostAcceptor::accept_known_peers`] wants them.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<PublicKey> {
        self.peers.iter().map(|peer| peer.key).collect()
    }
}

fn parse_line(line: usize, content: &str) -> Result<Option<KnownPeer>, KnownPeersError> {
    let content = content.split('#').next().unwrap_or_default();
    let mut words = content.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(None),
        (Some(name), Some(key), None) => {
            check_name(name).map_err(|error| KnownPeersError::Name { line, error })?;
            let key = key.parse().map_err(|error| KnownPeersError::Key { line, error })?;
            Ok(Some(KnownPeer { name: name.to_owned(), key }))
        }
        _ => Err(KnownPeersError::Shape { line }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    #[test]
    fn names_keys_and_comments_are_read() {
        let text = format!("# peers\n\n  alpha\t{} # the first\r\nbeta.example {}\n", key(1), key(2));
        let peers = KnownPeers::parse(&text).unwrap();
        assert_eq!(peers.by_name("alpha").map(|peer| peer.key), Some(key(1)));
        assert_eq!(peers.by_name("beta.example").map(|peer| peer.key), Some(key(2)));
        assert_eq!(peers.by_name("gamma"), None);
        assert_eq!((peers.keys().len(), peers.iter().count()), (2, 2));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let good = format!("alpha {}\n", key(1));
        let bad_key = key(2).to_string().replace("whk1a", "whk1b");
        for (text, expected) in [
            ("alpha".to_owned(), KnownPeersError::Shape { line: 2 }),
            (format!("alpha beta {}", key(2)), KnownPeersError::Shape { line: 2 }),
            (format!("{} alpha", key(2)), KnownPeersError::Name { line: 2, error: NameError::IsAKey }),
            ("beta key".to_owned(), KnownPeersError::Key { line: 2, error: NotAPublicKey::Prefix }),
            (format!("beta {bad_key}"), KnownPeersError::Key { line: 2, error: NotAPublicKey::Damaged }),
            (format!("alpha {}", key(2)), KnownPeersError::Duplicate { line: 2, name: "alpha".into(), first: 1 }),
        ] {
            let error = KnownPeers::parse(&(good.clone() + &text)).unwrap_err();
            assert_eq!((&error, error.line()), (&expected, 2), "{text}");
        }
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        assert_eq!(check_name(""), Err(NameError::Empty));
        for name in ["a b", "a\n", "#a", "a#b", "a\u{7}"] {
            assert_eq!(check_name(name), Err(NameError::Character), "{name:?}");
        }
        assert_eq!(check_name(&key(1).to_string()), Err(NameError::IsAKey));
        assert_eq!(check_name("host-1.example"), Ok(()));
    }
}
