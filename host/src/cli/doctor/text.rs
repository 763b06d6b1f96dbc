//! What was found, for people: a line for each point, 80 columns wide, conclusions last.

use std::fmt::Write as _;

#[cfg(test)]
use crate::cli::wrap::WIDTH;
use crate::cli::wrap::push_wrapped;
use crate::doctor::{Change, Check, Diagnosis};

/// Where reasons and changes begin.
const INDENT: usize = 8;
/// Where what was read begins: behind verdict and point.
const READ: usize = 22;

/// The whole report.
pub(super) fn of(of_host: &[Check], interfaces: &[Diagnosis]) -> String {
    let mut text = section("This host", of_host);
    for interface in interfaces {
        text += &section(&interface.iface, &interface.checks);
    }
    for interface in interfaces {
        push_wrapped(&mut text, &interface.conclusion(), 0, 0);
    }
    text
}

fn section(title: &str, checks: &[Check]) -> String {
    let mut text = format!("{title}\n");
    for check in checks {
        let _ = write!(text, "  {:<6}{:<14}", check.verdict.name(), check.point);
        push_wrapped(&mut text, &check.read, READ, READ);
        if let Some(why) = &check.why {
            text += &" ".repeat(INDENT);
            push_wrapped(&mut text, why, INDENT, INDENT);
        }
        match &check.change {
            // A command stays whole, to be copied.
            Some(Change::Command(command)) => {
                let _ = writeln!(text, "{}$ {command}", " ".repeat(INDENT));
            }
            Some(Change::Advice(words)) => {
                let _ = write!(text, "{}> ", " ".repeat(INDENT));
                push_wrapped(&mut text, words, INDENT + 2, INDENT + 2);
            }
            None => {}
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::{Card, Host};

    #[test]
    fn lines_end_before_the_edge_and_commands_stay_whole() {
        let host = Host { release: "4.4.0".to_owned(), ..Host::default() };
        let of_host = crate::doctor::checks::of_host(&host);
        let text = of(&of_host, &[Diagnosis::of(&Card::default(), &host, &of_host)]);
        for line in text.lines() {
            assert!(line.len() <= WIDTH || line.trim_start().starts_with("$ "), "{line}");
        }
        assert!(text.starts_with("This host\n  fail  kernel        Linux 4.4.0\n"), "{text}");
        assert!(text.lines().last().is_some_and(|line| !line.starts_with(' ')), "{text}");
    }
}
