//! `wirehaul serve` as a service: its configuration, signals, the service manager, log and metrics.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::host::{Scene, own_loopback_address};
use crate::common::machine::is_privileged;
use crate::common::process::{Finished, PATIENCE, Process, until};
use crate::common::{data, shared, tree};

/// A scene with a server that has an address, metrics and a configuration of its own.
struct Service {
    scene: Scene,
    address: String,
    metrics: String,
}

impl Service {
    /// The sender is called `workstation` here, and is trusted where `trusted` says so.
    fn new(trusted: bool) -> Self {
        let scene = Scene::new();
        let address = own_loopback_address();
        let metrics = format!("{}:7421", address.ip());
        let host = address.ip().to_string();
        scene.sender.run(["key", "trust", &host, &scene.receiver.key()]).expect(0);
        if trusted {
            scene.receiver.run(["key", "trust", "workstation", &scene.sender.key()]).expect(0);
        }
        Self { scene, address: address.to_string(), metrics }
    }

    fn config(&self) -> PathBuf {
        self.scene.path().join("serve.toml")
    }

    /// Writes a configuration: what every one of these tests needs, and `more`.
    fn write(&self, more: &str) {
        let base = format!("listen = {:?}\nmetrics = {:?}\n", self.address, self.metrics);
        let more = more.replace("DIR", self.scene.to("").to_str().unwrap());
        std::fs::write(self.config(), base + &more.replace("KEY", &self.scene.sender.key())).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Process {
        let mut command = self.scene.receiver.wirehaul();
        command.arg("serve").arg("--config").arg(self.config()).args(arguments);
        Process::spawn(command)
    }

    fn start(&self, more: &str) -> Process {
        self.write(more);
        let process = self.run(&[]);
        process.stderr_line(|line| line.contains("receiving on"));
        process
    }

    fn send(&self, name: &str) -> Finished {
        self.scene.send(&[name], &self.address, &[])
    }

    /// Starts to send a file slowly, and waits until some of it is at the receiver.
    fn send_slowly(&self, name: &str, len: u64) -> Process {
        data::write_file(&self.scene.from(name), 1, len);
        let sending = self.scene.start_send(&[name], &self.address, &["--rate", "16mbit"]);
        until("nothing arrives", || self.scrape().get("wirehaul_network_bytes_total").is_some_and(|sum| *sum > 3e5));
        sending
    }

    /// A page of the metrics' server.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sums of the metrics over all their labels.
    fn scrape(&self) -> BTreeMap<String, f64> {
        let page = self.get("/metrics");
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut sums = BTreeMap::new();
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap().to_owned();
            *sums.entry(name).or_insert(0.0) += value.parse::<f64>().unwrap();
        }
        sums
    }
}

fn stop(server: Process) -> Finished {
    server.signal(Signal::SIGTERM);
    server.wait().expect(0)
}

#[test]
fn a_configuration_is_checked_without_serving() {
    let _guard = shared();
    let service = Service::new(true);
    service.write(
        "dir = \"DIR\"\nquota = \"1tib\"\n[peers.backup]\nkey = \"KEY\"\nquota = \"100gib\"\nrate = \"500mbit\"\n",
    );
    let checked = service.run(&["--check-config"]).wait().expect(0);
    let lines: Vec<_> = checked.stdout.lines().collect();
    assert_eq!(lines[0], format!("{}: ok", service.config().display()));
    let dir = service.scene.to("");
    // The sender's key is also known as `workstation`: whoever has a section goes by that name.
    assert_eq!(lines[1..], [format!("backup: {}, quota 100 GiB, rate 500 Mbit/s", dir.display())]);
    assert_eq!(checked.stderr, "");

    service.write("dir = \"/nowhere/at/all\"\noverwite = true\n[peers.stranger]\n");
    for arguments in [&["--check-config"][..], &[]] {
        let refused = service.run(arguments).wait().expect(2);
        let place = service.config().display().to_string();
        for said in [
            format!("{place}:3: dir: there is no directory /nowhere/at/all"),
            format!("{place}:4: unknown key `overwite`; is `overwrite` meant?"),
        ] {
            assert!(refused.stderr.contains(&said), "{said}\n{}", refused.output());
        }
    }
    service.write("dir = \"DIR\"\n[peers.stranger]\n");
    let refused = service.run(&["--check-config"]).wait().expect(2);
    let said = format!("{}:4: no key is known for stranger", service.config().display());
    assert!(refused.stderr.contains(&said), "{}", refused.output());
}

