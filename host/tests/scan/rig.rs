//! A host that scans, and a link to the world.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::machine::Namespace;
use crate::common::process::{Finished, Process};
use crate::responder::{Responder, World, everybody};
use crate::world::{Asked, Conduct};

/// The interface of the scanning host.
pub const WIRE: &str = "wire";

/// A host that scans, and a folder for what it writes.
pub struct Rig {
    folder: TempDir,
    /// How many surveys wrote their results there.
    scans: AtomicU32,
    pub scanner: Namespace,
    pub responder: Responder,
    // Behind the responder, which lives in it.
    _other: Option<Namespace>,
}

impl Rig {
    /// A veth pair of so many queues. The scanning host is 10.74.0.1/20 and fd74::1/64, with routes to 10.20.0.0/14, fd20::/16 and
    /// 104.16.0.0/13 by way of a gateway at the other end, behind which everybody behaves like that.
    pub fn new(conduct: fn(Asked) -> Conduct, queues: u32) -> Self {
        Self::of_world(World { conduct, neighbours: everybody }, queues, 0)
    }

    /// The same with neighbours of their own, and so many frames kept.
    pub fn of_world(world: World, queues: u32, keep: usize) -> Self {
        let (scanner, other) = (Namespace::new(), Namespace::new());
        scanner.join(WIRE, &other, WIRE, queues);
        // The kernel there says nothing by itself: it has no address.
        other.sh("echo 1 > /proc/sys/net/ipv6/conf/wire/disable_ipv6");
        other.ip(&["link", "set", WIRE, "up"]);
        scanner.set_up(WIRE, &["10.74.0.1/20", "fd74::1/64"], 1500);
        let responder = Responder::behind(&other, WIRE, world, keep);
        for (prefix, way) in [("10.20.0.0/14", "10.74.0.2"), ("104.16.0.0/13", "10.74.0.2"), ("fd20::/16", "fd74::2")] {
            scanner.ip(&["route", "add", prefix, "via", way]);
        }
        Self { folder: folder(), scans: AtomicU32::new(0), scanner, responder, _other: Some(other) }
    }

    /// A point-to-point link without link-layer addresses, `tun0`: the scanning host is 10.74.0.1, and 10.20.0.0/14 is behind it.
    pub fn tunnel(conduct: fn(Asked) -> Conduct) -> Self {
        let scanner = Namespace::new();
        let tunnel = std::thread::scope(|scope| {
            let open = || {
                // The device is made in the namespace in which the file is opened.
                scanner.enter();
                let mut options = OpenOptions::new();
                options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun").unwrap()
            };
            scope.spawn(open).join().unwrap()
        });
        name_tunnel(&tunnel);
        scanner.set_up("tun0", &["10.74.0.1/32"], 1500);
        scanner.ip(&["route", "add", "10.20.0.0/14", "dev", "tun0"]);
        let responder = Responder::of_tunnel(tunnel, World { conduct, neighbours: everybody });
        Self { folder: folder(), scans: AtomicU32::new(0), scanner, responder, _other: None }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file there.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, in the scanning host.
    pub fn wirehaul(&self) -> Command {
        self.at_home(self.scanner.command(env!("CARGO_BIN_EXE_wirehaul")))
    }

    pub fn at_home(&self, mut command: Command) -> Command {
        command.env("HOME", self.folder.path()).env("XDG_CONFIG_HOME", self.path("config"));
        command
    }

    /// Starts `wirehaul scan` with a JSON summary, and without remarks.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Process {
        let mut command = self.wirehaul();
        command.args(["scan", "--json", "--quiet"]).args(arguments);
        Process::spawn(command)
    }

