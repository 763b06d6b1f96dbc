//! A visit to a web server: which ports, in which order, and with what, so that at most two connections are made at a time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join;
use wirehaul_core::time::Instant;

use super::detection::NotTried;
use super::http::{self, Response};
use super::target::{Host, Scheme, Target};
use super::tls::{Asked, Greeting, Session, Tls};
use crate::clock::Clock;

/// Where web servers stand that no port was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// In the clear.
    pub http: u16,
    /// Over TLS.
    pub https: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 80, https: 443 }
    }
}

/// What a visit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The headers.
    pub http: bool,
    /// The certificate.
    pub tls: bool,
}

/// What a visit brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// The headers of the answer.
    pub http: Result<Response, NotTried>,
    /// The certificate.
    pub tls: Result<Greeting, NotTried>,
}

/// Which ports are gone to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nowhere.
    Nowhere,
    /// One for headers, one for the certificate, side by side.
    Both {
        /// In the clear.
        plain: u16,
        /// Over TLS.
        tls: u16,
    },
    /// Headers in the clear.
    Plain(u16),
    /// All over TLS.
    Tls(u16),
    /// Over TLS if that is spoken there, and in the clear if not.
    Either(u16),
}

impl Way {
    /// The way to a target.
    #[must_use]
    pub const fn to(target: &Target, wanted: Wanted, ports: Ports) -> Self {
        match (target.scheme, target.port) {
            _ if !wanted.http && !wanted.tls => Self::Nowhere,
            (Some(Scheme::Https), Some(port)) => Self::Tls(port),
            (Some(Scheme::Https), None) => Self::Tls(ports.https),
            // Of a port that speaks in the clear there is no certificate to be had.
            (Some(Scheme::Http), Some(_)) if !wanted.http => Self::Nowhere,
            (Some(Scheme::Http), Some(port)) => Self::Plain(port),
            (None, Some(port)) => Self::Either(port),
            (_, None) if !wanted.http => Self::Tls(ports.https),
            (_, None) if !wanted.tls => Self::Plain(ports.http),
            (_, None) => Self::Both { plain: ports.http, tls: ports.https },
        }
    }

    /// Connections at a time.
    #[must_use]
    pub const fn connections(self) -> u32 {
        match self {
            Self::Nowhere => 0,
            Self::Plain(_) | Self::Tls(_) | Self::Either(_) => 1,
            Self::Both { .. } => 2,
        }
    }
}

/// Until when something has to be over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    clock: Clock,
    until: Instant,
}

impl Deadline {
    /// So long from now on.
    #[must_use]
    pub fn after(clock: Clock, patience: Duration) -> Self {
        let nanos = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        Self { clock, until: clock.now() + wirehaul_core::time::Duration::from_nanos(nanos) }
    }

    /// What is left of it.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        Duration::from_nanos(self.until.saturating_since(self.clock.now()).as_nanos())
    }
}

/// Who is visited, and how much patience there is.
#[derive(Clone, Copy)]
pub struct Visit<'a> {
    /// Which ports.
    pub way: Way,
    /// What for.
    pub wanted: Wanted,
    /// The address.
    pub ip: IpAddr,
    /// The host that is asked for there.
    pub host: &'a Host,
    /// What greets servers.
    pub tls: &'a Result<Tls, NotTried>,
    /// For a connection to come about.
    pub connect: Duration,
    /// For the whole visit.
    pub deadline: Deadline,
}

