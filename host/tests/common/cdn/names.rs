//! A name server on a loopback address: records that the test wrote, and names that it answers badly or not at all.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::own_address;

/// How long an answer holds.
const TTL: u32 = 60;
/// Aliases in an answer at most where they run in circles.
const MOST_ALIASES: usize = 20;
/// What fits into a datagram of a client that says nothing else.
const DATAGRAM: usize = 1232;

/// How a name is answered that is not answered well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Not at all.
    Silent,
    /// SERVFAIL.
    Failing,
    /// REFUSED.
    Refusing,
    /// A good answer to another question: its number is another.
    WrongId,
    /// A good answer over UDP that says that it was cut off, and nothing over TCP.
    CutOff,
    /// Bytes that are no message.
    Garbage,
    /// So many addresses that they take a TCP answer of some 60 KiB.
    Giant,
}

/// What there is to know.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: Vec<(Name, RData)>,
    conducts: Vec<(Name, Conduct)>,
    of_all: Option<Conduct>,
}

impl Zone {
    pub fn new() -> Self {
        Self::default()
    }

    fn with_record(mut self, owner: &str, data: RData) -> Self {
        self.records.push((name(owner), data));
        self
    }

    /// `owner` has this address.
    #[must_use]
    pub fn address(self, owner: &str, ip: IpAddr) -> Self {
        let data = match ip {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        self.with_record(owner, data)
    }

    /// `owner` is an alias of `target`.
    #[must_use]
    pub fn alias(self, owner: &str, target: &str) -> Self {
        self.with_record(owner, RData::CNAME(CNAME(name(target))))
    }

    /// `first` leads through `links` more names to `last`.
    #[must_use]
    pub fn alias_chain(mut self, first: &str, links: usize, last: &str) -> Self {
        let link = |number: usize| format!("link-{number}.{first}");
        let names = (0..=links + 1).map(|number| match number {
            0 => first.to_owned(),
            number if number == links + 1 => last.to_owned(),
            number => link(number),
        });
        let names: Vec<String> = names.collect();
        for (from, to) in names.iter().zip(names.iter().skip(1)) {
            self = self.alias(from, to);
        }
        self
    }

    /// Mail for `owner` goes to `host`.
    #[must_use]
    pub fn mail(self, owner: &str, host: &str) -> Self {
        self.with_record(owner, RData::MX(MX::new(10, name(host))))
    }

    /// A text record, cut into strings of 255 bytes as all are.
    #[must_use]
    pub fn text(self, owner: &str, text: &str) -> Self {
        let strings = text.as_bytes().chunks(255).map(|part| String::from_utf8_lossy(part).into_owned());
        self.with_record(owner, RData::TXT(TXT::new(strings.collect())))
    }

    /// The address has this name.
    #[must_use]
    pub fn pointer(mut self, ip: IpAddr, target: &str) -> Self {
        self.records.push((Name::from(ip), RData::PTR(PTR(name(target)))));
        self
    }

    /// This name is answered like this, and so are those below it.
    #[must_use]
    pub fn conduct(mut self, owner: &str, conduct: Conduct) -> Self {
        self.conducts.push((name(owner), conduct));
        self
    }

    /// Every name is answered like this.
    #[must_use]
    pub fn all(mut self, conduct: Conduct) -> Self {
        self.of_all = Some(conduct);
        self
    }

    /// Answers on an address of its own.
    pub fn serve(self) -> NameServer {
        NameServer::start(self)
    }

    fn conduct_of(&self, asked: &Name) -> Option<Conduct> {
        let of_name = self.conducts.iter().find(|(owner, _)| owner.zone_of(asked));
        of_name.map(|(_, conduct)| *conduct).or(self.of_all)
    }

    /// A name that does not exist is answered as `*` next to it, if that exists (RFC 4592).
    fn owner_or_wildcard(&self, owner: &Name) -> Name {
        let exists = |asked: &Name| self.records.iter().any(|(name, _)| asked.zone_of(name));
        let wildcard = || Name::from_str("*").and_then(|star| star.append_domain(&owner.base_name())).ok();
        if exists(owner) { owner.clone() } else { wildcard().filter(exists).unwrap_or_else(|| owner.clone()) }
    }

    fn answer(&self, question: &Message) -> Option<Message> {
        let query: &Query = question.queries.first()?;
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let mut owner = query.name().clone();
        let mut is_known = false;
        for _ in 0..MOST_ALIASES.max(self.records.len()) {
            let held_by = self.owner_or_wildcard(&owner);
            let of_owner = || self.records.iter().filter(|(name, _)| *name == held_by);
            is_known |= of_owner().next().is_some();
            let asked_for = of_owner().filter(|(_, data)| data.record_type() == query.query_type());
            let record = |(_, data): &(Name, RData)| Record::from_rdata(owner.clone(), TTL, data.clone());
            let found: Vec<Record> = asked_for.map(record).collect();
            let alias = of_owner().find_map(|(_, data)| match data {
                RData::CNAME(CNAME(target)) => Some(target.clone()),
                _ => None,
            });
            match alias {
                Some(target) if found.is_empty() => {
                    answer.add_answer(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(target.clone()))));
                    owner = target;
                }
                _ => {
                    answer.add_answers(found);
                    break;
                }
            }
        }
        if answer.answers.is_empty() {
            let below = self.records.iter().any(|(name, _)| owner.zone_of(name));
            answer.metadata.response_code =
                if is_known || below { ResponseCode::NoError } else { ResponseCode::NXDomain };
            let soa = SOA::new(name("ns.invalid."), name("nobody.invalid."), 1, 3600, 600, 86400, TTL);
            answer.add_authority(Record::from_rdata(Name::root(), TTL, RData::SOA(soa)));
        }
        Some(answer)
    }
}

