//! Web servers on loopback addresses of their own: well-behaved, slow, endless, silent, or behind a firewall.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

#[cfg(feature = "aws-lc")]
use super::certificates::Identity;
use super::{listen, own_address, ports};

/// Connections that nobody speaks on are closed after this long.
const MOST_SILENCE: Duration = Duration::from_secs(20);

/// What a server does with a request.
#[derive(Clone, Debug)]
pub enum Conduct {
    /// Answers, with no body to HEAD.
    Answer(Answer),
    /// The same for the hosts that are named, in the order given, and the second for all others.
    Hosts(Vec<(String, Answer)>, Answer),
    /// A status line, then headers for ever.
    EndlessHeaders,
    /// One header that never ends.
    EndlessHeader,
    /// `100 Continue` for ever.
    EndlessContinue,
    /// A good answer, one byte a second.
    Slowly(Answer),
    /// Bytes that are no HTTP.
    Garbage,
    /// Hangs up when it has read the request.
    HangsUp,
    /// Reads and says nothing.
    Silent,
    /// Answers HEAD with a body that never ends.
    EndlessBody(Answer),
}

/// An answer: a status line such as `200 OK`, and headers as they are sent.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: String,
    pub headers: Vec<(String, String)>,
}

impl Answer {
    pub fn new(status: &str, headers: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { status: status.to_owned(), headers: headers.iter().map(own).collect() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n", self.status).into_bytes()
    }
}

/// What a server shows to whom in a handshake.
#[cfg(feature = "aws-lc")]
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// To clients that name no host; `None` is an alert: handshake_failure, as Cloudflare sends it.
    pub nameless: Option<Identity>,
    /// To those that name one of these hosts.
    pub named: Vec<(String, Identity)>,
    /// To those that name another; `None` is an alert: unrecognized_name.
    pub others: Option<Identity>,
}

#[cfg(feature = "aws-lc")]
impl Handshake {
    /// The same certificate to all.
    pub fn always(identity: Identity) -> Self {
        Self { nameless: Some(identity.clone()), named: Vec::new(), others: Some(identity) }
    }

    fn identity(&self, server_name: Option<&str>) -> Result<&Identity, Alert> {
        let Some(server_name) = server_name else { return self.nameless.as_ref().ok_or(Alert::HandshakeFailure) };
        let named = self.named.iter().find(|(name, _)| name.eq_ignore_ascii_case(server_name));
        named.map(|(_, identity)| identity).or(self.others.as_ref()).ok_or(Alert::UnrecognizedName)
    }
}

/// Alerts of TLS (RFC 8446, section 6.2).
#[cfg(feature = "aws-lc")]
#[derive(Clone, Copy)]
enum Alert {
    HandshakeFailure = 40,
    UnrecognizedName = 112,
}

/// What was seen of the clients of an address.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    requests: Mutex<Vec<String>>,
    server_names: Mutex<Vec<Option<String>>>,
}

/// A server with an address of its own; it ends when it is dropped.
pub struct Edge {
    /// Its address.
    pub ip: IpAddr,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    listeners: Vec<(SocketAddr, JoinHandle<()>)>,
    // What fills a queue that nobody takes connections from.
    _fillers: Vec<TcpStream>,
    _full: Vec<Socket>,
}

impl Edge {
    /// One that nothing listens at: connections are refused.
    pub fn closed() -> Self {
        Self::at(own_address())
    }

    /// The same at an address that the caller chose.
    pub fn at(ip: IpAddr) -> Self {
        let (seen, stop) = (Arc::default(), Arc::default());
        Self { ip, seen, stop, listeners: Vec::new(), _fillers: Vec::new(), _full: Vec::new() }
    }

    /// Plain HTTP on [`Ports::http`](super::Ports::http).
    pub fn plain(conduct: Conduct) -> Self {
        Self::closed().and_plain(conduct)
    }

    /// And plain HTTP, too.
    #[must_use]
    pub fn and_plain(mut self, conduct: Conduct) -> Self {
        let speak = move |stream: TcpStream, seen: &Seen, stop: &AtomicBool| converse(stream, &conduct, seen, stop);
        self.serve(ports().http, speak);
        self
    }

    /// HTTP over TLS on [`Ports::https`](super::Ports::https).
    #[cfg(feature = "aws-lc")]
    pub fn tls(handshake: Handshake, conduct: Conduct) -> Self {
        Self::closed().and_tls(handshake, conduct)
    }

    /// And HTTP over TLS, too.
    #[cfg(feature = "aws-lc")]
    #[must_use]
    pub fn and_tls(mut self, handshake: Handshake, conduct: Conduct) -> Self {
        let speak = move |stream: TcpStream, seen: &Seen, stop: &AtomicBool| {
            converse(shake_hands(stream, &handshake, seen)?, &conduct, seen, stop)
        };
        self.serve(ports().https, speak);
        self
    }

    /// A port where TLS is spoken by nobody: whatever comes is answered with these bytes, or with silence if there are none.
    #[must_use]
    pub fn and_bytes(mut self, port: u16, bytes: &'static [u8]) -> Self {
        let speak = move |mut stream: TcpStream, _: &Seen, _: &AtomicBool| {
            if bytes.is_empty() {
                return io::copy(&mut stream, &mut io::sink()).map(drop);
            }
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(bytes)
        };
        self.serve(port, speak);
        self
    }

