//! What a server grants to whom: directories, quotas, rates, numbers of transfers, and an end that waits for those under way.

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::common::host::{Home, Scene, own_loopback_address};
use crate::common::process::{Finished, Process, until};
use crate::common::{alone, data, shared, tree};

/// A server with two peers: `first` is the sender of the scene, `second` another host.
struct Service {
    scene: Scene,
    address: String,
    second: Home,
}

impl Service {
    fn new() -> Self {
        let (scene, address) = (Scene::new(), own_loopback_address());
        let second = scene.another("second");
        for host in [&scene.sender, &second] {
            host.run(["key", "trust", &address.ip().to_string(), &scene.receiver.key()]).expect(0);
        }
        for dir in ["one", "two"] {
            std::fs::create_dir(scene.to(dir)).unwrap();
        }
        Self { scene, address: address.to_string(), second }
    }

    /// Starts a server. `FIRST` and `SECOND` are the peers' keys, `ONE` and `TWO` two directories.
    fn start(&self, config: &str) -> Process {
        let path = self.scene.path().join("serve.toml");
        let place = |name: &str| format!("{:?}", self.scene.to(name));
        let text = config
            .replace("FIRST", &format!("{:?}", self.scene.sender.key()))
            .replace("SECOND", &format!("{:?}", self.second.key()))
            .replace("ONE", &place("one"))
            .replace("TWO", &place("two"));
        std::fs::write(&path, format!("listen = {:?}\nmetrics = false\n{text}", self.address)).unwrap();
        let mut command = self.scene.receiver.wirehaul();
        command.arg("serve").arg("--config").arg(&path);
        let process = Process::spawn(command);
        process.stderr_line(|line| line.contains("receiving on"));
        process
    }

    fn start_send(&self, from: &Home, file: &PathBuf, options: &[&str]) -> Process {
        let mut command = from.wirehaul();
        command.args(["send", "--json"]).args(options).arg(file).arg(&self.address);
        Process::spawn(command)
    }

    fn send(&self, from: &Home, file: &PathBuf) -> Finished {
        self.start_send(from, file, &[]).wait()
    }

    /// Writes a file to send, below a directory of its own, so that several may have one name.
    fn file(&self, dir: &str, name: &str, seed: u64, bytes: usize) -> PathBuf {
        let path = self.scene.from(dir).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        data::write_file(&path, seed, bytes as u64);
        path
    }

    /// What has come into a directory so far, in partial files: by what is allocated, since they are as long as the whole.
    fn allocated(&self, dir: &str) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        let shelves = entries(self.scene.to(dir).join(".wirehaul"));
        let parts = shelves.flat_map(|shelf| entries(shelf.path()));
        parts.filter_map(|part| part.metadata().ok()).map(|meta| meta.blocks() * 512).sum()
    }

    fn until_some_came(&self, dir: &str) {
        until("nothing arrives", || self.allocated(dir) > 0);
    }
}

fn stop(server: Process) {
    server.signal(Signal::SIGTERM);
    server.wait().expect(0);
}

const TWO_PEERS: &str =
    "[peers.first]\nkey = FIRST\ndir = ONE\n[peers.second]\nkey = SECOND\ndir = TWO\noverwrite = true\n";

/// Files of one name at the same time do not get into each other's way, and each peer has rules of its own.
#[test]
fn two_peers_write_into_directories_of_their_own() {
    let _guard = shared();
    let service = Service::new();
    let server = service.start(TWO_PEERS);
    let (first, second) = (&service.scene.sender, &service.second);
    let [ours, theirs] = ["a", "b"].map(|dir| service.file(dir, "same", u64::from(dir.as_bytes()[0]), 2 << 20));
    let slow = ["--rate", "40mbit"];
    let sending = [(first, &ours), (second, &theirs)].map(|(from, file)| service.start_send(from, file, &slow));
    for sent in sending {
        sent.wait().expect(0);
    }
    tree::assert_same_file(&ours, &service.scene.to("one/same"));
    tree::assert_same_file(&theirs, &service.scene.to("two/same"));
    // Now each has something else there.
    service.send(first, &theirs).expect(3);
    service.send(second, &ours).expect(0);
    for dir in ["one/same", "two/same"] {
        tree::assert_same_file(&ours, &service.scene.to(dir));
    }
    stop(server);
}

/// A peer that is known and that the configuration has no place for, and one that is not known at all.
#[test]
fn who_is_granted_nothing_is_refused_in_words() {
    let _guard = shared();
    let service = Service::new();
    let server = service.start("[peers.first]\nkey = FIRST\ndir = ONE\n");
    let file = service.file("a", "f", 1, 1000);
    let refused = service.send(&service.second, &file).expect(3);
    assert!(refused.one_line().contains("does not know this host's key"), "{}", refused.output());
    service.send(&service.scene.sender, &file).expect(0);
    stop(server);
}

