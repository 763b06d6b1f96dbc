//! A handshake of TLS, for the certificate that a server shows. Every certificate is taken, provided that the server has its key;
//! whether anybody vouches for it is an answer of its own.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::detection::NotTried;

/// Alternative names that are looked at. Shared certificates have a hundred.
const MOST_NAMES: usize = 512;

/// Characters of a name (RFC 1035, section 2.3.4).
const MOST_NAME_BYTES: usize = 253;

/// What is within the handshake.
pub type Session = TlsStream<TcpStream>;

/// Whom a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Nobody: what the server shows to all. The address is not sent (RFC 6066, section 3 has no addresses in server names).
    Address(IpAddr),
    /// This host, which is sent.
    Name(&'a str),
}

/// What a server does when somebody greets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// It shows a certificate.
    Certificate(Shown),
    /// It sends an alert: it has nothing for the host that was asked for, or wants one to be named.
    Alert,
}

/// A certificate of which the server has the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Alternative names that are host names, at most 512.
    pub alternative_names: Vec<String>,
    /// Whether its chain leads to a root that this machine trusts, and it is valid now. For which names is not looked at.
    pub is_trusted: bool,
}

/// Greets servers.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    trust: Arc<Trust>,
}

impl Tls {
    /// With the roots of this machine, and these, as certificates in DER.
    ///
    /// # Errors
    /// [`NotTried::NotBuiltIn`]: the library lacks what every handshake needs.
    pub fn new(more_roots: &[Vec<u8>]) -> Result<Self, NotTried> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|_| NotTried::NotBuiltIn)?;
        let verifier = Arc::new(AnyCertificate { provider: Arc::clone(&provider) });
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every handshake shows the certificate: nothing is resumed.
        config.resumption = rustls::client::Resumption::disabled();
        let trust = Trust {
            more_roots: more_roots.iter().map(|der| CertificateDer::from(der.clone())).collect(),
            roots: OnceLock::new(),
            algorithms: provider.signature_verification_algorithms,
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), trust: Arc::new(trust) })
    }

    /// Reads the roots of this machine, unless that was done before: it takes longer than a handshake.
    pub fn prepare(&self) {
        self.trust.roots();
    }

    /// Greets the server at the other end of the stream. After a certificate the session goes on.
    ///
    /// # Errors
    /// [`NotTried::Timeout`]: the handshake was not over after `patience`. [`NotTried::BadAnswer`]: it failed, or is none.
    pub async fn greet(
        &self,
        stream: TcpStream,
        asked: Asked<'_>,
        patience: Duration,
    ) -> Result<(Greeting, Option<Session>), NotTried> {
        let by_address = |ip: IpAddr| ServerName::IpAddress(ip.into());
        let name = match asked {
            Asked::Address(ip) => by_address(ip),
            Asked::Name(name) => match ServerName::try_from(name.to_owned()) {
                Ok(name) => name,
                // A name that cannot be sent: as to all.
                Err(_) => by_address(stream.peer_addr().map_err(|_| NotTried::BadAnswer)?.ip()),
            },
        };
        match timeout(patience, self.connector.connect(name, stream)).await {
            Ok(Ok(session)) => {
                let shown = session.get_ref().1.peer_certificates().and_then(|chain| self.trust.shown(chain));
                Ok((Greeting::Certificate(shown.ok_or(NotTried::BadAnswer)?), Some(session)))
            }
            Ok(Err(error)) if is_alert(&error) => Ok((Greeting::Alert, None)),
            Ok(Err(_)) => Err(NotTried::BadAnswer),
            Err(_) => Err(NotTried::Timeout),
        }
    }
}

/// Whether the server said that it has nothing for this host.
fn is_alert(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    matches!(cause, Some(Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::UnrecognisedName)))
}

/// Whom this machine trusts.
struct Trust {
    more_roots: Vec<CertificateDer<'static>>,
    roots: OnceLock<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    fn roots(&self) -> &RootCertStore {
        self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots.add_parsable_certificates(self.more_roots.iter().cloned());
            roots
        })
    }

    /// What the first certificate of a chain says; `None` where it is none.
    fn shown(&self, chain: &[CertificateDer<'_>]) -> Option<Shown> {
        let (first, rest) = chain.split_first()?;
        let (_, certificate) = X509Certificate::from_der(first).ok()?;
        let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let common_name = names.find(|name| is_legible(name)).map(str::to_owned);
        let extension = certificate.subject_alternative_name().ok().flatten();
        let names = extension.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) if is_legible(name) => Some((*name).to_owned()),
            _ => None,
        });
        let alternative_names = names.take(MOST_NAMES).collect();
        Some(Shown { common_name, alternative_names, is_trusted: self.vouches_for(first, rest) })
    }

    fn vouches_for(&self, certificate: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> bool {
        ParsedCertificate::try_from(certificate).is_ok_and(|parsed| {
            let (roots, algorithms) = (self.roots(), self.algorithms.all);
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, rest, UnixTime::now(), algorithms).is_ok()
        })
    }
}

/// Names end up on terminals.
fn is_legible(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MOST_NAME_BYTES
        && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// Takes every certificate of which the server has the key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Nothing is sent that is secret, and nothing is believed that comes: see Trust::vouches_for.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