    /// Scans to the end, which has to be a good one, with all results in a file; returns them, and what the program said.
    #[track_caller]
    pub fn scan(&self, arguments: &[&str]) -> (Found, Finished) {
        let number = self.scans.fetch_add(1, Ordering::Relaxed);
        let output = self.path(&format!("found-{number}.jsonl"));
        let output = output.to_str().unwrap();
        let finished = self.start([arguments, &["--output", output]].concat()).wait().expect(0);
        (Found::read(Path::new(output)), finished)
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("wirehaul-scan-").tempdir().unwrap()
}

/// Makes the open file a tunnel by the name of `tun0`, for IP packets without anything in front. The call is TUNSETIFF with
/// IFF_TUN and IFF_NO_PI (linux/if_tun.h), which nobody has a safe wrapper for; perl is a part of every Debian, and what it does to
/// the file stays when it has ended.
fn name_tunnel(tunnel: &File) {
    let script = "my $name = pack('a16 s x22', 'tun0', 0x1001); ioctl(STDIN, 0x400454ca, $name) or die $!";
    let output = Command::new("perl").args(["-e", script]).stdin(tunnel.try_clone().unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Rows of a survey.
#[derive(Debug)]
pub struct Found {
    pub rows: Vec<Value>,
}

impl Found {
    /// Reads JSON lines.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let row = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { rows: text.lines().map(row).collect() }
    }

    /// For each probe that was answered: the classes in the order in which they were reported, and the last responder.
    #[track_caller]
    pub fn by_probe(&self) -> BTreeMap<Asked, (Vec<String>, IpAddr)> {
        let mut found: BTreeMap<Asked, (Vec<String>, IpAddr)> = BTreeMap::new();
        for row in &self.rows {
            let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name}: {row}"));
            let protocol = ["tcp", "udp", "icmp"].into_iter().find(|known| *known == text("proto")).unwrap();
            let port = row["sport"].as_u64().unwrap_or(0) as u16;
            let asked = Asked { target: text("saddr").parse().unwrap(), protocol, port };
            let responder: IpAddr = text("responder").parse().unwrap();
            let entry = found.entry(asked).or_insert_with(|| (Vec::new(), responder));
            entry.0.push(text("class").to_owned());
            entry.1 = responder;
        }
        found
    }

    /// Panics unless these are exactly what the world says of these probes, in number and order.
    #[track_caller]
    pub fn assert_exactly(&self, conduct: fn(Asked) -> Conduct, probes: impl IntoIterator<Item = Asked>) {
        let mut wanted: BTreeMap<Asked, (Vec<String>, IpAddr)> = BTreeMap::new();
        for asked in probes {
            let conduct = conduct(asked);
            let classes = conduct.classes(asked);
            if !classes.is_empty() {
                let classes = classes.iter().map(|class| (*class).to_owned()).collect();
                wanted.insert(asked, (classes, conduct.responder(asked)));
            }
        }
        let found = self.by_probe();
        let differing: Vec<_> = wanted
            .iter()
            .filter(|(asked, wanted)| found.get(asked) != Some(wanted))
            .map(|(asked, wanted)| (asked, conduct(*asked), wanted, found.get(asked)))
            .collect();
        let invented: Vec<_> = found
            .iter()
            .filter(|(asked, _)| !wanted.contains_key(asked))
            .map(|(asked, found)| (asked, conduct(*asked), found))
            .collect();
        assert!(
            differing.is_empty() && invented.is_empty(),
            "of {} answers {} differ, and {} more are reported; the first: {:#?} {:#?}",
            wanted.len(),
            differing.len(),
            invented.len(),
            differing.iter().take(4).collect::<Vec<_>>(),
            invented.iter().take(4).collect::<Vec<_>>()
        );
        assert!(!wanted.is_empty(), "nothing was to be found: the test has lost its way");
    }
}

/// Every address of a range, in order.
pub fn addresses(first: &str, count: u32) -> Vec<IpAddr> {
    let number = |offset: u32| match first.parse().unwrap() {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) + offset).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) + u128::from(offset)).into()),
    };
    (0..count).map(number).collect()
}

/// Every address asked for each of these.
pub fn probes(addresses: &[IpAddr], what: &[(&'static str, u16)]) -> Vec<Asked> {
    let each = |target: &IpAddr| {
        let target = *target;
        what.iter().map(move |(protocol, port)| Asked { target, protocol, port: *port })
    };
    addresses.iter().flat_map(each).collect()
}