/// A reload lets in whom it names and changes nothing for those under way; a bad one changes nothing at all.
#[test]
fn a_reload_is_for_transfers_that_begin_then_and_a_bad_one_for_none() {
    let _guard = shared();
    let service = Service::new(true);
    let server = service.start("dir = \"DIR\"\n");
    let sending = service.send_slowly("slow", 6 << 20);

    service.write("dir = \"DIR\"\noverwrite = \"perhaps\"\n");
    server.signal(Signal::SIGHUP);
    server.stderr_line(|line| line.contains("serve.toml:4: overwrite: expected true or false"));
    server.stderr_line(|line| line.contains("the configuration in force stays"));

    service.write("dir = \"DIR\"\noverwrite = true\nmax_transfers = 9\n");
    server.signal(Signal::SIGHUP);
    server.stderr_line(|line| line.contains("these need a restart") && line.contains("max_transfers"));
    server.stderr_line(|line| line.contains("the new configuration is in force, for 1 peer"));
    sending.wait().expect(0);
    tree::assert_same_file(&service.scene.from("slow"), &service.scene.to("slow"));

    // The new configuration overwrites.
    std::fs::write(service.scene.from("slow"), b"new").unwrap();
    service.send("slow").expect(0);
    assert_eq!(std::fs::read(service.scene.to("slow")).unwrap(), b"new");
    assert_eq!(service.scrape()["wirehaul_config_reloads_total"], 2.0);
    stop(server);
}

#[test]
fn a_reload_lets_peers_in_and_locks_them_out() {
    let _guard = shared();
    let service = Service::new(false);
    std::fs::write(service.scene.from("f"), b"x").unwrap();
    let server = service.start("dir = \"DIR\"\n");
    service.send("f").expect(3);
    for (more, code) in [("[peers.workstation]\nkey = \"KEY\"\n", 0), ("", 3)] {
        service.write(&format!("dir = \"DIR\"\n{more}"));
        server.signal(Signal::SIGHUP);
        let peers = if more.is_empty() { "0 peers" } else { "1 peer" };
        server.stderr_line(|line| line.contains(&format!("in force, for {peers} and")));
        service.send("f").expect(code);
    }
    stop(server);
}

#[test]
fn sigterm_lets_transfers_under_way_finish() {
    let _guard = shared();
    let service = Service::new(true);
    std::fs::write(service.scene.from("late"), b"x").unwrap();
    let server = service.start("dir = \"DIR\"\ndrain = \"5m\"\n");
    let sending = service.send_slowly("slow", 6 << 20);
    server.signal(Signal::SIGTERM);
    server.stderr_line(|line| line.contains("SIGTERM: nobody new is let in"));
    assert_eq!(service.scrape()["wirehaul_draining"], 1.0);
    let late = service.send("late");
    assert_ne!(late.code, Some(0), "{}", late.output());
    sending.wait().expect(0);
    server.wait().expect(0);
    tree::assert_same_file(&service.scene.from("slow"), &service.scene.to("slow"));
    assert!(!service.scene.to("late").exists());
}

