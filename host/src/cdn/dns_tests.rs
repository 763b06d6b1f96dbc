use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use tokio::net::UdpSocket;

use super::*;

/// What a server knows: owner, and what is there.
type Zone = Vec<(&'static str, RData)>;

/// How a server behaves.
#[derive(Clone)]
enum Server {
    /// It answers what it knows, with all aliases on the way; of other names there are none.
    Knows(Zone),
    Fails(ResponseCode),
    Silent,
    Garbage,
}

impl Server {
    fn reply(&self, question: &[u8]) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).unwrap();
        let query = asked.queries.first().unwrap().clone();
        let mut reply = Message::new(asked.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_available = true;
        match self {
            Self::Silent => return None,
            Self::Garbage => return Some(vec![0xff; 40]),
            Self::Fails(code) => reply.metadata.response_code = *code,
            Self::Knows(zone) => {
                let mut owner = query.name().clone();
                for _ in 0..40 {
                    let here: Vec<_> = zone.iter().filter(|(name, _)| parsed(name).unwrap() == owner).collect();
                    if here.is_empty() {
                        reply.metadata.response_code = ResponseCode::NXDomain;
                    }
                    let mut alias = None;
                    for (_, data) in here {
                        if let RData::CNAME(to) = data {
                            alias = Some(to.0.clone());
                        }
                        if data.record_type() == query.query_type() || alias.is_some() {
                            reply.answers.push(Record::from_rdata(owner.clone(), 60, data.clone()));
                        }
                    }
                    match alias {
                        Some(alias) => owner = alias,
                        None => break,
                    }
                }
                reply.add_query(query);
                return Some(reply.to_vec().unwrap());
            }
        }
        reply.add_query(query);
        Some(reply.to_vec().unwrap())
    }
}

/// Runs `test` with a resolver that asks such a server.
fn with_server<F: Future>(server: Server, test: impl FnOnce(Dns) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut question = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut question).await.unwrap();
                if let Some(reply) = server.reply(&question[..length]) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        // Long enough for a machine that is busy; those that are silent are given less.
        let found = test(Dns::new(Some(address), Duration::from_millis(2_000)).unwrap()).await;
        task.abort();
        found
    })
}

fn alias(name: &str) -> RData {
    RData::CNAME(CNAME(parsed(name).unwrap()))
}

fn v4(text: &str) -> RData {
    RData::A(A(text.parse::<Ipv4Addr>().unwrap()))
}

fn v6(text: &str) -> RData {
    RData::AAAA(AAAA(text.parse::<Ipv6Addr>().unwrap()))
}

#[test]
fn addresses_come_with_all_aliases_on_the_way() {
    let zone = vec![
        ("www.example.com", alias("www.example.com.cdn.example.net")),
        ("www.example.com.cdn.example.net", alias("edge-7.example.org")),
        ("edge-7.example.org", v6("2001:db8::7")),
        ("edge-7.example.org", v4("192.0.2.7")),
        ("edge-7.example.org", v4("192.0.2.8")),
    ];
    let answer = with_server(Server::Knows(zone), async |dns| dns.addresses("www.example.com").await).unwrap();
    assert_eq!(answer.aliases, ["www.example.com.cdn.example.net", "edge-7.example.org"]);
    let expected: Vec<IpAddr> =
        ["192.0.2.7", "192.0.2.8", "2001:db8::7"].map(|text| text.parse().unwrap()).into_iter().collect();
    assert_eq!(answer.addresses, expected);
    assert!(answer.exists);
}

#[test]
fn a_name_that_does_not_exist_is_an_answer() {
    let answer = with_server(Server::Knows(vec![]), async |dns| dns.addresses("nobody.example.com").await);
    assert_eq!(answer, Ok(Answer::default()));
    for malformed in ["", "a..b", &"a".repeat(70), &"a.".repeat(200)] {
        let answer = with_server(Server::Silent, async |dns| dns.addresses(malformed).await);
        assert!(!answer.is_ok_and(|answer| answer.exists), "{malformed}");
    }
}

#[test]
fn circles_of_aliases_end() {
    let zone = vec![("a.example.com", alias("b.example.com")), ("b.example.com", alias("a.example.com"))];
    let answer = with_server(Server::Knows(zone), async |dns| dns.addresses("a.example.com").await);
    assert!(answer.is_ok_and(|answer| answer.addresses.is_empty()));
}

#[test]
fn names_of_addresses_mail_hosts_and_texts_are_read() {
    let text = TXT::new(vec!["v=spf1 ip4:192.0.2.0/24 ".to_owned(), "-all".to_owned()]);
    let zone = vec![
        ("7.2.0.192.in-addr.arpa", RData::PTR(PTR(parsed("edge.example.com").unwrap()))),
        ("example.com", RData::MX(MX::new(20, parsed("second.example.com").unwrap()))),
        ("example.com", RData::MX(MX::new(10, parsed("first.example.com").unwrap()))),
        ("example.com", RData::MX(MX::new(0, Name::root()))),
        ("example.com", RData::TXT(text)),
    ];
    let (names, mx, txt) = with_server(Server::Knows(zone), async |dns| {
        let ip = "::ffff:192.0.2.7".parse().unwrap();
        (dns.names(ip).await, dns.mx("example.com").await, dns.txt("example.com").await)
    });
    assert_eq!(names.unwrap(), ["edge.example.com"]);
    assert_eq!(mx.unwrap(), ["first.example.com", "second.example.com"]);
    assert_eq!(txt.unwrap(), ["v=spf1 ip4:192.0.2.0/24 -all"]);
}

#[test]
fn a_resolver_that_fails_is_told_from_one_that_does_not_answer() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let failed = with_server(Server::Fails(code), async |dns| dns.addresses("example.com").await);
        assert_eq!(failed, Err(NotTried::ResolverFailed), "{code:?}");
    }
    for server in [Server::Silent, Server::Garbage] {
        let silent = with_server(server, async |mut dns| {
            dns.timeout = Duration::from_millis(30);
            (dns.addresses("example.com").await, dns.mx("example.com").await)
        });
        assert_eq!(silent, (Err(NotTried::Timeout), Err(NotTried::Timeout)));
    }
}
