//! `wirehaul doctor`: whether packets can bypass the kernel on an interface, and what to change.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::{DoctorArgs, OutputArgs};
use super::exit::Exit;
use crate::doctor::facts::{Card, Host};
use crate::doctor::{Change, Check, Diagnosis, checks, read};
use crate::interface::InterfaceError;

mod text;

/// Looks, and says what it found.
///
/// What was asked for goes to `out`, errors go to `remarks`.
pub fn run(args: &DoctorArgs, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Exit {
    let findings = match read::cards(args.iface.as_deref()) {
        Ok(cards) => Findings::of(&cards, &read::host()),
        Err(error) => Findings::none(error.to_string(), exit_of(&error)),
    };
    let printed = findings.print(output, out, remarks);
    findings.exit.once_printed(printed, "what was found", remarks)
}

/// What was found.
struct Findings {
    of_host: Vec<Check>,
    interfaces: Vec<Diagnosis>,
    /// Why nothing was looked at.
    error: Option<String>,
    exit: Exit,
}

impl Findings {
    /// The exit code is that of the best interface: a transfer uses one that works.
    fn of(cards: &[Card], host: &Host) -> Self {
        if cards.is_empty() {
            return Self::none(
                "no interface is up, other than loopback; name one with --iface".to_owned(),
                Exit::Device,
            );
        }
        let of_host = checks::of_host(host);
        let interfaces: Vec<_> = cards.iter().map(|card| Diagnosis::of(card, host, &of_host)).collect();
        let exit = if interfaces.iter().any(Diagnosis::works) { Exit::Done } else { Exit::Device };
        Self { of_host, interfaces, error: None, exit }
    }

    fn none(error: String, exit: Exit) -> Self {
        Self { of_host: Vec::new(), interfaces: Vec::new(), error: Some(error), exit }
    }

    fn print(&self, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> io::Result<()> {
        if output.json {
            self.print_json(out)?;
        } else if !output.quiet && self.error.is_none() {
            write!(out, "{}", text::of(&self.of_host, &self.interfaces))?;
        }
        if let Some(error) = &self.error {
            writeln!(remarks, "wirehaul: {error}")?;
        }
        if output.quiet && self.exit != Exit::Done {
            for interface in &self.interfaces {
                writeln!(remarks, "wirehaul: {}", interface.conclusion())?;
            }
        }
        out.flush()
    }

    fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        for check in &self.of_host {
            writeln!(out, "{}", check_json(None, check))?;
        }
        for interface in &self.interfaces {
            for check in &interface.checks {
                writeln!(out, "{}", check_json(Some(&interface.iface), check))?;
            }
        }
        let summary = json!({
            "type": "summary",
            "command": "doctor",
            "works": self.interfaces.iter().any(Diagnosis::works),
            "interfaces": self.interfaces.iter().map(interface_json).collect::<Vec<_>>(),
            "error": self.error,
            "exit_code": self.exit.code(),
        });
        writeln!(out, "{summary}")
    }
}

/// `iface` is null for a point of the host's.
fn check_json(iface: Option<&str>, check: &Check) -> Value {
    json!({
        "type": "check",
        "iface": iface,
        "point": check.point,
        "read": check.read,
        "verdict": check.verdict.name(),
        "why": check.why,
        "change": check.change.as_ref().map(Change::text),
    })
}

fn interface_json(interface: &Diagnosis) -> Value {
    json!({
        "iface": interface.iface,
        "works": interface.works(),
        "certain": interface.is_certain,
        "transport": interface.mode.transport(),
        "queues": interface.queues,
        "because": interface.because,
        "conclusion": interface.conclusion(),
    })
}

const fn exit_of(error: &InterfaceError) -> Exit {
    match error {
        InterfaceError::BadName { .. } | InterfaceError::NoSuchName { .. } | InterfaceError::NoSuchIndex(_) => {
            Exit::Device
        }
        InterfaceError::Kernel(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;

    const PLAIN: OutputArgs = OutputArgs { json: false, quiet: false, verbose: 0, tui: false };

    fn card(name: &str, is_up: bool) -> Card {
        let interface = Interface {
            name: name.to_owned(),
            is_up,
            has_carrier: is_up,
            is_ethernet: true,
            mtu: 1500,
            ..Interface::default()
        };
        Card { interface, ..Card::default() }
    }

    fn host() -> Host {
        use crate::doctor::facts::Capabilities;
        Host { release: "6.12.0".to_owned(), has_bpf: true, capabilities: Capabilities(u64::MAX), ..Host::default() }
    }

    fn printed(findings: &Findings, output: OutputArgs) -> (String, String) {
        let (mut out, mut remarks) = (Vec::new(), Vec::new());
        findings.print(output, &mut out, &mut remarks).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(remarks).unwrap())
    }

    #[test]
    fn one_interface_that_works_is_enough() {
        let exit = |cards: &[Card]| Findings::of(cards, &host()).exit;
        assert_eq!(exit(&[card("a", true)]), Exit::Done);
        assert_eq!(exit(&[card("a", false), card("b", true)]), Exit::Done);
        assert_eq!(exit(&[card("a", false), card("b", false)]), Exit::Device);
        assert_eq!(exit(&[]), Exit::Device);
    }

    #[test]
    fn json_has_a_line_for_each_point_and_ends_with_a_summary() {
        let findings = Findings::of(&[card("a", true), card("b", false)], &host());
        let (out, remarks) = printed(&findings, OutputArgs { json: true, ..PLAIN });
        assert_eq!(remarks, "");
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (summary, checks) = lines.split_last().unwrap();
        for check in checks {
            let object = check.as_object().unwrap();
            // Their order hangs on how serde_json was built.
            let keys: std::collections::BTreeSet<_> = object.keys().map(String::as_str).collect();
            assert!(keys.into_iter().eq(["change", "iface", "point", "read", "type", "verdict", "why"]));
            assert_eq!(check["type"], "check");
        }
        assert!(checks.iter().any(|check| check["iface"].is_null() && check["point"] == "kernel"));
        let down = checks.iter().find(|check| check["iface"] == "b" && check["point"] == "link").unwrap();
        assert_eq!((&down["verdict"], &down["change"]), (&json!("fail"), &json!("sudo ip link set dev b up")));
        assert_eq!(
            (&summary["type"], &summary["works"], &summary["exit_code"]),
            (&json!("summary"), &json!(true), &json!(0))
        );
        let interfaces = summary["interfaces"].as_array().unwrap();
        assert_eq!((&interfaces[0]["transport"], &interfaces[1]["transport"]), (&json!("xdp-skb"), &json!("udp")));
        assert_eq!(interfaces[1]["because"], json!(["the interface is down"]));
    }

    #[test]
    fn nothing_to_look_at_is_one_line_on_stderr() {
        let findings = Findings::of(&[], &host());
        let (out, remarks) = printed(&findings, PLAIN);
        assert!(out.is_empty() && remarks.starts_with("wirehaul: no interface is up"), "{remarks}");
        let (out, _) = printed(&findings, OutputArgs { json: true, ..PLAIN });
        let summary: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&summary["exit_code"], &summary["works"]), (&json!(4), &json!(false)));
    }

    #[test]
    fn quiet_says_only_what_does_not_work() {
        let quiet = OutputArgs { quiet: true, ..PLAIN };
        assert_eq!(printed(&Findings::of(&[card("a", true)], &host()), quiet), (String::new(), String::new()));
        let (out, remarks) = printed(&Findings::of(&[card("a", false)], &host()), quiet);
        let expected = "wirehaul: a: AF_XDP will not work, because the interface is down\n";
        assert_eq!((out.as_str(), remarks.as_str()), ("", expected));
    }
}
