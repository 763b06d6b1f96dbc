//! `wirehaul scan`: who of many hosts answers, at a rate that holds (SCAN-1 to SCAN-9).

use std::io::{self, Write};

use self::plan::{Plan, PlanError};
use super::args::{OutputArgs, ScanArgs};
use super::exit::Exit;
use super::stop::stop_flag;
use crate::events::Level;
use crate::notes::note;
use crate::scan::cdn::Edges;

mod dry_run;
#[cfg(target_os = "linux")]
mod keep;
#[cfg(target_os = "linux")]
mod live;
mod names;
mod plan;
#[cfg(target_os = "linux")]
mod progress;
mod summary;

#[cfg(target_os = "linux")]
use live::survey;

/// Plans, and does it or prints it.
pub fn run(args: &ScanArgs, output: OutputArgs) -> Exit {
    let is_loopback = args.iface.as_deref().is_some_and(is_loopback);
    match Plan::make(args, is_loopback) {
        Ok(plan) if args.dry_run => print(args, &plan, output),
        Ok(plan) => survey(args, plan, output),
        Err(error) => not_started(&error, args, output),
    }
}

fn not_started(error: &PlanError, args: &ScanArgs, output: OutputArgs) -> Exit {
    // Standard output of a dry run has addresses and nothing else.
    let is_told = output.json && !args.dry_run;
    summary::not_started(&error.to_string(), error.exit(), is_told)
}

#[cfg(target_os = "linux")]
fn is_loopback(name: &str) -> bool {
    name == "lo" || crate::interface::Interface::by_name(name).is_ok_and(|interface| interface.is_loopback)
}

#[cfg(not(target_os = "linux"))]
fn is_loopback(name: &str) -> bool {
    name == "lo"
}

#[cfg(not(target_os = "linux"))]
fn survey(_: &ScanArgs, _: Plan, output: OutputArgs) -> Exit {
    let words = "surveys are sent on Linux only; here --dry-run prints what would be";
    summary::not_started(words, Exit::Device, output.json)
}

// --- the dry run ---

fn print(args: &ScanArgs, plan: &Plan, output: OutputArgs) -> Exit {
    tell(args, plan, output);
    let order = dry_run::Order {
        targets: plan.targets(),
        probes: &args.ports.probes,
        course: plan.course,
        from: plan.from(),
        skipped: args.skip_cdn.then(Edges::new),
    };
    let stop = stop_flag();
    match dry_run::print(order, &mut standard_output(), &stop) {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Interrupted,
        // Whoever reads our output left; that is theirs to do.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            remark(&format!("cannot write to standard output: {error}"));
            Exit::Failed
        }
    }
}

/// Says what is worth knowing before it begins.
fn tell(args: &ScanArgs, plan: &Plan, output: OutputArgs) {
    if output.quiet {
        return;
    }
    for collapsed in &plan.collapsed {
        let names::Collapsed { name, same_as, provider } = collapsed;
        remark(&format!("{name} is the same edge of {provider} as {same_as}, and is not asked by itself"));
    }
    remark(&plan.in_words(args));
}

/// Standard output without the line buffer that would look through every block for the end of its last line.
fn standard_output() -> impl Write {
    io::stdout().lock()
}

fn remark(text: &str) {
    note(Level::Info, text);
}
