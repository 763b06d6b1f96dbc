//! Metrics of a daemon for Prometheus, made of what is heard on the bus and nothing else: those who move packets do nothing for them.

mod exposition;
mod process;
mod server;
mod sums;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::events::Bus;
use process::Process;
use sums::Sums;

/// The port that metrics are served on, before anything is.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Port {
    /// Takes the port.
    ///
    /// # Errors
    /// What the system says, such as that somebody else has it.
    pub fn take(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Where it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Metrics that are kept and served, on a thread of their own, until this is dropped.
#[derive(Debug)]
pub struct Metrics {
    sums: Arc<Mutex<Sums>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Listens to `bus` from now on and serves at `port`. Peers with other names than these go together as `other`.
    ///
    /// # Errors
    /// The system has no thread or no poller for it.
    pub fn start(port: Port, bus: &Bus, peers: impl IntoIterator<Item = Arc<str>>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let socket = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(port.0)?
        };
        let sums = Arc::new(Mutex::new(Sums::new(peers)));
        let (stop, stopped) = oneshot::channel();
        let serving = server::run(socket, bus.listen(), Arc::clone(&sums), Process::begin(), stopped);
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(move || runtime.block_on(serving))?;
        Ok(Self { sums, stop: Some(stop), thread: Some(thread) })
    }

    /// From now on the peers of these names are told apart.
    pub fn name(&self, peers: impl IntoIterator<Item = Arc<str>>) {
        lock(&self.sums).name(peers);
    }

    /// The configuration was read again.
    pub fn reloaded(&self, is_good: bool) {
        let mut sums = lock(&self.sums);
        sums.reloads[usize::from(!is_good)] += 1;
        sums.is_config_good = is_good;
    }

    /// Nobody new is let in from now on.
    pub fn draining(&self) {
        lock(&self.sums).is_draining = true;
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(sums: &Mutex<Sums>) -> MutexGuard<'_, Sums> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}
