//! Two hosts on one machine: homes of their own, a directory to send from and one to receive into.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Finished, Process};
use super::relay::Relay;

/// A user's home: keys and known peers of one end.
pub struct Home(PathBuf);

impl Home {
    fn at(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The program as this user runs it.
    pub fn wirehaul(&self) -> Command {
        self.set_up(Command::new(env!("CARGO_BIN_EXE_wirehaul")))
    }

    /// `command` with this user's environment.
    pub fn set_up(&self, mut command: Command) -> Command {
        command.env("HOME", &self.0).env("XDG_CONFIG_HOME", self.0.join("config")).env_remove("WIREHAUL_NO_GSO");
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        let mut command = self.wirehaul();
        command.args(arguments);
        Process::spawn(command).wait()
    }

    /// The public key, as the user would copy it.
    pub fn key(&self) -> String {
        self.run(["key", "show"]).expect(0).stdout.trim().to_owned()
    }
}

/// What a test needs to move something from one host to another. Everything vanishes with it.
pub struct Scene {
    temp: TempDir,
    pub sender: Home,
    pub receiver: Home,
}

impl Scene {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    pub fn below(dir: &Path) -> Self {
        let temp = tempfile::Builder::new().prefix("wirehaul-test-").tempdir_in(dir).unwrap();
        let (sender, receiver) = (Home::at(temp.path().join("sender")), Home::at(temp.path().join("receiver")));
        for dir in ["from", "to"] {
            std::fs::create_dir(temp.path().join(dir)).unwrap();
        }
        Self { temp, sender, receiver }
    }

    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// A third host, for tests that need one.
    pub fn another(&self, name: &str) -> Home {
        Home::at(self.temp.path().join(name))
    }

    /// A path in the directory to send from.
    pub fn from(&self, name: &str) -> PathBuf {
        self.temp.path().join("from").join(name)
    }

    /// A path in the directory to receive into.
    pub fn to(&self, name: &str) -> PathBuf {
        self.temp.path().join("to").join(name)
    }

    /// Starts a receiver with `--json` on a free port of the loopback device.
    pub fn recv(&self, arguments: &[&str]) -> Receiver {
        self.recv_on("127.0.0.1:0", arguments)
    }

    /// The same on an address of its own.
    pub fn recv_on(&self, listen: &str, arguments: &[&str]) -> Receiver {
        self.start_recv(&[&["--listen", listen], arguments].concat())
    }

    /// Starts a receiver with `--json` whose ticket names `relay`.
    pub fn recv_behind(&self, relay: &Relay, arguments: &[&str]) -> Receiver {
        let (listen, advertise) = (relay.receiver().to_string(), relay.address().to_string());
        self.start_recv(&[&["--listen", &listen, "--advertise", &advertise], arguments].concat())
    }

    fn start_recv(&self, arguments: &[&str]) -> Receiver {
        let mut command = self.receiver.wirehaul();
        command.arg("recv").arg("--json").args(arguments);
        if !arguments.contains(&"--discard") && !arguments.contains(&"--dir") {
            command.arg("--dir").arg(self.to(""));
        }
        Receiver::of(Process::spawn(command))
    }

    /// Starts `wirehaul send` of what is named in the sending directory.
    pub fn start_send(&self, names: &[&str], destination: &str, options: &[&str]) -> Process {
        let mut command = self.sender.wirehaul();
        command.args(["send", "--json"]).args(options).args(names.iter().map(|name| self.from(name))).arg(destination);
        Process::spawn(command)
    }

    /// The same, to its end.
    pub fn send(&self, names: &[&str], destination: &str, options: &[&str]) -> Finished {
        self.start_send(names, destination, options).wait()
    }

    /// Moves `names` in one transfer; both ends must be content.
    #[track_caller]
    pub fn transfer(&self, names: &[&str]) -> (Finished, Finished) {
        let receiver = self.recv(&["--once"]);
        let sent = self.send(names, &receiver.ticket, &[]).expect(0);
        (sent, receiver.process.wait().expect(0))
    }

    /// Whether the receiver has left nothing of its own behind.
    #[track_caller]
    pub fn assert_no_leftovers(&self) {
        let staging = self.to(".wirehaul");
        let left: Vec<_> =
            std::fs::read_dir(&staging).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert!(!staging.exists(), "left behind: {left:?}");
    }
}

/// A receiver that has said its ticket.
pub struct Receiver {
    pub process: Process,
    pub ticket: String,
}

impl Receiver {
    /// Reads the ticket from the first line of stdout.
    pub fn of(process: Process) -> Self {
        let Some(line) = process.first_line() else { panic!("no ticket: {}", process.wait().output()) };
        let ticket = match serde_json::from_str::<Value>(&line) {
            Ok(event) => event["ticket"].as_str().map(str::to_owned),
            Err(_) => Some(line),
        };
        let Some(ticket) = ticket else { panic!("no ticket: {}", process.wait().output()) };
        Self { process, ticket }
    }
}

/// An address of the loopback network that no other test has, in this process or another; port 7420.
pub fn own_loopback_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, high, low, number], 7420))
}
