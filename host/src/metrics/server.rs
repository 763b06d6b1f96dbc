//! The page over HTTP: one request a connection, few connections, and none for long.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::select;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::exposition;
use super::process::Process;
use super::sums::Sums;
use crate::events::Listener;

/// Connections at once.
const MAX_CONNECTIONS: usize = 8;
/// How long a connection may last, the request and the answer included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait where the system has no connection for us, such as no descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// A request is a line and a few headers.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// Listens to the bus and answers requests, until told to stop.
pub(super) async fn run(
    socket: TcpListener,
    mut listener: Listener,
    sums: Arc<Mutex<Sums>>,
    process: Process,
    stop: oneshot::Receiver<()>,
) {
    let heard = Arc::clone(&sums);
    let hear = async move {
        while let Some(event) = listener.next().await {
            super::lock(&heard).hear(event);
        }
    };
    tokio::spawn(hear);
    // When this ends, so does the runtime, and with it whatever is under way.
    let _ = select(pin!(accept(socket, sums, process)), stop).await;
}

async fn accept(socket: TcpListener, sums: Arc<Mutex<Sums>>, process: Process) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Closed never: it lives as long as this loop.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let (sums, process) = (Arc::clone(&sums), process.clone());
                tokio::spawn(async move {
                    // Whoever is too slow is left, and whoever hung up has done so.
                    let _ = timeout(PATIENCE, serve(stream, &sums, &process)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, sums: &Arc<Mutex<Sums>>, process: &Process) -> hyper::Result<()> {
    let answer = |request: Request<Incoming>| async move { Ok::<_, Infallible>(answer(&request, sums, process)) };
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_REQUEST_BYTES);
    http.serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

fn answer(request: &Request<Incoming>, sums: &Arc<Mutex<Sums>>, process: &Process) -> Response<Full<Bytes>> {
    const WORDS: &str = "text/plain; charset=utf-8";
    let path = request.uri().path();
    if !matches!(path, "/" | "/metrics") {
        return respond(StatusCode::NOT_FOUND, WORDS, "There is nothing here but /metrics.\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = respond(StatusCode::METHOD_NOT_ALLOWED, WORDS, "Only GET is answered.\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if path == "/" {
        return respond(StatusCode::OK, WORDS, "wirehaul serve: metrics for Prometheus are at /metrics.\n".to_owned());
    }
    match exposition::write(sums, process) {
        Ok(page) => respond(StatusCode::OK, exposition::CONTENT_TYPE, page),
        Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, WORDS, "The page cannot be written.\n".to_owned()),
    }
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
