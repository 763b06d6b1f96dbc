//! Asks addresses for a site: a handshake and `HEAD /` as its domain.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::detection::NotTried;
use super::super::http::{self, Response};
use super::super::tls::{Asked, Greeting, Tls};
use super::verdict::{CONTROL, Exchange, Seen, is_for};

/// How addresses are asked.
#[derive(Clone)]
pub struct Contact {
    /// For HTTPS, 443 as a rule.
    pub https_port: u16,
    /// For HTTP, 80 as a rule.
    pub http_port: u16,
    /// For a connection, for a handshake and for an answer, each.
    pub patience: Duration,
    /// Greets servers, if this build can.
    pub tls: Result<Tls, NotTried>,
}

impl Contact {
    /// Asks an address on both ports, one connection after the other.
    pub async fn see(&self, ip: IpAddr, domain: &str) -> Seen {
        let (greeting, https) = self.see_https(ip, domain).await;
        let http = match self.ask_http(ip, domain).await {
            Ok(site) => {
                let control = Some(self.ask_http(ip, CONTROL).await.and_then(|answer| answer));
                Ok(Exchange { site, control })
            }
            Err(why) => Err(why),
        };
        Seen { greeting, https, http }
    }

    /// What the CDN answers for the site: over TLS, or without if there is none.
    ///
    /// # Errors
    /// It answers neither.
    pub async fn ask_front(&self, ip: IpAddr, domain: &str) -> Result<(Option<Greeting>, Response), NotTried> {
        match self.ask_https(ip, domain).await {
            Ok((greeting, Some(Ok(answer)))) => Ok((Some(greeting), answer)),
            _ => Ok((None, self.ask_http(ip, domain).await??)),
        }
    }

    async fn see_https(&self, ip: IpAddr, domain: &str) -> (Result<Greeting, NotTried>, Option<Exchange>) {
        let (greeting, site) = match self.ask_https(ip, domain).await {
            Ok((greeting, site)) => (greeting, site),
            Err(why) => return (Err(why), None),
        };
        let Some(site) = site else { return (Ok(greeting), None) };
        if is_for(&greeting, domain) {
            return (Ok(greeting), Some(Exchange { site, control: None }));
        }
        let control = match self.ask_https(ip, CONTROL).await {
            Ok((_, Some(control))) => control,
            // A handshake for the domain, and none for a name that is nobody's.
            Ok((_, None)) => Err(NotTried::BadAnswer),
            Err(why) => Err(why),
        };
        (Ok(greeting), Some(Exchange { site, control: Some(control) }))
    }

    /// A handshake for a name, and a request within it.
    async fn ask_https(
        &self,
        ip: IpAddr,
        host: &str,
    ) -> Result<(Greeting, Option<Result<Response, NotTried>>), NotTried> {
        let tls = self.tls.as_ref().map_err(|why| *why)?;
        let stream = http::connect(SocketAddr::new(ip, self.https_port), self.patience).await?;
        let (greeting, session) = match tls.greet(stream, Asked::Name(host), self.patience).await {
            // A connection came about: what is behind it is no firewall.
            Err(NotTried::Timeout) => return Err(NotTried::BadAnswer),
            greeted => greeted?,
        };
        let answer = match session {
            Some(session) => Some(http::head(session, &with_port(host, self.https_port, 443), self.patience).await),
            None => None,
        };
        Ok((greeting, answer))
    }

    /// # Errors
    /// There is no connection. What comes of the request is the value.
    async fn ask_http(&self, ip: IpAddr, host: &str) -> Result<Result<Response, NotTried>, NotTried> {
        let stream = http::connect(SocketAddr::new(ip, self.http_port), self.patience).await?;
        Ok(http::head(stream, &with_port(host, self.http_port, 80), self.patience).await)
    }
}

fn with_port(host: &str, port: u16, usual: u16) -> String {
    if port == usual { host.to_owned() } else { format!("{host}:{port}") }
}
