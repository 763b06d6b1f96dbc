use std::os::unix::fs::PermissionsExt;

use super::*;

/// A directory that files can be written to, and a file that names it where it says `DIR`.
struct Scene {
    temp: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().to_path_buf()
    }

    fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        let text = text.replace("DIR", &self.dir().display().to_string());
        Config::parse(&text, Path::new("serve.toml"))
    }

    /// The lines of what is wrong.
    #[track_caller]
    fn mistakes(&self, text: &str) -> Vec<String> {
        let error = self.parse(text).expect_err(text);
        error.to_string().lines().map(str::to_owned).collect()
    }
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

#[test]
fn a_directory_is_enough() {
    let scene = Scene::new();
    let config = scene.parse("dir = \"DIR\"").unwrap();
    let expected = Config {
        path: "serve.toml".into(),
        listen: "[::]:7420".parse().unwrap(),
        dir: Some(scene.dir()),
        overwrite: false,
        transport: transport::Choice::Auto,
        iface: None,
        io: file_io::Choice::Auto,
        numa: numa::Choice::Auto,
        rate: None,
        quota_bytes: None,
        max_transfers: 1024,
        drain: Duration::from_secs(30),
        metrics: Some("127.0.0.1:7421".parse().unwrap()),
        log: LogFormat::Text,
        user: None,
        peers: Vec::new(),
    };
    assert_eq!(config, expected);
}

#[test]
fn every_key_is_read() {
    let scene = Scene::new();
    let text = format!(
        "listen = \"127.0.0.1:9000\"\ndir = \"DIR\"\noverwrite = true\ntransport = \"xdp-copy\"\niface = \"eth0\"\nio = \"sync\"\n\
         numa = true\nnuma_node = 1\nrate = \"2gbit\"\nquota = \"1tib\"\nmax_transfers = 9\ndrain = \"1m\"\n\
         metrics = \"[::1]:9100\"\nlog = \"json\"\nuser = \"root\"\n\n\
         [peers.backup]\nkey = \"{}\"\ndir = \"DIR\"\noverwrite = false\nquota = \"100gib\"\nrate = \"500mbit\"\nmax_transfers = 4\n\n\
         [peers.\"host.example\"]\nquota = \"unlimited\"\n",
        key(1)
    );
    let config = scene.parse(&text).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
    assert_eq!((config.transport, config.io), (transport::Choice::XdpCopy, file_io::Choice::Sync));
    assert_eq!((config.iface.as_deref(), config.numa), (Some("eth0"), numa::Choice::Node(1)));
    assert_eq!((config.rate, config.quota_bytes), (Some(Rate::from_bits_per_sec(2_000_000_000)), Some(1 << 40)));
    assert_eq!((config.max_transfers, config.drain), (9, Duration::from_secs(60)));
    assert_eq!((config.metrics, config.log), (Some("[::1]:9100".parse().unwrap()), LogFormat::Json));
    assert_eq!(config.user.as_deref(), Some("root"));
    let [backup, host] = &config.peers[..] else { panic!("{:?}", config.peers) };
    assert_eq!((backup.name.as_str(), backup.key, backup.overwrite), ("backup", Some(key(1)), false));
    assert_eq!((backup.quota_bytes, backup.max_transfers), (Some(100 << 30), Some(4)));
    assert_eq!(backup.rate, Some(Rate::from_bits_per_sec(500_000_000)));
    // What a section leaves out is that of all, but for what counts over all peers.
    assert_eq!((host.name.as_str(), host.key, host.overwrite), ("host.example", None, true));
    assert_eq!(
        (host.dir.clone(), host.quota_bytes, host.rate, host.max_transfers),
        (Some(scene.dir()), None, None, None)
    );
}

