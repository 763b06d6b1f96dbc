//! The ceiling: a bare loop of AEAD seal and 64 KB GSO send against GRO receive and AEAD open, with no protocol at all;
//! and what sealing and opening one record costs under each library (`ceiling aead`).

use std::hint::black_box;
use std::io::{self, IoSliceMut, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use serde_json::json;
use wirehaul_benches::clock::Stopwatch;
use wirehaul_benches::records::{Cipher, Library, PAYLOAD_BYTES, RECORD_BYTES, RecordKey};
use wirehaul_benches::udp;

/// Records in one send call: the most that fit in one IPv4 datagram of 65,507 bytes.
const RECORDS_PER_SEND: usize = 44;
/// The length of the datagram that says how many records were sent: no record has it.
const END_BYTES: usize = 8;
/// The end is said often enough that one copy arrives.
const END_COPIES: usize = 50;
/// A receiver that has begun gives up after this much silence.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Parser)]
#[command(about = "The bare GSO + AEAD loop that a protocol is measured against, and the cost of the AEADs")]
enum Arguments {
    /// Seals and sends for a while
    Send {
        /// The receiver's address
        address: SocketAddr,
        /// For how long
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Who seals
        #[arg(long, value_enum, default_value = "aws-lc")]
        aead: Library,
    },
    /// Receives and opens until the sender says that it has ended; prints the result as JSON
    Recv {
        /// The address to listen on
        address: SocketAddr,
        /// Who opens: the same as at the sender
        #[arg(long, value_enum, default_value = "aws-lc")]
        aead: Library,
    },
    /// Measures seal and open of one record, per library and cipher
    Aead {
        /// How long each measurement takes
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
}

/// What stops the ceiling.
#[derive(Debug, thiserror::Error)]
enum CeilingError {
    #[error("the socket failed: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Aead(#[from] wirehaul_benches::records::AeadRefused),
    #[error("this kernel sends at most {0} segments in one GSO call; the ceiling needs {RECORDS_PER_SEND}")]
    NoGso(usize),
    #[error("the CPU time of this process could not be read: {0}")]
    CpuTime(#[from] nix::errno::Errno),
}

fn main() -> ExitCode {
    let result = match Arguments::parse() {
        Arguments::Send { address, seconds, aead } => send(address, seconds, aead),
        Arguments::Recv { address, aead } => receive(address, aead),
        Arguments::Aead { seconds } => compare_aeads(seconds),
    };
    match result {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ceiling: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(address: SocketAddr, seconds: f64, library: Library) -> Result<serde_json::Value, CeilingError> {
    let socket = udp::bind(SocketAddr::new(if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0))?;
    let state = blocking_state(&socket)?;
    if state.max_gso_segments() < RECORDS_PER_SEND {
        return Err(CeilingError::NoGso(state.max_gso_segments()));
    }
    let key = RecordKey::new(library, Cipher::Aes128Gcm)?;
    let mut batch = vec![[0x5a_u8; RECORD_BYTES]; RECORDS_PER_SEND];
    let mut counter = 0;
    let stopwatch = Stopwatch::start();
    while stopwatch.seconds() < seconds {
        for record in &mut batch {
            key.seal(counter, record)?;
            counter += 1;
        }
        transmit(&socket, &state, address, batch.as_flattened(), Some(RECORD_BYTES))?;
    }
    let seconds = stopwatch.seconds();
    for _ in 0..END_COPIES {
        transmit(&socket, &state, address, &counter.to_be_bytes(), None)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(json!({
        "type": "summary", "role": "send", "records": counter, "bytes": counter * PAYLOAD_BYTES as u64,
        "seconds": seconds, "cpu_seconds": own_cpu_seconds()?,
    }))
}

/// A socket state whose socket blocks: quinn-udp makes it non-blocking for a runtime, which there is none of here.
fn blocking_state(socket: &UdpSocket) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    socket.set_nonblocking(false)?;
    Ok(state)
}

fn transmit(
    socket: &UdpSocket,
    state: &UdpSocketState,
    destination: SocketAddr,
    contents: &[u8],
    segment_size: Option<usize>,
) -> io::Result<()> {
    let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
    state.try_send(UdpSockRef::from(socket), &transmit)
}

/// What the receiver has counted.
#[derive(Default)]
struct Received {
    records: u64,
    refused: u64,
    first: Option<Stopwatch>,
    /// From the first record to the last, in seconds.
    seconds: f64,
    /// How many the sender says it sent, once it has said so.
    sent: Option<u64>,
}

fn receive(address: SocketAddr, library: Library) -> Result<serde_json::Value, CeilingError> {
    let socket = udp::bind(address)?;
    let state = blocking_state(&socket)?;
    let key = RecordKey::new(library, Cipher::Aes128Gcm)?;
    println!("{}", json!({"type": "listening", "address": socket.local_addr()?.to_string()}));
    io::stdout().flush()?;
    let mut received = Received::default();
    let mut buffer = vec![0_u8; 65_536];
    while received.sent.is_none() {
        let mut meta = [RecvMeta::default()];
        match state.recv(UdpSockRef::from(&socket), &mut [IoSliceMut::new(&mut buffer)], &mut meta) {
            Ok(_) => {
                let [RecvMeta { len, stride, .. }] = meta;
                let datagrams = buffer.get_mut(..len).unwrap_or_default();
                received.take(datagrams, stride, &key);
                if received.records > 0 {
                    socket.set_read_timeout(Some(SILENCE))?;
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    received.summary(library)
}

impl Received {
    /// Opens the datagrams of one receive call; `stride` is the length of each but the last.
    fn take(&mut self, datagrams: &mut [u8], stride: usize, key: &RecordKey) {
        if datagrams.len() == END_BYTES {
            self.sent = <[u8; END_BYTES]>::try_from(&*datagrams).ok().map(u64::from_be_bytes);
            return;
        }
        let first = *self.first.get_or_insert_with(Stopwatch::start);
        for record in datagrams.chunks_mut(stride.max(1)) {
            match key.open(record) {
                Ok(_) => self.records += 1,
                Err(_) => self.refused += 1,
            }
        }
        self.seconds = first.seconds();
    }

    fn summary(&self, library: Library) -> Result<serde_json::Value, CeilingError> {
        let bytes = self.records * PAYLOAD_BYTES as u64;
        let rate = if self.seconds > 0.0 { bytes as f64 * 8.0 / self.seconds / 1e9 } else { 0.0 };
        Ok(json!({
            "type": "summary", "role": "recv", "aead": format!("{library:?}"), "records": self.records, "bytes": bytes,
            "seconds": self.seconds, "gbit_per_s": rate, "cpu_seconds": own_cpu_seconds()?,
            "lost_records": self.sent.map(|sent| sent.saturating_sub(self.records + self.refused)),
            "refused_records": self.refused,
        }))
    }
}

fn own_cpu_seconds() -> Result<f64, CeilingError> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let times = [usage.user_time(), usage.system_time()];
    Ok(times.iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum())
}

/// Measures every library and cipher in turn, several times round, and gives the median of each.
fn compare_aeads(seconds: f64) -> Result<serde_json::Value, CeilingError> {
    const ROUNDS: usize = 5;
    let mut results = Vec::new();
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::Chacha20Poly1305] {
        let mut seal_ns = [Vec::new(), Vec::new()];
        let mut open_ns = [Vec::new(), Vec::new()];
        let libraries = [Library::AwsLc, Library::Ring];
        for _ in 0..ROUNDS {
            for (index, library) in libraries.into_iter().enumerate() {
                let key = RecordKey::new(library, cipher)?;
                seal_ns[index].push(nanoseconds_per_seal(&key, seconds / ROUNDS as f64)?);
                open_ns[index].push(nanoseconds_per_open(&key, seconds / ROUNDS as f64)?);
            }
        }
        for (index, library) in libraries.into_iter().enumerate() {
            results.push(json!({
                "library": format!("{library:?}"), "cipher": cipher.name(), "record_bytes": RECORD_BYTES,
                "seal_ns": wirehaul_benches::stats::median(&seal_ns[index]),
                "open_ns": wirehaul_benches::stats::median(&open_ns[index]),
            }));
        }
    }
    Ok(json!({"type": "summary", "role": "aead", "results": results}))
}

fn nanoseconds_per_seal(key: &RecordKey, seconds: f64) -> Result<f64, CeilingError> {
    let mut batch = vec![[0x5a_u8; RECORD_BYTES]; RECORDS_PER_SEND];
    let mut counter = 0;
    let stopwatch = Stopwatch::start();
    while stopwatch.seconds() < seconds {
        for record in &mut batch {
            key.seal(counter, black_box(record))?;
            counter += 1;
        }
    }
    Ok(stopwatch.seconds() * 1e9 / counter as f64)
}

/// Opens copies of one sealed record; the cost of the copies is measured apart and taken off.
fn nanoseconds_per_open(key: &RecordKey, seconds: f64) -> Result<f64, CeilingError> {
    let mut sealed = [0x5a_u8; RECORD_BYTES];
    key.seal(1, &mut sealed)?;
    let mut opened = 0_u64;
    let stopwatch = Stopwatch::start();
    while stopwatch.seconds() < seconds {
        for _ in 0..RECORDS_PER_SEND {
            let mut record = *black_box(&sealed);
            key.open(black_box(&mut record))?;
            opened += 1;
        }
    }
    let with_copy_ns = stopwatch.seconds() * 1e9 / opened as f64;
    let stopwatch = Stopwatch::start();
    for _ in 0..opened {
        let mut record = *black_box(&sealed);
        black_box(&mut record);
    }
    Ok(with_copy_ns - stopwatch.seconds() * 1e9 / opened as f64)
}
