//! Certificates for web servers, from an authority that only those trust who were told to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a server shows.
#[derive(Clone, Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

impl Identity {
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Its own certificate: the root.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The same as a file, for SSL_CERT_FILE.
    pub fn write_to(&self, directory: &Path) -> PathBuf {
        let path = directory.join("roots.pem");
        std::fs::write(&path, self.pem()).unwrap();
        path
    }

    /// The root in the form that rustls takes.
    pub fn der(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate with this common name and these alternative names.
    pub fn sign(&self, common_name: &str, names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params(common_name, names).signed_by(&key, &self.issuer).unwrap();
        identity(&certificate, &key)
    }

    /// One that nobody accepts any more.
    pub fn sign_expired(&self, common_name: &str, names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(common_name, names);
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
        identity(&params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

/// One that nobody else vouches for: a look-alike.
pub fn self_signed(common_name: &str, names: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    identity(&params(common_name, names).self_signed(&key).unwrap(), &key)
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
    params
}

fn identity(certificate: &rcgen::Certificate, key: &KeyPair) -> Identity {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Identity { config: Arc::new(config) }
}