/// What is interrupted then can be resumed.
#[test]
fn a_second_sigterm_and_the_end_of_the_drain_interrupt() {
    let _guard = shared();
    for drain in ["5m", "100ms"] {
        let service = Service::new(true);
        let server = service.start(&format!("dir = \"DIR\"\ndrain = \"{drain}\"\n"));
        let sending = service.send_slowly("slow", 24 << 20);
        server.signal(Signal::SIGTERM);
        server.stderr_line(|line| line.contains("SIGTERM: nobody new is let in"));
        if drain == "5m" {
            server.signal(Signal::SIGTERM);
            server.stderr_line(|line| line.contains("SIGTERM again: stopping"));
        } else {
            server.stderr_line(|line| line.contains("the time to drain is over: stopping"));
        }
        sending.wait().expect(5);
        server.wait().expect(0);
        assert!(!service.scene.to("slow").exists());
        let server = service.start("dir = \"DIR\"\n");
        service.send("slow").expect(0);
        stop(server);
        tree::assert_same_file(&service.scene.from("slow"), &service.scene.to("slow"));
    }
}

/// Metrics are there during a transfer, and their sums are right at its end.
#[test]
fn metrics_tell_of_a_transfer_while_it_lasts_and_afterwards() {
    let _guard = shared();
    let service = Service::new(true);
    let server = service.start("dir = \"DIR\"\n[peers.workstation]\n");
    assert!(service.get("/").starts_with("HTTP/1.1 200") && service.get("/else").starts_with("HTTP/1.1 404"));
    let sending = service.send_slowly("slow", 6 << 20);
    until("no transfer is under way", || service.scrape().get("wirehaul_transfers_active") == Some(&1.0));
    sending.wait().expect(0);
    until("the transfer is not over", || service.scrape().get("wirehaul_transfers_done_total") == Some(&1.0));
    let sums = service.scrape();
    for (name, value) in [
        ("wirehaul_transfers_begun_total", 1.0),
        ("wirehaul_transfers_failed_total", 0.0),
        ("wirehaul_transfers_active", 0.0),
        ("wirehaul_files_total", 1.0),
        ("wirehaul_file_bytes_total", f64::from(6 << 20)),
        ("wirehaul_peer_transfers_total", 1.0),
        ("wirehaul_peer_bytes_total", f64::from(6 << 20)),
        ("wirehaul_peer_files_total", 1.0),
        ("wirehaul_transfer_duration_seconds_count", 1.0),
    ] {
        assert_eq!(sums.get(name), Some(&value), "{name}");
    }
    assert!(sums["wirehaul_network_bytes_total"] > f64::from(6 << 20));
    assert!(sums["process_resident_memory_bytes"] > 1e6 && sums["process_open_fds"] > 3.0);
    let page = service.get("/metrics");
    let line = "wirehaul_peer_transfers_total{direction=\"recv\",peer=\"workstation\",result=\"done\"} 1";
    assert!(page.contains(line), "{page}");
    stop(server);
}

#[test]
fn a_port_for_metrics_that_is_taken_keeps_nobody_from_sending() {
    let _guard = shared();
    let service = Service::new(true);
    let _taken = std::net::TcpListener::bind(&service.metrics).unwrap();
    std::fs::write(service.scene.from("f"), b"x").unwrap();
    let server = service.start("dir = \"DIR\"\n");
    server.stderr_line(|line| line.contains("there are no metrics") && line.contains(&service.metrics));
    service.send("f").expect(0);
    stop(server);
}