#[test]
fn a_quota_holds_until_files_are_removed() {
    let _guard = shared();
    let service = Service::new();
    let server = service.start("[peers.first]\nkey = FIRST\ndir = ONE\nquota = \"3mib\"\n");
    let first = &service.scene.sender;
    let files = ["x", "y"].map(|name| service.file("a", name, u64::from(name.as_bytes()[0]), 2 << 20));
    service.send(first, &files[0]).expect(0);
    let refused = service.send(first, &files[1]).expect(3);
    let words = "the receiver refused: quota of 3.00 MiB: 2.00 MiB are used and 2.00 MiB are to come";
    assert_eq!(refused.one_line(), words);
    assert!(!service.scene.to("one/y").exists());
    // What is there already needs no room.
    service.send(first, &files[0]).expect(0);
    std::fs::remove_file(service.scene.to("one/x")).unwrap();
    service.send(first, &files[1]).expect(0);
    tree::assert_same_file(&files[1], &service.scene.to("one/y"));
    stop(server);
}

/// Each alone would fit, and so does what one of them goes on with after it was cut off.
#[test]
fn two_transfers_at_once_do_not_overrun_a_quota() {
    let _guard = shared();
    let service = Service::new();
    let server = service.start("[peers.first]\nkey = FIRST\ndir = ONE\nquota = \"12mib\"\n");
    let first = &service.scene.sender;
    let files = ["x", "y"].map(|name| service.file("a", name, u64::from(name.as_bytes()[0]), 8 << 20));
    let sending = service.start_send(first, &files[0], &["--rate", "8mbit"]);
    service.until_some_came("one");
    let refused = service.send(first, &files[1]).expect(3);
    assert!(refused.one_line().contains("8.00 MiB are used and 8.00 MiB are to come"), "{}", refused.output());
    sending.kill();
    let sent = service.send(first, &files[0]).expect(0);
    tree::assert_same_file(&files[0], &service.scene.to("one/x"));
    assert!(sent.summary()["resumed_bytes"].as_u64() > Some(0), "{}", sent.output());
    let refused = service.send(first, &files[1]).expect(3);
    assert!(refused.one_line().contains("8.00 MiB are used"), "{}", refused.output());
    stop(server);
}

/// The receiver's cap holds a sender that was told nothing of it: over some seconds no more comes than the rate gives, and what
/// is granted ahead: the first window, a quarter of it, and a burst.
#[test]
fn a_rate_cap_holds_whoever_sends() {
    const BYTES_PER_SEC: u64 = 1_000_000;
    const AHEAD: u64 = (2 << 20) + (512 << 10) + (64 << 10);
    const BYTES: usize = 4 << 20;
    let _guard = alone();
    let service = Service::new();
    let server = service.start("[peers.first]\nkey = FIRST\ndir = ONE\nrate = \"8mbit\"\n");
    let file = service.file("a", "f", 1, BYTES);
    // From before the transfer begins until after it has ended: longer than it took.
    let begun = Instant::now();
    let sent = service.send(&service.scene.sender, &file).expect(0);
    let allowed = AHEAD + begun.elapsed().as_millis() as u64 * BYTES_PER_SEC / 1000;
    assert!(BYTES as u64 <= allowed, "{BYTES} bytes, {allowed} allowed: {}", sent.output());
    // The next one pays for what the first was granted ahead.
    let again = service.file("a", "g", 2, BYTES);
    service.send(&service.scene.sender, &again).expect(0);
    let allowed = AHEAD + begun.elapsed().as_millis() as u64 * BYTES_PER_SEC / 1000;
    assert!(2 * BYTES as u64 <= allowed, "{} bytes, {allowed} allowed", 2 * BYTES);
    stop(server);
}

#[test]
fn a_peer_has_no_more_transfers_at_once_than_it_may() {
    let _guard = shared();
    let service = Service::new();
    let one = "[peers.first]\nkey = FIRST\ndir = ONE\nmax_transfers = 1\n[peers.second]\nkey = SECOND\ndir = TWO\n";
    let server = service.start(one);
    let first = &service.scene.sender;
    let files = ["x", "y"].map(|name| service.file("a", name, u64::from(name.as_bytes()[0]), 4 << 20));
    let sending = service.start_send(first, &files[0], &["--rate", "8mbit"]);
    service.until_some_came("one");
    let refused = service.send(first, &files[1]).expect(5);
    let words = "it takes no more than 1 of this host's transfers at once: try again later";
    assert!(refused.one_line().contains(words), "{}", refused.output());
    service.send(&service.second, &files[1]).expect(0);
    sending.wait().expect(0);
    service.send(first, &files[1]).expect(0);
    stop(server);
}

/// SIGTERM: what is under way goes on, who comes meanwhile is told why it cannot, and then it ends.
#[test]
fn a_server_that_is_to_stop_waits_for_what_is_under_way() {
    let _guard = shared();
    let service = Service::new();
    let server = service.start(&format!("drain = \"100s\"\n{TWO_PEERS}"));
    let file = service.file("a", "f", 1, 6 << 20);
    let sending = service.start_send(&service.scene.sender, &file, &["--rate", "8mbit"]);
    service.until_some_came("one");
    server.signal(Signal::SIGTERM);
    // It may take a moment until all workers know.
    until("nobody is refused", || {
        let sent = service.send(&service.second, &file);
        let is_refused = sent.stderr.contains("it is about to stop and takes no new transfers");
        assert_eq!(sent.code, Some(if is_refused { 5 } else { 0 }), "{}", sent.output());
        is_refused
    });
    sending.wait().expect(0);
    tree::assert_same_file(&file, &service.scene.to("one/f"));
    server.wait().expect(0);
}
