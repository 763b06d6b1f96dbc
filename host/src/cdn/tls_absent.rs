//! What stands in for TLS in a build without it: every greeting is not tried, and says why.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::detection::NotTried;

/// What would be within the handshake.
pub type Session = TcpStream;

/// Whom a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nobody.
    Address(IpAddr),
    /// This host.
    Name(&'a str),
}

/// What a server does when somebody greets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// It shows a certificate.
    Certificate(Shown),
    /// It sends an alert.
    Alert,
}

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Alternative names that are host names.
    pub alternative_names: Vec<String>,
    /// Whether anybody vouches for it.
    pub is_trusted: bool,
}

/// Greets nobody.
#[derive(Clone)]
pub struct Tls(());

impl Tls {
    /// # Errors
    /// [`NotTried::NotBuiltIn`], always.
    pub const fn new(_more_roots: &[Vec<u8>]) -> Result<Self, NotTried> {
        Err(NotTried::NotBuiltIn)
    }

    /// There is nothing to prepare.
    pub const fn prepare(&self) {}

    /// # Errors
    /// [`NotTried::NotBuiltIn`], always.
    pub async fn greet(
        &self,
        _stream: TcpStream,
        _asked: Asked<'_>,
        _patience: Duration,
    ) -> Result<(Greeting, Option<Session>), NotTried> {
        Err(NotTried::NotBuiltIn)
    }
}
