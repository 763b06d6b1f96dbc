//! One request to a web server: `HEAD /`, of whose answer the headers are kept; or, to a registry, `GET` for a bounded body. Nothing is
//! followed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request, Response as Answer, http};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::detection::NotTried;

/// How long a connection may take to come about where nobody says otherwise.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(80);

/// Who asks, and what for: whoever reads his logs can tell.
const WHO: &str = concat!("wirehaul/", env!("CARGO_PKG_VERSION"), " (CDN detection; HEAD requests only)");

/// The same to registries.
const WHO_READS: &str = concat!("wirehaul/", env!("CARGO_PKG_VERSION"), " (origin check; one domain)");

/// Headers of an answer at most; an answer with more is none.
const MOST_HEADERS: usize = 128;

/// Bytes of status line and headers at most. hyper wants no buffer below 8 KiB.
const MOST_HEADER_BYTES: usize = 32 * 1024;

/// What a web server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// 100 to 999.
    pub status: u16,
    /// Names in lower case, and values as they came; at most 128, in 32 KiB.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Response {
    /// The value of the first header of this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Where it says to go instead; nobody went there.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.header("location").and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// Connects to the address.
///
/// # Errors
/// There is no connection after `patience`, or none at all.
pub async fn connect(address: SocketAddr, patience: Duration) -> Result<TcpStream, NotTried> {
    match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // A question and an answer: nothing to gather.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(no_connection(&error)),
        Err(_) => Err(NotTried::Timeout),
    }
}

fn no_connection(error: &io::Error) -> NotTried {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => NotTried::Refused,
        io::ErrorKind::TimedOut => NotTried::Timeout,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::PermissionDenied => NotTried::Unreachable,
        _ => NotTried::NoSocket,
    }
}

/// Asks for the headers of `/` as `host`, a name or an address, with a port where it is not the usual one.
///
/// # Errors
/// [`NotTried::Timeout`]: the headers were not complete after `patience`. [`NotTried::BadAnswer`]: they are none of HTTP/1, or too
/// large, or the server hung up.
pub async fn head<S>(stream: S, host: &str, patience: Duration) -> Result<Response, NotTried>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(Method::HEAD, host, "/").header(USER_AGENT, WHO).header(ACCEPT, "*/*");
    let headers = async |answer: Answer<Incoming>| Ok(headers_of(&answer));
    timeout(patience, exchange(stream, request, headers)).await.unwrap_or(Err(NotTried::Timeout))
}

/// Asks for what is at a path (with its query), as `host`, and reads at most so many bytes of it.
///
/// # Errors
/// As for [`head`], for headers and body together; a larger body is [`NotTried::BadAnswer`].
pub async fn get<S>(
    stream: S,
    host: &str,
    path: &str,
    accept: &str,
    most_bytes: usize,
    patience: Duration,
) -> Result<(Response, Vec<u8>), NotTried>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(Method::GET, host, path).header(USER_AGENT, WHO_READS).header(ACCEPT, accept);
    let read = async |answer: Answer<Incoming>| {
        let response = headers_of(&answer);
        let body = Limited::new(answer.into_body(), most_bytes).collect().await.map_err(|_| NotTried::BadAnswer)?;
        Ok((response, body.to_bytes().to_vec()))
    };
    timeout(patience, exchange(stream, request, read)).await.unwrap_or(Err(NotTried::Timeout))
}

fn request(method: Method, host: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(HOST, host).header(CONNECTION, "close")
}

/// Sends the request, and reads the answer while the connection goes on.
async fn exchange<S, T>(
    stream: S,
    request: http::request::Builder,
    read: impl AsyncFnOnce(Answer<Incoming>) -> Result<T, NotTried>,
) -> Result<T, NotTried>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| NotTried::BadAnswer)?;
    let mut settings = http1::Builder::new();
    settings.max_headers(MOST_HEADERS).max_header_size(MOST_HEADER_BYTES).max_buf_size(2 * MOST_HEADER_BYTES);
    let handshake = settings.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| NotTried::BadAnswer)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|_| NotTried::BadAnswer)?;
        read(answer).await
    };
    match select(std::pin::pin!(answer), std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection is over; what came before that is there.
        Either::Right((_, answer)) => answer.await,
    }
}

