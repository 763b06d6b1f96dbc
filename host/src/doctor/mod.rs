//! Says for an interface whether AF_XDP will work, how well, and what to change (XDP-11). Nothing is changed here.
//!
//! [`read`] gathers facts; [`checks`] judges them, purely; [`Diagnosis::of`] draws the conclusion.

pub mod checks;
pub mod facts;
pub mod read;

use facts::{Card, Host};

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Neither good nor bad, but good to know.
    Info,
    /// AF_XDP works, with less than there could be.
    Warn,
    /// AF_XDP does not work as long as this stays.
    Fail,
}

impl Verdict {
    /// Its name: `ok`, `info`, `warn` or `fail`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// How packets can travel, the better the greater: the ladder of XDP-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Not by AF_XDP.
    Udp,
    /// By AF_XDP behind the kernel's socket buffers.
    Generic,
    /// By AF_XDP in the driver, each packet copied once by the kernel.
    Copy,
    /// By AF_XDP in the driver, without a copy.
    ZeroCopy,
}

impl Mode {
    /// Its name as `--transport` has it.
    #[must_use]
    pub const fn transport(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Generic => "xdp-skb",
            Self::Copy => "xdp-copy",
            Self::ZeroCopy => "xdp",
        }
    }
}

/// One point that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about, a short name that stays.
    pub point: &'static str,
    /// What was found.
    pub read: String,
    /// How well that is.
    pub verdict: Verdict,
    /// What follows from it, a clause; none where all is well. Behind a semicolon, what else is good to know.
    pub why: Option<String>,
    /// What would change it.
    pub change: Option<Change>,
    /// The best mode that it leaves possible.
    pub allows: Mode,
}

/// What would change a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A command, for a shell.
    Command(String),
    /// Something that no command does.
    Advice(String),
}

impl Change {
    /// The command or the advice.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Command(text) | Self::Advice(text) => text,
        }
    }
}

impl Check {
    fn new(point: &'static str, read: impl Into<String>, verdict: Verdict) -> Self {
        Self { point, read: read.into(), verdict, why: None, change: None, allows: Mode::ZeroCopy }
    }

    fn ok(point: &'static str, read: impl Into<String>) -> Self {
        Self::new(point, read, Verdict::Ok)
    }

    fn info(point: &'static str, read: impl Into<String>) -> Self {
        Self::new(point, read, Verdict::Info)
    }

    fn warn(point: &'static str, read: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(point, read, Verdict::Warn).because(why)
    }

    fn fail(point: &'static str, read: impl Into<String>, why: impl Into<String>) -> Self {
        Self { allows: Mode::Udp, ..Self::new(point, read, Verdict::Fail).because(why) }
    }

    fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    fn change(self, command: impl Into<String>) -> Self {
        Self { change: Some(Change::Command(command.into())), ..self }
    }

    fn advise(self, words: impl Into<String>) -> Self {
        Self { change: Some(Change::Advice(words.into())), ..self }
    }

    fn allows(self, mode: Mode) -> Self {
        Self { allows: mode, ..self }
    }
}

/// All about one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The interface's name.
    pub iface: String,
    /// What was looked at of this interface; what is the host's is in [`checks::of_host`].
    pub checks: Vec<Check>,
    /// The best mode that all of it leaves possible.
    pub mode: Mode,
    /// Whether kernel and driver told enough to be sure of that.
    pub is_certain: bool,
    /// Receive queues that sockets can be bound to.
    pub queues: u32,
    /// Why it is no better mode: a clause for each check that stands in the way.
    pub because: Vec<String>,
}

impl Diagnosis {
    /// Judges `card` on a host of which `of_host` holds.
    #[must_use]
    pub fn of(card: &Card, host: &Host, of_host: &[Check]) -> Self {
        let checks = checks::of_card(card, host);
        let all = || of_host.iter().chain(&checks);
        let mode = all().map(|check| check.allows).min().unwrap_or(Mode::ZeroCopy);
        let in_the_way = all().filter(|check| check.allows == mode && mode != Mode::ZeroCopy);
        Self {
            iface: card.interface.name.clone(),
            mode,
            is_certain: card.interface.xdp_features.is_some() || mode <= Mode::Generic,
            queues: card.interface.usable_queues(),
            because: in_the_way.filter_map(|check| check.why.as_deref()).map(reason).collect(),
            checks,
        }
    }

    /// Whether AF_XDP will work at all.
    #[must_use]
    pub fn works(&self) -> bool {
        self.mode != Mode::Udp
    }

    /// One line that says it all.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let because = match self.because.as_slice() {
            [] => "of the points above".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        };
        let will = if self.is_certain { "will" } else { "will probably" };
        let queues = if self.queues == 1 { "1 queue".to_owned() } else { format!("{} queues", self.queues) };
        let slower = "UDP sockets with GSO are likely faster";
        let said = match self.mode {
            Mode::ZeroCopy => format!("AF_XDP {will} work: native, zero-copy, {queues}"),
            Mode::Copy => {
                format!("AF_XDP {will} work in copy mode only (native, {queues}), because {because}; {slower}")
            }
            Mode::Generic => format!("AF_XDP {will} work in generic mode only ({queues}), because {because}; {slower}"),
            Mode::Udp => format!("AF_XDP will not work, because {because}"),
        };
        format!("{}: {said}", self.iface)
    }
}

/// A clause without what is only good to know.
fn reason(why: &str) -> String {
    why.split_once("; ").map_or(why, |(reason, _)| reason).to_owned()
}
