use clap::CommandFactory;

use super::*;

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    Cli::parse_arguments([&["wirehaul"], line].concat())
}

fn send(line: &[&str]) -> Result<SendArgs, clap::Error> {
    parse(&[&["send"], line].concat()).map(|cli| match cli.command {
        Command::Send(send) => send,
        other => panic!("{other:?}"),
    })
}

fn recv(line: &[&str]) -> Result<RecvArgs, clap::Error> {
    parse(&[&["recv"], line].concat()).map(|cli| match cli.command {
        Command::Recv(recv) => recv,
        other => panic!("{other:?}"),
    })
}

/// The message of a usage error, which must leave with 2.
fn refusal<T>(parsed: Result<T, clap::Error>) -> String {
    let error = parsed.err().unwrap();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

fn ticket() -> Ticket {
    Ticket::new(PublicKey::from_bytes([7; 32]), vec!["192.0.2.1:7420".parse().unwrap()]).unwrap()
}

fn host(host: &str, port: u16) -> Destination {
    Destination::Host { host: host.to_owned(), port }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn paths_come_first_and_the_ticket_last() {
    let ticket = ticket();
    let sending = send(&["a", "b/c", &ticket.to_string()]).unwrap().sending().unwrap();
    assert_eq!(sending.source, Source::Paths(vec!["a".into(), "b/c".into()]));
    assert_eq!(sending.destination, Destination::Ticket(ticket));
}

#[test]
fn flags_may_stand_anywhere() {
    let ticket = ticket().to_string();
    let args = send(&["a", "--rate", "800mbit", &ticket, "--json", "-v", "-v"]).unwrap();
    assert_eq!(args.transfer.rate_cap(), Some(Rate::from_bits_per_sec(800_000_000)));
    let cli = parse(&["--json", "-vv", "send", "a", &ticket]).unwrap();
    assert_eq!((cli.output.json, cli.output.verbose, cli.output.quiet), (true, 2, false));
    let dashed = send(&["--", "-a", &ticket]).unwrap().sending().unwrap();
    assert_eq!(dashed.source, Source::Paths(vec!["-a".into()]));
}

#[test]
fn hosts_are_told_from_tickets() {
    for (text, expected) in [
        ("backup.example", host("backup.example", DEFAULT_PORT)),
        ("backup.example:99", host("backup.example", 99)),
        ("192.0.2.1", host("192.0.2.1", DEFAULT_PORT)),
        ("192.0.2.1:99", host("192.0.2.1", 99)),
        ("2001:db8::1", host("2001:db8::1", DEFAULT_PORT)),
        ("[2001:db8::1]", host("2001:db8::1", DEFAULT_PORT)),
        ("[2001:db8::1]:99", host("2001:db8::1", 99)),
        ("wh1.example", host("wh1.example", DEFAULT_PORT)),
        ("whkeeper", host("whkeeper", DEFAULT_PORT)),
        ("who", host("who", DEFAULT_PORT)),
    ] {
        assert_eq!(send(&["a", text]).unwrap().sending().unwrap().destination, expected, "{text}");
    }
}

#[test]
fn bad_destinations_are_refused_with_the_reason() {
    let ticket = ticket().to_string();
    let mistyped = ticket.replace(&ticket[30..33], "018");
    assert!(refusal(send(&["a", &mistyped])).contains("mistake in it"));
    assert!(refusal(send(&["a", &ticket[..60]])).contains("not complete"));
    assert!(refusal(send(&["a", "wh1"])).contains("not complete"));
    assert!(refusal(send(&["a", "wh2abc"])).contains("another version"));
    assert!(refusal(send(&["a", &PublicKey::from_bytes([1; 32]).to_string()])).contains("public key and not a ticket"));
    assert!(refusal(send(&["a", ""])).contains("empty"));
    for bad in ["host:", "host:0", "host:65536", "host:+1", "[::1", "[::1]99", "[host]:1", "a b", "-", "a/b", "x:1:2"] {
        assert!(refusal(send(&["a", "--", bad])).contains("neither a ticket nor"), "{bad}");
    }
}

#[cfg(unix)]
#[test]
fn paths_need_not_be_utf8_but_destinations_do() {
    use std::os::unix::ffi::OsStrExt;
    let raw = OsStr::from_bytes(b"caf\xe9");
    let line = |operands: [&OsStr; 2]| {
        Cli::parse_arguments([OsStr::new("wirehaul"), OsStr::new("send"), operands[0], operands[1]])
    };
    let Command::Send(args) = line([raw, OsStr::new("host")]).unwrap().command else { panic!("not send") };
    assert_eq!(args.sending().unwrap().source, Source::Paths(vec![raw.into()]));
    assert!(refusal(line([OsStr::new("a"), raw])).contains("neither"));
}

#[test]
fn something_to_send_is_needed_and_only_one_kind_of_it() {
    assert!(refusal(send(&[])).contains("PATH..."));
    let message = refusal(send(&[&ticket().to_string()]));
    assert!(message.contains("what to send is missing") && message.contains("wirehaul send [OPTIONS]"), "{message}");
    let generated = send(&["--generate", "8gib", "host"]).unwrap().sending().unwrap();
    assert_eq!(generated.source, Source::Generated(8 << 30));
    assert!(refusal(send(&["--generate", "1g", "some/path", "host"])).contains("some/path"));
    assert!(refusal(send(&["--generate", "much", "host"])).contains("expected a number"));
}

#[test]
fn what_this_build_lacks_is_said() {
    for (way, choice) in Choice::ALL {
        let args = recv(&["--transport", way, "--iface", "eth0"]).unwrap().transfer;
        assert_eq!((args.transport, args.iface.as_deref()), (choice, Some("eth0")));
    }
    assert!(refusal(recv(&["--iface", ""])).contains("iface"));
    assert!(refusal(recv(&["--transport", "pigeon"])).contains("expected auto, xdp, xdp-copy, xdp-skb or udp"));
    assert!(refusal(recv(&["--io", "tape"])).contains("expected auto, uring or sync"));
    assert!(refusal(recv(&["--cc", "vegas"])).contains("cubic"));
    let args = recv(&["--transport", "udp", "--io", "sync", "--cc", "cubic", "--seed", "7"]).unwrap().transfer;
    assert_eq!((args.transport, args.io, args.seed), (Choice::Udp, file_io::Choice::Sync, 7));
}

#[test]
fn rates_are_checked() {
    assert_eq!(recv(&[]).unwrap().transfer.rate_cap(), None);
    assert_eq!(recv(&["--rate", "unlimited"]).unwrap().transfer.rate_cap(), None);
    assert!(refusal(recv(&["--rate", "800"])).contains("unit is missing"));
    assert!(refusal(recv(&["--rate", "0mbit"])).contains("zero"));
    assert!(refusal(recv(&["--rate=-1mbit"])).contains("expected a number"));
}

#[test]
fn the_listening_address_has_a_default_that_gives_way() {
    let default = recv(&[]).unwrap();
    assert_eq!(default.listen(), Listen { address: "[::]:7420".parse().unwrap(), or_any_port: true });
    assert_eq!((default.dir.to_str(), default.once, default.overwrite), (Some("."), false, false));
    for (text, address) in [
        ("192.0.2.1:9000", "192.0.2.1:9000"),
        ("192.0.2.1", "192.0.2.1:7420"),
        ("[::1]:9000", "[::1]:9000"),
        ("::1", "[::1]:7420"),
        ("[::1]", "[::1]:7420"),
        ("9000", "[::]:9000"),
        (":9000", "[::]:9000"),
        ("0", "[::]:0"),
    ] {
        let listen = recv(&["--listen", text]).unwrap().listen();
        assert_eq!(listen, Listen { address: address.parse().unwrap(), or_any_port: false }, "{text}");
    }
    for bad in ["host:1", "65536", "", "192.0.2.256:1", "[::1]:x"] {
        assert!(refusal(recv(&["--listen", bad])).contains("192.0.2.1:7420"), "{bad}");
    }
}

#[test]
fn advertised_addresses_are_ones_that_senders_can_reach() {
    let args = recv(&["--advertise", "203.0.113.5", "--advertise", "[2001:db8::1]:99"]).unwrap();
    let expected = [
        Advertised { ip: "203.0.113.5".parse().unwrap(), port: None },
        Advertised { ip: "2001:db8::1".parse().unwrap(), port: Some(99) },
    ];
    assert_eq!(args.advertise, expected);
    for bad in ["0.0.0.0", "[::]:1", "203.0.113.5:0", "host", ""] {
        assert!(refusal(recv(&["--advertise", bad])).contains("senders can reach"), "{bad}");
    }
}

/// OPS-1: a screen, and lines for scripts or no words at all, do not go together.
#[test]
fn a_screen_is_for_people_who_watch() {
    for (other, words) in [("--json", "--json prints lines for scripts"), ("-q", "--quiet prints no progress")] {
        for arguments in [&["wirehaul", other, "recv", "--tui"][..], &["wirehaul", "recv", "--tui", other]] {
            let error = Cli::parse_arguments(arguments).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(words), "{error}");
        }
    }
    let scan = ["wirehaul", "scan", "10.0.0.1", "-p", "22", "--tui", "--dry-run"];
    assert!(Cli::parse_arguments(scan).unwrap_err().to_string().contains("nothing to watch"));
    for arguments in [&["wirehaul", "recv", "--tui"][..], &["wirehaul", "-v", "serve", "--tui", "--config", "f"]] {
        assert!(Cli::parse_arguments(arguments).unwrap().output.tui);
    }
    assert!(!Cli::parse_arguments(["wirehaul", "recv"]).unwrap().output.tui);
    assert!(Cli::parse_arguments(["wirehaul", "topo", "--tui"]).is_err(), "it shows nothing that moves");
}

#[test]
fn contradictions_are_refused() {
    assert!(refusal(recv(&["--discard", "--overwrite"])).contains("cannot be used with"));
    assert!(refusal(recv(&["--discard", "--dir", "x"])).contains("cannot be used with"));
    assert!(refusal(recv(&["-q", "-v"])).contains("cannot be used with"));
    assert!(refusal(recv(&["operand"])).contains("operand"));
    assert!(refusal(parse(&["juggle"])).contains("juggle"));
}

#[test]
fn interfaces_have_names_that_the_kernel_takes() {
    let iface = |line: &[&str]| {
        parse(&[&["doctor"], line].concat()).map(|cli| match cli.command {
            Command::Doctor(doctor) => doctor.iface,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(iface(&[]).unwrap(), None);
    for good in ["lo", "eth0.5", "fifteen-bytes-x"] {
        assert_eq!(iface(&["--iface", good]).unwrap().as_deref(), Some(good));
    }
    for bad in ["", ".", "..", "sixteen-bytes-xx", "a b", "a/b", "eth0:1", "a\n"] {
        assert!(refusal(iface(&["--iface", bad])).contains("like eth0"), "{bad:?}");
    }
    refusal(iface(&["eth0"]));
    refusal(iface(&["--iface", "eth0", "--iface", "eth1"]));
}

#[test]
fn one_machine_is_shown_and_one_place_is_asked_for() {
    use wirehaul_core::numa::Choice as Node;
    let topo = |line: &[&str]| {
        parse(&[&["topo"], line].concat()).map(|cli| match cli.command {
            Command::Topo(topo) => topo,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(topo(&[]).unwrap().numa.choice(), Node::Auto);
    assert_eq!(topo(&["--no-numa"]).unwrap().numa.choice(), Node::Off);
    assert_eq!(topo(&["--numa-node", "3", "--iface", "eth0"]).unwrap().numa.choice(), Node::Node(3));
    assert_eq!(topo(&["--synthetic", "pu:2"]).unwrap().synthetic.as_deref(), Some("pu:2"));
    for both in [
        ["--no-numa", "--numa-node=1"],
        ["--synthetic=pu:1", "--xml=-"],
        ["--iface=eth0", "--synthetic=pu:1"],
        ["--iface=eth0", "--xml=-"],
    ] {
        assert!(refusal(topo(&both)).contains("cannot be used with"), "{both:?}");
    }
    for bad in ["", "-1", "one", "4294967296"] {
        refusal(topo(&["--numa-node", bad]));
    }
}

#[test]
fn keys_are_checked_before_anything_is_done() {
    let key = PublicKey::from_bytes([5; 32]);
    let Command::Key(args) = parse(&["key", "trust", "beta", &key.to_string()]).unwrap().command else {
        panic!("not key")
    };
    assert_eq!(args.command, KeyCommand::Trust { name: "beta".into(), key });
    assert!(refusal(parse(&["key", "trust", "beta", "whk1abc"])).contains("key"));
    assert!(refusal(parse(&["key", "trust", "beta"])).contains("<KEY>"));
    refusal(parse(&["key"]));
}

#[test]
fn every_command_has_help_with_examples_and_exit_codes() {
    for line in [
        &["--help"][..],
        &["send", "--help"],
        &["recv", "--help"],
        &["key", "--help"],
        &["doctor", "--help"],
        &["topo", "--help"],
        &["scan", "--help"],
    ] {
        let help = parse(line).err().unwrap();
        assert_eq!(help.exit_code(), 0);
        let help = help.to_string();
        assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    }
    assert_eq!(parse(&["--version"]).err().unwrap().exit_code(), 0);
}