#[test]
fn metrics_can_be_turned_off_and_left_where_they_are() {
    let scene = Scene::new();
    let of = |value: &str| scene.parse(&format!("dir = \"DIR\"\nmetrics = {value}")).unwrap().metrics;
    assert_eq!(of("false"), None);
    assert_eq!(of("true"), Some("127.0.0.1:7421".parse().unwrap()));
    assert_eq!(of("\"192.0.2.1\""), Some("192.0.2.1:7421".parse().unwrap()));
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let scene = Scene::new();
    for (text, said) in [
        ("", "serve.toml:1: dir is missing: name the directory that files go to"),
        ("dir = 5", "serve.toml:1: dir: expected text in quotes, like \"/srv/inbox\", and this is a whole number"),
        ("dir = \"DIR\"\nlisten = \"nowhere\"", "serve.toml:2: listen: expected an address"),
        ("dir = \"DIR\"\n\noverwite = true", "serve.toml:3: unknown key `overwite`; is `overwrite` meant?"),
        ("dir = \"DIR\"\ncolour = \"red\"", "serve.toml:2: unknown key `colour`"),
        ("dir = \"DIR\"\noverwrite = \"yes\"", "serve.toml:2: overwrite: expected true or false, and this is text"),
        ("dir = \"DIR\"\ntransport = \"ftp\"", "serve.toml:2: transport: expected auto, xdp"),
        ("dir = \"DIR\"\nio = \"tape\"", "serve.toml:2: io: expected auto, uring or sync"),
        ("dir = \"DIR\"\niface = \"a b\"", "serve.toml:2: iface: expected the name"),
        ("dir = \"DIR\"\nnuma_node = -1", "serve.toml:2: numa_node: -1 is not from 0"),
        ("dir = \"DIR\"\nnuma = false\nnuma_node = 1", "serve.toml:3: numa_node: nodes are not looked at"),
        ("dir = \"DIR\"\nrate = \"fast\"", "serve.toml:2: rate: expected a number"),
        ("dir = \"DIR\"\nrate = 800", "serve.toml:2: rate: expected text in quotes, like \"2gbit\""),
        ("dir = \"DIR\"\nquota = \"1 barrel\"", "serve.toml:2: quota: unknown unit `barrel`"),
        ("dir = \"DIR\"\nquota = \"0\"", "serve.toml:2: quota: zero is not possible here"),
        ("dir = \"DIR\"\nmax_transfers = 0", "serve.toml:2: max_transfers: 0 is not from 1"),
        ("dir = \"DIR\"\nmax_transfers = 1.5", "serve.toml:2: max_transfers: expected a whole number"),
        ("dir = \"DIR\"\ndrain = \"30\"", "serve.toml:2: drain: the unit is missing"),
        ("dir = \"DIR\"\nmetrics = 7421", "serve.toml:2: metrics: expected text in quotes"),
        ("dir = \"DIR\"\nmetrics = \"7421\"", "serve.toml:2: metrics: expected an address and a port"),
        ("dir = \"DIR\"\nlog = \"xml\"", "serve.toml:2: log: expected text or json"),
        ("dir = \"DIR\"\nuser = \"no such user\"", "serve.toml:2: user: there is no user no such user"),
        ("dir = \"/nowhere/at/all\"", "serve.toml:1: dir: there is no directory /nowhere/at/all; make it first"),
        ("dir = \"/dev/null\"", "serve.toml:1: dir: /dev/null is no directory"),
        ("peers = 7", "serve.toml:1: peers: expected sections, like [peers.backup]"),
        ("[peers]", "serve.toml:1: dir is missing, and no peer has one"),
        ("[peers.a]\nquota = \"1k\"", "serve.toml:1: dir is missing: give this peer one"),
        ("dir = \"DIR\"\n[peers]\na = 1", "serve.toml:3: peers.a: expected a section, [peers.a]"),
        ("dir = \"DIR\"\n[peers.\"a b\"]", "serve.toml:2: a peer's name has no spaces"),
        ("dir = \"DIR\"\n[peers.a]\nkey = \"whs1abc\"", "serve.toml:3: key: this is not a key"),
        ("dir = \"DIR\"\n[peers.a]\nlog = \"json\"", "serve.toml:3: unknown key `log`"),
    ] {
        let mistakes = scene.mistakes(text);
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(said), "{text}\n{mistakes:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "overwrite = 1\nlisten = \"x\"\ndir = \"/nowhere\"\n[peers.b]\nrate = \"0bit\"\n[peers.a]\nkind = 1";
    let lines: Vec<_> = Scene::new().mistakes(text).iter().map(|line| line[..13].to_owned()).collect();
    assert_eq!(lines, ["serve.toml:1:", "serve.toml:2:", "serve.toml:3:", "serve.toml:5:", "serve.toml:7:"]);
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    for (text, line) in [("dir = \"x\"\nlisten = ", 2), ("dir = \"", 1), ("a = 1\na = 2", 2), ("dir\n", 1)] {
        let mistakes = Scene::new().mistakes(text);
        assert!(mistakes[0].starts_with(&format!("serve.toml:{line}: ")), "{text}: {mistakes:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_no_text_is_refused() {
    let scene = Scene::new();
    let file = scene.dir().join("serve.toml");
    assert!(matches!(Config::read(&file), Err(ConfigError::Read { .. })));
    std::fs::write(&file, b"dir = \".\"\nlog = \"\xff\"\n").unwrap();
    let said = Config::read(&file).unwrap_err().to_string();
    assert_eq!(said, format!("{}:2: this is not text in UTF-8", file.display()));
    std::fs::write(&file, format!("dir = {:?}", scene.dir())).unwrap();
    assert_eq!(Config::read(&file).unwrap().path, file);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_refused() {
    let scene = Scene::new();
    let dir = scene.dir().join("locked");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o555)).unwrap();
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: a_directory_that_cannot_be_written_to_is_refused needs a user that is not root");
        return;
    }
    assert!(check_directory(&dir).unwrap_err().starts_with("cannot write into"));
}

#[test]
fn each_peer_has_one_key_and_each_key_one_peer() {
    let scene = Scene::new();
    let known = |name: &str| (name == "old").then(|| key(1));
    let config = scene.parse(&format!("dir = \"DIR\"\n[peers.old]\n[peers.new]\nkey = \"{}\"", key(2))).unwrap();
    let keys: Vec<_> = config.peer_keys(known).unwrap().iter().map(|(key, peer)| (*key, peer.name.clone())).collect();
    assert_eq!(keys, [(key(1), "old".to_owned()), (key(2), "new".to_owned())]);

    let config = scene
        .parse(&format!(
            "dir = \"DIR\"\n[peers.old]\n[peers.stranger]\n[peers.twin]\nkey = \"{}\"\n[peers.\"n\"]\nkey = \"{}\"",
            key(1),
            key(3)
        ))
        .unwrap();
    let error = config.peer_keys(known).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("serve.toml:3: no key is known for stranger: add `key"), "{error}");
    assert!(lines[1].starts_with("serve.toml:4: twin has the key of old (line 2)"), "{error}");

    let changed = scene.parse(&format!("dir = \"DIR\"\n[peers.old]\nkey = \"{}\"", key(9))).unwrap();
    assert!(changed.peer_keys(known).unwrap_err().to_string().contains("another key is known for old"));
    let text = format!("dir = \"DIR\"\n[peers.a]\nkey = \"{0}\"\n[peers.b]\nkey = \"{0}\"", key(1));
    assert_eq!(scene.mistakes(&text), ["serve.toml:5: key: a has the same key (line 2)"]);
}

#[test]
fn what_needs_a_restart_is_named() {
    let scene = Scene::new();
    let old = scene.parse("dir = \"DIR\"").unwrap();
    let new = scene.parse("dir = \"DIR\"\nlisten = \"9000\"\nquota = \"1k\"\ndrain = \"1s\"\nmetrics = false").unwrap();
    assert_eq!(new.needs_restart(&old), ["listen", "metrics"]);
    assert_eq!(old.needs_restart(&old), [""; 0]);
}