impl Visit<'_> {
    /// Goes there. Every part of it ends by the deadline.
    pub async fn go(self) -> Visited {
        if self.way != Way::Nowhere && is_nobodys(self.ip) {
            let of = |wanted| if wanted { NotTried::Unreachable } else { NotTried::Off };
            return Visited { http: Err(of(self.wanted.http)), tls: Err(of(self.wanted.tls)) };
        }
        match self.way {
            Way::Nowhere => Visited { http: Err(NotTried::Off), tls: Err(NotTried::Off) },
            Way::Plain(port) => Visited { http: self.plain(port).await, tls: Err(NotTried::Off) },
            Way::Tls(port) => {
                let greeted = self.greet(port).await;
                self.within(greeted, port).await
            }
            Way::Either(port) => match self.greet(port).await {
                Err(NotTried::BadAnswer | NotTried::NotBuiltIn) if self.wanted.http => {
                    let why = if self.tls.is_err() { NotTried::NotBuiltIn } else { NotTried::BadAnswer };
                    let tls = Err(if self.wanted.tls { why } else { NotTried::Off });
                    Visited { http: self.plain(port).await, tls }
                }
                greeted => self.within(greeted, port).await,
            },
            Way::Both { plain, tls } => {
                let (http, greeted) = join(self.plain(plain), self.greet(tls)).await;
                match http {
                    Ok(_) => Visited { http, tls: greeted.map(|(greeting, _)| greeting) },
                    Err(why) => {
                        let visited = self.within(greeted, tls).await;
                        Visited { http: visited.http.map_err(|_| why), tls: visited.tls }
                    }
                }
            }
        }
    }

    async fn plain(&self, port: u16) -> Result<Response, NotTried> {
        let stream = http::connect(SocketAddr::new(self.ip, port), self.patience()).await?;
        http::head(stream, &self.host_header(port, 80), self.deadline.remaining()).await
    }

    async fn greet(&self, port: u16) -> Result<(Greeting, Option<Session>), NotTried> {
        let tls = self.tls.as_ref().map_err(|why| *why)?;
        let stream = http::connect(SocketAddr::new(self.ip, port), self.patience()).await?;
        let asked = match self.host {
            Host::Ip(_) => Asked::Address(self.ip),
            Host::Name(name) => Asked::Name(name),
        };
        tls.greet(stream, asked, self.deadline.remaining()).await
    }

    /// The headers within a handshake, if they are wanted.
    async fn within(&self, greeted: Result<(Greeting, Option<Session>), NotTried>, port: u16) -> Visited {
        let (greeting, session) = match greeted {
            Ok((greeting, session)) => (Ok(greeting), Ok(session)),
            Err(why) => (Err(why), Err(why)),
        };
        let http = match session {
            _ if !self.wanted.http => Err(NotTried::Off),
            Ok(Some(session)) => http::head(session, &self.host_header(port, 443), self.deadline.remaining()).await,
            // After an alert there is nobody to ask.
            Ok(None) => Err(NotTried::BadAnswer),
            Err(why) => Err(why),
        };
        let tls = if self.wanted.tls { greeting } else { Err(NotTried::Off) };
        Visited { http, tls }
    }

    fn patience(&self) -> Duration {
        self.connect.min(self.deadline.remaining())
    }

    /// RFC 9110, section 7.2: the port, too, where it is not the usual one.
    fn host_header(&self, port: u16, usual: u16) -> String {
        let host = match self.host {
            Host::Name(name) => name.clone(),
            Host::Ip(IpAddr::V4(ip)) => ip.to_string(),
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        if port == usual { host } else { format!("{host}:{port}") }
    }
}

/// Whether no single host has the address. Linux takes a connection to the unspecified one as one to itself, which nobody means.
const fn is_nobodys(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::target::Item;

    /// Which ports a target is visited at.
    #[test]
    fn ways_follow_what_was_said_of_port_and_scheme() {
        let all = Wanted { http: true, tls: true };
        let (http, tls) = (Wanted { tls: false, ..all }, Wanted { http: false, ..all });
        let none = Wanted { http: false, tls: false };
        for (text, wanted, expected) in [
            ("192.0.2.1", all, Way::Both { plain: 80, tls: 443 }),
            ("www.example.com", http, Way::Plain(80)),
            ("www.example.com", tls, Way::Tls(443)),
            ("www.example.com", none, Way::Nowhere),
            ("www.example.com:8443", all, Way::Either(8443)),
            ("[2001:db8::1]:8443", tls, Way::Either(8443)),
            ("https://example.com/", all, Way::Tls(443)),
            ("https://example.com:8443/", http, Way::Tls(8443)),
            ("http://example.com/", all, Way::Both { plain: 80, tls: 443 }),
            ("http://example.com/", tls, Way::Tls(443)),
            ("http://example.com:8080/", all, Way::Plain(8080)),
            ("http://example.com:8080/", tls, Way::Nowhere),
        ] {
            let Ok(Item::Host(target)) = Item::parse(text) else { panic!("{text}") };
            assert_eq!(Way::to(&target, wanted, Ports::default()), expected, "{text}");
        }
    }
}