/// A log for programs: each line is an object, and tells who sent what.
#[test]
fn a_log_in_json_says_who_sent_what() {
    let _guard = shared();
    let service = Service::new(true);
    data::write_file(&service.scene.from("f"), 1, 300_000);
    service.write("dir = \"DIR\"\nlog = \"json\"\n");
    let server = service.run(&[]);
    server.stderr_line(|line| line.contains("receiving on"));
    service.send("f").expect(0);
    server.stderr_line(|line| line.contains("transfer_done"));
    let served = stop(server);
    let parse =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}\n{}", served.output()));
    let lines: Vec<_> = served.stderr.lines().map(parse).collect();
    assert!(lines.iter().all(|line| line["time"].is_f64() && line["level"].is_string()), "{}", served.output());
    let of =
        |event: &str| lines.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("{}", served.output()));
    let (begun, done) = (of("transfer_begun"), of("transfer_done"));
    assert_eq!((&begun["peer"], &begun["transfer"]), (&done["peer"], &done["transfer"]));
    assert_eq!((&done["peer"], &done["bytes"], &done["files"]), (&"workstation".into(), &300_000.into(), &1.into()));
    assert!(done["remote"].as_str().unwrap().starts_with("127.") && done["seconds"].as_f64().unwrap() > 0.0, "{done}");
    assert!(!served.stderr.contains("whs1"), "a secret is in the log");
}

/// Whoever reads the log for errors finds out why a server did not start.
#[test]
fn a_server_that_does_not_start_logs_an_error() {
    let _guard = shared();
    let service = Service::new(true);
    let first = service.start("dir = \"DIR\"\n");
    service.write("dir = \"DIR\"\nlog = \"json\"\n");
    let second = service.run(&[]).wait().expect(4);
    let last: Value = serde_json::from_str(second.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error", "{}", second.output());
    assert!(last["message"].as_str().unwrap().contains("cannot listen"), "{}", second.output());
    stop(first);
}

#[test]
fn the_service_manager_hears_of_readiness_reloads_and_the_end() {
    let _guard = shared();
    let service = Service::new(true);
    let path = service.scene.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let count = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if said.contains(wanted) {
                return said;
            }
        }
    };
    service.write("dir = \"DIR\"\n");
    let mut command = service.scene.receiver.wirehaul();
    command.arg("serve").arg("--config").arg(service.config());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "4000000");
    let server = Process::spawn(command);
    assert!(hear("READY=1").contains(&format!("STATUS=listening on {}", service.address)));
    hear("WATCHDOG=1");
    for more in ["dir = \"DIR\"\n", "nonsense"] {
        service.write(more);
        server.signal(Signal::SIGHUP);
        assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
        hear("READY=1");
    }
    // For as long as workers turn, it lives.
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let sending = service.send_slowly("slow", 6 << 20);
    server.signal(Signal::SIGTERM);
    hear("STOPPING=1");
    hear("EXTEND_TIMEOUT_USEC=");
    sending.wait().expect(0);
    server.wait().expect(0);
}

/// SEC-7: with `user` it is that user, in every thread, with that user's groups and no capability at all.
#[test]
fn a_server_becomes_the_user_that_it_is_told_to_be() {
    const NOBODY: u32 = 65_534;
    if !is_privileged("a_server_becomes_the_user_that_it_is_told_to_be") {
        return;
    }
    let _guard = shared();
    let service = Service::new(true);
    std::fs::write(service.scene.from("f"), b"x").unwrap();
    std::os::unix::fs::chown(service.scene.to(""), Some(NOBODY), Some(NOBODY)).unwrap();
    let server = service.start("dir = \"DIR\"\nuser = \"nobody\"\n");
    service.send("f").expect(0);
    let of = |status: &str, name: &str| -> Vec<String> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    let statuses = server.thread_statuses();
    assert!(statuses.len() > 2, "file threads, metrics and the log came after it");
    for status in &statuses {
        for ids in ["Uid:", "Gid:"] {
            assert_eq!(of(status, ids), vec![NOBODY.to_string(); 4], "{status}");
        }
        assert_eq!(of(status, "Groups:"), [NOBODY.to_string()], "{status}");
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:", "CapBnd:"] {
            assert_eq!(of(status, set), ["0000000000000000"], "{set}\n{status}");
        }
        assert_eq!(of(status, "NoNewPrivs:"), ["1"]);
    }
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(service.scene.to("f")).unwrap());
    assert_eq!(owner, NOBODY);
    stop(server);
}
