use super::super::{Cli, Command};
use super::*;

fn parse(line: &[&str]) -> Result<ScanArgs, clap::Error> {
    Cli::parse_arguments([&["wirehaul", "scan"], line].concat()).map(|cli| match cli.command {
        Command::Scan(args) => *args,
        other => panic!("{other:?}"),
    })
}

fn of(line: &[&str]) -> ScanArgs {
    parse(&[&["10.0.0.1", "-p", "80"], line].concat()).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// The message of a usage error, which must leave with 2.
fn refusal(line: &[&str]) -> String {
    let error = parse(line).err().unwrap_or_else(|| panic!("{line:?}"));
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn defaults_are_safe() {
    let args = of(&[]);
    assert_eq!((args.rate, args.subnet_rate), (Cap::Packets(10_000), Cap::Packets(1_000)));
    assert_eq!((args.retries, args.cooldown), (0, Duration::from_secs(4)));
    assert_eq!((args.format(), args.shown_in(args.format())), (Format::Text, Show::Open));
    assert!(args.detects_edges() && !args.skip_cdn && args.checkpoint_path().is_none());
    assert_eq!((args.transport, args.numa_choice()), (Choice::Auto, numa::Choice::Auto));
    assert_eq!(args.window, 1 << 20);
}

#[test]
fn ports_are_sorted_and_each_once() {
    let args = parse(&["10.0.0.1", "-p", "443,22,80-81,22,udp:53,icmp"]).unwrap();
    let expected = [Probe::tcp(22), Probe::tcp(80), Probe::tcp(81), Probe::tcp(443), Probe::udp(53), Probe::ECHO];
    assert_eq!(*args.ports.probes, expected);
    assert_eq!(args.ports.text, "443,22,80-81,22,udp:53,icmp");
    for bad in ["", "0", "65536", "81-80", "x:1", "1,,2", "-1"] {
        assert!(refusal(&["10.0.0.1", &format!("--ports={bad}")]).contains("--ports"), "{bad}");
    }
}

#[test]
fn somebody_to_ask_is_needed() {
    let message = refusal(&["-p", "80"]);
    assert!(message.contains("whom to ask is missing") && message.contains("wirehaul scan [OPTIONS]"), "{message}");
    assert!(refusal(&["10.0.0.1"]).contains("--ports"));
    assert_eq!(parse(&["-f", "-", "-p", "80"]).unwrap().targets_file, [PathBuf::from("-")]);
}

/// What bad input gets: rate 0, shard 3/2.
#[test]
fn numbers_that_make_no_sense_are_refused() {
    for (flag, bad, word) in [
        ("--rate", "0", "zero"),
        ("--rate", "0mbit", "zero"),
        ("--rate", "10parsec", "unknown unit"),
        ("--subnet-rate", "0", "zero"),
        ("--subnet-rate", "10mbit", "packets a second"),
        ("--shard", "3/2", "3"),
        ("--shard", "0/2", "0/2"),
        ("--shard", "1", "shard"),
        ("--retries", "17", "16"),
        ("--retry-after", "2h", "1h"),
        ("--cooldown", "5", "unit is missing"),
        ("--max-loss", "101", "0 to 100"),
        ("--max-loss", "0.00001", "four decimals"),
        ("--workers", "0", "1..=64"),
        ("--window", "7", "from 1024"),
        ("--rotate", "0rows", "more than nothing"),
        ("--transport", "udp", "packet"),
        ("--format", "xml", "parquet"),
        ("--show", "closed", "open or all"),
        ("--scan-id", "a b", "letters"),
        ("--contact", "", "characters of ASCII"),
        ("--iface", "a/b", "like eth0"),
        ("--seed", "-1", "seed"),
    ] {
        let message = refusal(&["10.0.0.1", "-p", "80", "-o", "x.csv", &format!("{flag}={bad}")]);
        assert!(message.contains(word) && message.contains(flag), "{flag} {bad}: {message}");
    }
}

#[test]
fn what_is_given_is_taken() {
    let args =
        of(&["--rate", "100mbit", "--subnet-rate", "unlimited", "--shard", "2/7", "--seed", "9", "--workers", "3"]);
    assert_eq!(args.rate, Cap::Bits(wirehaul_core::rate::Rate::from_bits_per_sec(100_000_000)));
    assert_eq!((args.subnet_rate, args.seed, args.workers), (Cap::Unlimited, Some(9), Some(3)));
    assert_eq!(args.shard.map(|shard| (shard.index(), shard.count())), Some((2, 7)));
    assert_eq!(of(&["-o", "x.csv", "--rotate", "1mib"]).rotate, Some(Limit::Bytes(1 << 20)));
    assert_eq!(of(&["-o", "x.csv", "--rotate", "10krows"]).rotate, Some(Limit::Rows(10_000)));
    assert_eq!(of(&["--max-loss", "0.5%"]).max_loss, Some(Percent { ppm: 5_000 }));
    assert_eq!(of(&["--max-loss", "100"]).max_loss, Some(Percent { ppm: 1_000_000 }));
    for (name, way) in Choice::ALL {
        assert_eq!(of(&["--transport", name]).transport, way);
    }
}

#[test]
fn the_format_is_that_of_the_ending_unless_it_is_said() {
    for (line, format, show) in [
        (&["-o", "x.csv"][..], Format::Csv, Show::All),
        (&["-o", "x.jsonl"], Format::Json, Show::All),
        (&["-o", "x.gz", "--format", "json"], Format::Json, Show::All),
        (&["--format", "csv"], Format::Csv, Show::All),
        (&["-o", "x.zgrab"], Format::Zgrab, Show::Open),
        (&["-o", "x.csv", "--show", "open"], Format::Csv, Show::Open),
    ] {
        let args = of(line);
        assert_eq!((args.format(), args.shown_in(args.format())), (format, show), "{line:?}");
    }
    assert!(refusal(&["10.0.0.1", "-p", "80", "-o", "results"]).contains("stands for no format"));
    let why = if parquet::IS_BUILT_IN { "--output" } else { "writes no Parquet" };
    assert!(refusal(&["10.0.0.1", "-p", "80", "--format", "parquet"]).contains(why));
}

#[test]
fn the_checkpoint_is_beside_the_results() {
    let path = |line: &[&str]| of(line).checkpoint_path().map(|path| path.display().to_string());
    assert_eq!(path(&["-o", "a/x.csv"]).as_deref(), Some("a/x.csv.checkpoint"));
    assert_eq!(path(&["-o", "x.csv", "--checkpoint", "c"]).as_deref(), Some("c"));
    assert_eq!(path(&["-o", "x.csv", "--resume", "r"]).as_deref(), Some("r"));
    assert_eq!(path(&["--resume", "r", "--checkpoint", "c"]).as_deref(), Some("c"));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for line in [
        &["--no-cdn-detect", "--cdn-detect"][..],
        &["--no-cdn-detect", "--skip-cdn"],
        &["--skip-cdn", "--ignore-cdn-detection"],
        &["--no-numa", "--numa-node", "1"],
        &["--rotate", "1mib"],
    ] {
        assert!(!refusal(&[&["10.0.0.1", "-p", "80"], line].concat()).is_empty(), "{line:?}");
    }
}
