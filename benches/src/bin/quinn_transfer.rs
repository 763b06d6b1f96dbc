//! The quinn contestant: memory to memory over QUIC, with every setting open that makes quinn faster.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, ValueEnum};
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use wirehaul_benches::clock::Stopwatch;
use wirehaul_benches::pacing::quinn_fixed::FixedRate;
use wirehaul_benches::udp;

/// What a UDP datagram carries at an MTU of 1500 on IPv4.
const DATAGRAM_BYTES: u16 = 1472;
/// Flow-control and send windows: many times the path's bandwidth-delay product.
const WINDOW_BYTES: u32 = 64 << 20;
/// The buffer that is sent over and over: reference-counted, so that quinn copies it only into packets.
const CHUNK_BYTES: usize = 1 << 20;
/// With `--sparse-acks`, one ACK per so many ack-eliciting packets.
const PACKETS_PER_ACK: u32 = 64;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Memory-to-memory transfer over quinn, for comparison")]
enum Arguments {
    /// Sends a number of bytes
    Send {
        /// The receiver's address
        address: SocketAddr,
        /// How many bytes, over all streams
        #[arg(long)]
        bytes: u64,
        #[command(flatten)]
        tuning: Tuning,
    },
    /// Receives one connection and prints the result as JSON
    Recv {
        /// The address to listen on
        address: SocketAddr,
        #[command(flatten)]
        tuning: Tuning,
    },
}

/// What can be tried.
#[derive(Args, Clone)]
struct Tuning {
    /// The congestion controller
    #[arg(long, value_enum, default_value = "cubic")]
    cc: Controller,
    /// Unidirectional streams that share the bytes
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// The tokio runtime
    #[arg(long, value_enum, default_value = "multi")]
    runtime: Runtime,
    /// Ask for fewer ACKs (the ACK frequency extension)
    #[arg(long)]
    sparse_acks: bool,
    /// Instead of a congestion controller: a window of so many bits per second times the round-trip time
    #[arg(long)]
    fixed_rate: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Controller {
    Cubic,
    Newreno,
    Bbr,
}

#[derive(Clone, Copy, ValueEnum)]
enum Runtime {
    Current,
    Multi,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (Arguments::Send { tuning, .. } | Arguments::Recv { tuning, .. }) = &arguments;
    let runtime = match tuning.runtime {
        Runtime::Current => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        Runtime::Multi => tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    };
    let result = runtime.map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            match arguments {
                Arguments::Send { address, bytes, tuning } => send(address, bytes, &tuning).await,
                Arguments::Recv { address, tuning } => receive(address, &tuning).await,
            }
        })
    });
    match result {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("quinn_transfer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn send(address: SocketAddr, bytes: u64, tuning: &Tuning) -> Result<Value, Failure> {
    let any = SocketAddr::new(if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
    let endpoint = Endpoint::new(EndpointConfig::default(), None, udp::bind(any)?, Arc::new(TokioRuntime))?;
    let connection = endpoint.connect_with(client_config(tuning)?, address, "localhost")?.await?;
    let stopwatch = Stopwatch::start();
    let chunk = Bytes::from(vec![0x5a; CHUNK_BYTES]);
    let mut senders = Vec::new();
    for index in 0..u64::from(tuning.streams) {
        let streams = u64::from(tuning.streams);
        let share = bytes / streams + u64::from(index < bytes % streams);
        senders.push(tokio::spawn(send_stream(connection.clone(), share, chunk.clone())));
    }
    for sender in senders {
        sender.await??;
    }
    // The receiver closes once it has everything.
    connection.closed().await;
    let statistics = connection.stats();
    Ok(json!({
        "type": "summary", "role": "send", "bytes": bytes, "seconds": stopwatch.seconds(),
        "lost_packets": statistics.path.lost_packets, "mtu_bytes": statistics.path.current_mtu,
    }))
}

async fn send_stream(connection: Connection, bytes: u64, chunk: Bytes) -> Result<(), Failure> {
    let mut stream = connection.open_uni().await?;
    let mut left = bytes;
    while left > 0 {
        let length = left.min(CHUNK_BYTES as u64) as usize;
        stream.write_chunk(chunk.slice(..length)).await?;
        left -= length as u64;
    }
    stream.finish()?;
    Ok(())
}

async fn receive(address: SocketAddr, tuning: &Tuning) -> Result<Value, Failure> {
    let server = server_config(tuning)?;
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), udp::bind(address)?, Arc::new(TokioRuntime))?;
    println!("{}", json!({"type": "listening", "address": endpoint.local_addr()?.to_string()}));
    io::stdout().flush()?;
    let connection = endpoint.accept().await.ok_or("the endpoint was closed")?.await?;
    let stopwatch = Stopwatch::start();
    let mut receivers = Vec::new();
    for _ in 0..tuning.streams {
        receivers.push(tokio::spawn(receive_stream(connection.accept_uni().await?)));
    }
    let mut bytes = 0;
    for receiver in receivers {
        bytes += receiver.await??;
    }
    let seconds = stopwatch.seconds();
    connection.close(VarInt::from_u32(0), b"received");
    endpoint.wait_idle().await;
    Ok(json!({
        "type": "summary", "role": "recv", "bytes": bytes, "seconds": seconds,
        "gbit_per_s": bytes as f64 * 8.0 / seconds / 1e9,
    }))
}

/// Reads a stream to its end, in whatever order its parts arrive: the cheapest way quinn has.
async fn receive_stream(mut stream: RecvStream) -> Result<u64, Failure> {
    let mut bytes = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, false).await? {
        bytes += chunk.bytes.len() as u64;
    }
    Ok(bytes)
}

fn transport(tuning: &Tuning) -> Arc<TransportConfig> {
    let controller: Arc<dyn ControllerFactory + Send + Sync> = match (tuning.fixed_rate, tuning.cc) {
        (Some(bits_per_s), _) => Arc::new(FixedRate { bits_per_s }),
        (None, Controller::Cubic) => Arc::new(CubicConfig::default()),
        (None, Controller::Newreno) => Arc::new(NewRenoConfig::default()),
        (None, Controller::Bbr) => Arc::new(BbrConfig::default()),
    };
    let mut transport = TransportConfig::default();
    transport
        .congestion_controller_factory(controller)
        .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(u64::from(WINDOW_BYTES))
        .max_concurrent_uni_streams(VarInt::from_u32(1024))
        // The path is known to carry full datagrams: no time is lost finding it out, and nothing larger is tried.
        .initial_mtu(DATAGRAM_BYTES)
        .mtu_discovery_config(None)
        .enable_segmentation_offload(true)
        .max_idle_timeout(Some(VarInt::from_u32(10_000).into()));
    if tuning.sparse_acks {
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK));
        acks.max_ack_delay(Some(Duration::from_millis(5)));
        transport.ack_frequency_config(Some(acks));
    }
    Arc::new(transport)
}

/// aws-lc-rs with AES-128-GCM alone, as every other contestant.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

fn server_config(tuning: &Tuning) -> Result<ServerConfig, Failure> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server.transport_config(transport(tuning));
    Ok(server)
}

fn client_config(tuning: &Tuning) -> Result<ClientConfig, Failure> {
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        .with_no_client_auth();
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    client.transport_config(transport(tuning));
    Ok(client)
}

/// Takes any certificate: both ends belong to the same benchmark, which measures speed and not identity.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