    /// One that drops what comes, as firewalls do: both ports, and nobody ever gets a connection.
    pub fn firewalled() -> Self {
        let mut edge = Self::closed();
        for port in [ports().http, ports().https] {
            edge.fill_queue(port);
        }
        edge
    }

    /// A queue that is full and that nobody takes from: Linux drops each further SYN (tcp_conn_request in net/ipv4/tcp_input.c).
    fn fill_queue(&mut self, port: u16) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let address = SocketAddr::new(self.ip, port);
        socket.bind(&address.into()).unwrap();
        socket.listen(0).unwrap();
        while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            self._fillers.push(filler);
        }
        self._full.push(socket);
    }

    fn serve(
        &mut self,
        port: u16,
        speak: impl Fn(TcpStream, &Seen, &AtomicBool) -> io::Result<()> + Send + Sync + 'static,
    ) {
        let listener = listen(port, self.ip);
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::clone(&self.seen), Arc::clone(&self.stop));
        let run = move || accept_all(&listener, &seen, &stop, &Arc::new(speak));
        self.listeners.push((address, std::thread::spawn(run)));
    }

    /// Connections that came so far, on both ports.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The most that there were at one time.
    pub fn most_at_once(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names that clients asked for in handshakes so far.
    pub fn server_names(&self) -> Vec<Option<String>> {
        self.seen.server_names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for (address, thread) in self.listeners.drain(..) {
            // Wakes it; if this fails it is awake.
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            let _ = thread.join();
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    seen: &Arc<Seen>,
    stop: &Arc<AtomicBool>,
    speak: &Arc<impl Fn(TcpStream, &Seen, &AtomicBool) -> io::Result<()> + Send + Sync + 'static>,
) {
    while let Ok((stream, _)) = listener.accept() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        seen.connections.fetch_add(1, Ordering::SeqCst);
        seen.most.fetch_max(seen.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (seen, stop, speak) = (Arc::clone(seen), Arc::clone(stop), Arc::clone(speak));
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(MOST_SILENCE));
            let _ = stream.set_nodelay(true);
            let last = stream.try_clone();
            // Clients that leave early are part of the game.
            let _ = speak(stream, &seen, &stop);
            if let Ok(last) = last {
                let _ = last.shutdown(Shutdown::Both);
            }
            seen.now.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

#[cfg(feature = "aws-lc")]
fn shake_hands(
    mut stream: TcpStream,
    handshake: &Handshake,
    seen: &Seen,
) -> io::Result<rustls::StreamOwned<rustls::ServerConnection, TcpStream>> {
    let mut acceptor = rustls::server::Acceptor::default();
    let accepted = loop {
        if acceptor.read_tls(&mut stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((_, mut alert)) => {
                alert.write_all(&mut stream)?;
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    };
    let server_name = accepted.client_hello().server_name().map(str::to_owned);
    seen.server_names.lock().unwrap_or_else(PoisonError::into_inner).push(server_name.clone());
    match handshake.identity(server_name.as_deref()) {
        Ok(identity) => match accepted.into_connection(identity.config()) {
            Ok(connection) => Ok(rustls::StreamOwned::new(connection, stream)),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        },
        Err(alert) => {
            // An alert record of TLS 1.2 (RFC 8446, section 5.1): fatal.
            stream.write_all(&[21, 3, 3, 0, 2, 2, alert as u8])?;
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

fn converse(mut stream: impl Read + Write, conduct: &Conduct, seen: &Seen, stop: &AtomicBool) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    let host = host_of(&head).unwrap_or_default();
    seen.requests.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    let endless = |stream: &mut dyn Write, begin: &[u8], again: &[u8]| -> io::Result<()> {
        stream.write_all(begin)?;
        while !stop.load(Ordering::SeqCst) {
            stream.write_all(again)?;
            stream.flush()?;
        }
        Ok(())
    };
    match conduct {
        Conduct::Answer(answer) => stream.write_all(&answer.bytes())?,
        Conduct::Hosts(hosts, others) => {
            let answer =
                hosts.iter().find(|(name, _)| name.eq_ignore_ascii_case(&host)).map_or(others, |found| &found.1);
            stream.write_all(&answer.bytes())?;
        }
        Conduct::EndlessHeaders => endless(&mut stream, b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n")?,
        Conduct::EndlessHeader => endless(&mut stream, b"HTTP/1.1 200 OK\r\nx-more: ", b"and more")?,
        Conduct::EndlessContinue => endless(&mut stream, b"", b"HTTP/1.1 100 Continue\r\n\r\n")?,
        Conduct::EndlessBody(answer) => endless(&mut stream, &answer.bytes(), &[b'x'; 1024])?,
        Conduct::Slowly(answer) => {
            for byte in answer.bytes() {
                stream.write_all(&[byte])?;
                stream.flush()?;
                std::thread::sleep(Duration::from_secs(1));
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
        Conduct::Garbage => stream.write_all(&[0xff, 0x00, 0x13, 0x37].repeat(64))?,
        Conduct::HangsUp => {}
        // Until the client leaves.
        Conduct::Silent => drop(stream.read(&mut [0; 1])?),
    }
    stream.flush()
}

/// The head of a request, of at most 16 KiB.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut reader = BufReader::new(stream.take(16 << 10));
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    if head.ends_with("\r\n\r\n") { Ok(head) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The host that a request asks for, without its port.
fn host_of(head: &str) -> Option<String> {
    let line = head.lines().find(|line| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("host:")))?;
    let host = line.get(5..)?.trim();
    let without_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(without_port.map_or(host, |(host, _)| host).to_owned())
}