/// A name, as the test wrote it.
fn name(text: &str) -> Name {
    let mut name = Name::from_str(text).unwrap();
    name.set_fqdn(true);
    name
}

/// Over what a question came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Udp,
    Tcp,
}

struct Shared {
    zone: Zone,
    asked: Mutex<Vec<(String, RecordType)>>,
    stop: AtomicBool,
}

/// Answers questions over UDP and TCP until it is dropped.
pub struct NameServer {
    /// Where.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    fn start(zone: Zone) -> Self {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        let shared = Arc::new(Shared { zone, asked: Mutex::default(), stop: AtomicBool::new(false) });
        let (for_udp, for_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || answer_datagrams(&socket, &for_udp)),
            std::thread::spawn(move || answer_connections(&listener, &for_tcp)),
        ];
        Self { address, shared, threads }
    }

    /// The questions so far: names without the last dot, in lower case, and types.
    pub fn asked(&self) -> Vec<(String, RecordType)> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often this name was asked about.
    pub fn times_asked(&self, name: &str) -> usize {
        self.asked().iter().filter(|(asked, _)| asked == name).count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Ok(waker) = UdpSocket::bind((self.address.ip(), 0)) {
            let _ = waker.send_to(&[], self.address);
        }
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Some(answer) = buffer.get(..length).and_then(|question| respond(question, Way::Udp, shared)) else {
            continue;
        };
        // A client that has left needs no answer.
        let _ = socket.send_to(&answer, from);
    }
}

fn answer_connections(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || answer_stream(stream, &shared));
    }
}

/// Messages with their length in front (RFC 1035, section 4.2.2).
fn answer_stream(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question)?;
        if let Some(answer) = respond(&question, Way::Tcp, shared) {
            let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
        }
    }
}

fn respond(question: &[u8], way: Way, shared: &Shared) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?;
    let asked = query.name().to_lowercase().to_ascii().trim_end_matches('.').to_owned();
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push((asked, query.query_type()));
    let mut answer = shared.zone.answer(&question)?;
    match shared.zone.conduct_of(query.name()) {
        None => {}
        Some(Conduct::Silent) => return None,
        Some(Conduct::CutOff) if way == Way::Tcp => return None,
        Some(Conduct::CutOff) => answer.metadata.truncation = true,
        Some(Conduct::Failing) => answer = error(&question, ResponseCode::ServFail),
        Some(Conduct::Refusing) => answer = error(&question, ResponseCode::Refused),
        Some(Conduct::WrongId) => answer.metadata.id = answer.metadata.id.wrapping_add(1),
        Some(Conduct::Garbage) => return Some(vec![0xff; 300]),
        Some(Conduct::Giant) => {
            answer.answers = (0..3500_u32).filter_map(|number| giant_record(query, number)).collect();
            answer.metadata.response_code = ResponseCode::NoError;
        }
    }
    let bytes = answer.to_vec().ok()?;
    if way == Way::Udp && bytes.len() > DATAGRAM {
        return answer.truncate().to_vec().ok();
    }
    Some(bytes)
}

fn giant_record(query: &Query, number: u32) -> Option<Record> {
    let data = match query.query_type() {
        RecordType::A => RData::A(A((0x7f00_0000 + number).into())),
        RecordType::TXT => RData::TXT(TXT::new(vec![format!("v{number}")])),
        _ => return None,
    };
    Some(Record::from_rdata(query.name().clone(), TTL, data))
}

fn error(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::error_msg(question.metadata.id, OpCode::Query, code);
    answer.add_queries(question.queries.iter().cloned());
    answer
}