fn headers_of(answer: &Answer<Incoming>) -> Response {
    let headers = answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Response { status: answer.status().as_u16(), headers: headers.collect() }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpListener};

    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// What a client gets that asks a server which sends this, again and again if it is to, and what the server read.
    fn asked(reply: &'static [u8], again: bool, patience: Duration) -> (Result<Response, NotTried>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            request.truncate(length);
            while stream.write_all(reply).is_ok() && again {}
            let _ = stream.shutdown(Shutdown::Write);
            // Until the client goes.
            let _ = stream.read(&mut [0]);
            String::from_utf8(request).unwrap()
        });
        let answer = run(async {
            let stream = connect(address, Duration::from_secs(5)).await?;
            head(stream, "www.example.com", patience).await
        });
        (answer, server.join().unwrap())
    }

    const LONG: Duration = Duration::from_secs(5);

    #[test]
    fn headers_are_kept_and_nothing_is_followed() {
        let reply =
            b"HTTP/1.1 301 Moved\r\nServer: cloudflare\r\nLocation: https://example.com/\r\nCF-Ray: 1\r\n\r\nbody";
        let (answer, request) = asked(reply, false, LONG);
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.location()), (301, Some("https://example.com/")));
        assert_eq!(answer.header("server"), Some(b"cloudflare".as_slice()));
        assert_eq!(answer.header("cf-ray"), Some(b"1".as_slice()));
        assert_eq!(answer.header("via"), None);
        let request = request.to_ascii_lowercase();
        assert!(request.starts_with("head / http/1.1\r\nhost: www.example.com\r\n"), "{request}");
        for line in ["\r\nconnection: close\r\n", "\r\nuser-agent: wirehaul/"] {
            assert!(request.contains(line), "{request}");
        }
    }

    #[test]
    fn a_server_that_sends_a_body_without_end_is_left() {
        let (answer, _) = asked(b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 99999999\r\n\r\n", true, LONG);
        assert_eq!(answer.map(|answer| answer.status), Ok(200));
    }

    #[test]
    fn what_is_no_answer_is_told_apart_from_none() {
        for reply in [
            b"".as_slice(),
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200",
            b"\x15\x03\x03\x00\x02\x02\x28",
        ] {
            let (answer, _) = asked(reply, false, LONG);
            assert_eq!(answer, Err(NotTried::BadAnswer), "{}", reply.escape_ascii());
        }
    }

    #[test]
    fn headers_without_end_end() {
        let short = Duration::from_millis(500);
        for (reply, expected) in [
            // Too large, or in the middle of it when the time is over.
            (b"X-Header: and another one of them, and of these there are many, many more\r\n".as_slice(), None),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Some(NotTried::Timeout)),
        ] {
            let whole: &'static [u8] = if expected.is_none() {
                Box::leak([b"HTTP/1.1 200 OK\r\n", reply.repeat(2_000).as_slice()].concat().into_boxed_slice())
            } else {
                reply
            };
            let (answer, _) = asked(whole, true, short);
            assert_eq!(answer, Err(expected.unwrap_or(NotTried::BadAnswer)));
        }
    }

    #[test]
    fn silence_and_closed_ports_have_reasons() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let silent = run(async {
            let stream = connect(address, LONG).await?;
            head(stream, "x", Duration::from_millis(50)).await
        });
        assert_eq!(silent, Err(NotTried::Timeout));
        drop(listener);
        assert_eq!(run(connect(address, LONG)).err(), Some(NotTried::Refused));
    }
}
