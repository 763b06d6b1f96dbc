//! The servers that tests of CDN detection talk to do what they are for (CDN-2, CDN-7).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

#[path = "common/cdn/mod.rs"]
mod cdn;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use cdn::names::{self, Zone};
use cdn::ports;
use cdn::web::{Answer, Conduct, Edge};
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};

fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut question = Message::query();
    question.add_query(Query::query(name.parse::<Name>().unwrap(), kind));
    socket.send_to(&question.to_vec().unwrap(), server).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Message::from_vec(&buffer[..length]).ok()
}

fn head(ip: IpAddr, port: u16) -> String {
    let mut stream = TcpStream::connect((ip, port)).unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_name_server_follows_aliases_and_knows_what_is_not_there() {
    let ip: IpAddr = "192.0.2.1".parse().unwrap();
    let zone = Zone::new()
        .alias("www.example.com", "cdn.example.net")
        .address("cdn.example.net", ip)
        .alias("circle.example.com", "circle.example.com")
        .alias_chain("long.example.com", 50, "cdn.example.net")
        .conduct("silent.example.com", names::Conduct::Silent)
        .conduct("failing.example.com", names::Conduct::Failing)
        .conduct("giant.example.com", names::Conduct::Giant);
    let server = zone.serve();
    let www = ask(server.address, "www.example.com.", RecordType::A).unwrap();
    assert_eq!(www.answers.len(), 2);
    assert_eq!(ask(server.address, "long.example.com.", RecordType::A).unwrap().answers.len(), 52);
    assert!(ask(server.address, "circle.example.com.", RecordType::A).unwrap().answers.len() > 10);
    let missing = ask(server.address, "missing.example.com.", RecordType::A).unwrap();
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    let no_data = ask(server.address, "cdn.example.net.", RecordType::MX).unwrap();
    assert_eq!((no_data.metadata.response_code, no_data.answers.len()), (ResponseCode::NoError, 0));
    assert!(ask(server.address, "silent.example.com.", RecordType::A).is_none());
    let failing = ask(server.address, "failing.example.com.", RecordType::A).unwrap();
    assert_eq!(failing.metadata.response_code, ResponseCode::ServFail);
    assert!(ask(server.address, "giant.example.com.", RecordType::A).unwrap().metadata.truncation);
    assert_eq!(server.times_asked("www.example.com"), 1);
}

#[test]
fn web_servers_answer_by_host_and_count_what_comes() {
    let answer = Answer::new("200 OK", &[("server", "test")]);
    let other = Answer::new("404 Not Found", &[]);
    let edge = Edge::plain(Conduct::Hosts(vec![("www.example.com".to_owned(), answer)], other));
    assert!(head(edge.ip, ports().http).starts_with("HTTP/1.1 200 OK\r\nserver: test\r\n"));
    assert_eq!((edge.connections(), edge.most_at_once()), (1, 1));
    assert!(edge.requests()[0].starts_with("HEAD / HTTP/1.1\r\n"));
}

#[test]
fn nobody_gets_through_a_firewall_and_nobody_listens_at_a_closed_port() {
    let (firewalled, closed) = (Edge::firewalled(), Edge::closed());
    let connect = |ip| TcpStream::connect_timeout(&SocketAddr::new(ip, ports().https), Duration::from_millis(200));
    assert_eq!(connect(firewalled.ip).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(connect(closed.ip).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[cfg(feature = "aws-lc")]
mod tls {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    use super::cdn::certificates::Authority;
    use super::cdn::providers::{Provider, huge_certificate};
    use super::cdn::web::Handshake;
    use super::*;

    fn connect(authority: &Authority, edge: &Edge, server_name: &str) -> Result<String, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from(server_name.to_owned()).unwrap();
        let stream = TcpStream::connect((edge.ip, ports().https)).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
        let rustls_error = |error: std::io::Error| error.downcast::<rustls::Error>().unwrap();
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").map_err(rustls_error)?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).map_err(rustls_error)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    #[test]
    fn edges_show_the_certificate_of_a_site_to_whom_asks_for_it() {
        let authority = Authority::new();
        for provider in Provider::ALL {
            let edge = provider.serve(&authority, &["www.example.com"]);
            let answer = connect(&authority, &edge, "www.example.com").unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{provider:?}: {answer}");
            let nameless = connect(&authority, &edge, &edge.ip.to_string()).unwrap_err();
            let is_alert = matches!(nameless, rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure));
            assert_eq!(is_alert, provider == Provider::Cloudflare, "{provider:?}: {nameless}");
            assert_eq!(edge.server_names(), [Some("www.example.com".to_owned()), None]);
        }
    }

    #[test]
    fn a_huge_certificate_goes_through() {
        let authority = Authority::new();
        let answer = Conduct::Answer(Answer::new("200 OK", &[]));
        let edge = Edge::tls(Handshake::always(huge_certificate(&authority)), answer);
        assert!(connect(&authority, &edge, "host-7.of-somebody.example").is_ok());
    }
}
