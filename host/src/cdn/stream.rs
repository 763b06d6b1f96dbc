//! Items in, rows out, in the same order: in blocks that threads take turns with, so that millions of addresses take seconds, little
//! memory is in use however long the input is, and what comes in slowly goes out at once (CDN-4, CDN-6).

use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use wirehaul_core::cdn::prefix::{Address, Prefix, Span};
use wirehaul_core::cdn::{Probability, ProviderId};
use wirehaul_core::time::{Duration, Instant};

use super::asn::Recent;
use super::detection::Detection;
use super::input::{Input, MOST_LINE_BYTES};
use super::offline::{Offline, first_of};
use super::rows::{Filling, Mould, Moulds, Place, Render, Row, Sink, parse_v4, write_ip};
use super::target::{Host, Item, Target, TargetError};
use crate::clock::Clock;

/// A prefix with more addresses is not written out: 2^24, as 10.0.0.0/8 has.
pub const MOST_ADDRESSES: u128 = 1 << 24;

/// From so many bytes on, rows go out although the block is not at its end: a prefix makes millions of one line.
const FLUSH_BYTES: usize = 4 << 20;

/// While somebody is asked, rows wait for others no longer than this.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Bytes of a line that is no item, in the row about it.
const SHOWN_BYTES: usize = 100;

/// What to do with items.
pub struct Job<'j, 'd, R> {
    /// What is known offline.
    pub offline: Offline<'j, 'd>,
    /// From which posterior on a provider is named.
    pub threshold: Probability,
    /// How rows look.
    pub render: &'j R,
    /// Whom to ask about names.
    pub ask: &'j dyn Ask<'d>,
    /// Whether to ask about addresses, too.
    pub asks_addresses: bool,
    /// A row for each part of a prefix, in place of one for each address.
    pub ranges: bool,
    /// Set from elsewhere in order to end it.
    pub stop: &'j AtomicBool,
    /// The time.
    pub clock: Clock,
}

/// What is asked, or has its place among what is asked.
#[derive(Debug)]
pub enum Entry<'l> {
    /// To be asked.
    Ask {
        /// What was written, where the target is one address of many.
        prefix: Option<&'l str>,
        /// About this.
        target: Target,
        /// Whether it is the first of its line.
        is_first: bool,
    },
    /// In need of no question.
    Line(&'l [u8]),
}

/// Whoever asks name servers and hosts.
pub trait Ask<'d>: Sync {
    /// Finds out about the entries that are to be asked, many at a time, and tells `each` about all entries in their order, until
    /// it has enough.
    ///
    /// # Errors
    /// The system gives no means to ask anybody.
    fn ask<'l>(
        &self,
        entries: &mut dyn Iterator<Item = Entry<'l>>,
        each: &mut dyn FnMut(Entry<'l>, Option<Detection<'d>>) -> ControlFlow<()>,
    ) -> io::Result<()>;
}

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Lines and arguments with something in them.
    pub inputs: u64,
    /// Rows, those about errors included.
    pub rows: u64,
    /// Rows that name a provider.
    pub detected: u64,
    /// Rows about errors.
    pub errors: u64,
    /// Rows that name a provider, by its place.
    pub providers: Vec<u64>,
}

impl Tally {
    fn new() -> Self {
        Self { inputs: 0, rows: 0, detected: 0, errors: 0, providers: vec![0; ProviderId::MOST] }
    }

    fn add(&mut self, other: &Self) {
        self.inputs += other.inputs;
        self.rows += other.rows;
        self.detected += other.detected;
        self.errors += other.errors;
        for (sum, count) in self.providers.iter_mut().zip(&other.providers) {
            *sum += count;
        }
    }

    fn row(&mut self, provider: Option<ProviderId>) {
        self.rows += 1;
        if let Some(provider) = provider {
            self.detected += 1;
            if let Some(count) = self.providers.get_mut(provider.place()) {
                *count += 1;
            }
        }
    }
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub tally: Tally,
    /// What could not be read, after which no more was.
    pub unread: Option<io::Error>,
    /// Why nobody could be asked, after which no more was.
    pub unasked: Option<io::Error>,
    /// Why no more could be written.
    pub unwritten: Option<io::Error>,
}

/// Why a line has no row of its own.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("this is not UTF-8 text")]
    NoText,
    #[error("this line has more than {MOST_LINE_BYTES} bytes")]
    TooLong,
    #[error("this prefix has more than 2^24 addresses; use --ranges for a row for each part of it")]
    TooManyAddresses,
}

/// Works on the items, then on the input until its end, with so many threads at most.
pub fn run<R: Render, W: Write + Send>(
    job: &Job<'_, '_, R>,
    items: &[String],
    input: Input,
    threads: usize,
    out: W,
) -> Outcome {
    let shared = Shared {
        input: Mutex::new(input),
        output: Mutex::new(Output { next: 0, out, unasked: None, unwritten: None }),
        changed: Condvar::new(),
        is_over: AtomicBool::new(false),
    };
    let mut worker = Worker::new(job, &shared);
    if !items.is_empty() {
        let number = shared.input().take_number();
        worker.block(number, items.iter().map(String::as_bytes));
    }
    let tally = std::thread::scope(|scope| {
        let mut helpers = Vec::new();
        let mut block = Vec::new();
        while let Some(number) = worker.read(&mut block) {
            // Whoever gives little at a time needs no help.
            if helpers.is_empty() && Input::is_full(&block) {
                helpers.extend((1..threads).map(|_| scope.spawn(|| Worker::new(job, &shared).run())));
            }
            worker.block(number, block.split(|byte| *byte == b'\n'));
        }
        let mut tally = worker.tally;
        for helper in helpers {
            match helper.join() {
                Ok(counted) => tally.add(&counted),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        tally
    });
    let unread = shared.input().take_error();
    let output = shared.output.into_inner().unwrap_or_else(PoisonError::into_inner);
    Outcome { tally, unread, unasked: output.unasked, unwritten: output.unwritten }
}

/// What the threads have in common.
struct Shared<W> {
    input: Mutex<Input>,
    output: Mutex<Output<W>>,
    changed: Condvar,
    is_over: AtomicBool,
}

struct Output<W> {
    /// The number of the block whose rows are to be written.
    next: u64,
    out: W,
    unasked: Option<io::Error>,
    unwritten: Option<io::Error>,
}

impl<W> Shared<W> {
    fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the rows of the block are to be written.
    fn turn(&self, number: u64) -> MutexGuard<'_, Output<W>> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.wait_while(output, |output| output.next != number).unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's part of it.
struct Worker<'w, 'j, 'd, R, W> {
    job: &'w Job<'j, 'd, R>,
    shared: &'w Shared<W>,
    recent: Recent,
    moulds: Moulds,
    sink: Sink,
    ip_text: Vec<u8>,
    prefix_text: Vec<u8>,
    tally: Tally,
    /// The number of its block.
    number: u64,
    /// Whether what it has can be written: it is its turn.
    turn: Option<MutexGuard<'w, Output<W>>>,
    flushed: Instant,
}

impl<'w, 'j, 'd, R: Render, W: Write> Worker<'w, 'j, 'd, R, W> {
    fn new(job: &'w Job<'j, 'd, R>, shared: &'w Shared<W>) -> Self {
        Self {
            job,
            shared,
            recent: Recent::new(),
            moulds: Moulds::default(),
            sink: Sink::default(),
            ip_text: Vec::new(),
            prefix_text: Vec::new(),
            tally: Tally::new(),
            number: 0,
            turn: None,
            flushed: job.clock.now(),
        }
    }

    fn run(mut self) -> Tally {
        let mut block = Vec::new();
        while let Some(number) = self.read(&mut block) {
            self.block(number, block.split(|byte| *byte == b'\n'));
        }
        self.tally
    }

    fn is_over(&self) -> bool {
        self.job.stop.load(Ordering::Relaxed) || self.shared.is_over.load(Ordering::Relaxed)
    }

    fn read(&self, block: &mut Vec<u8>) -> Option<u64> {
        let mut input = self.shared.input();
        if self.is_over() { None } else { input.read(block) }
    }

    /// Makes rows of the lines, and writes them when all before them are.
    fn block<'l>(&mut self, number: u64, mut lines: impl Iterator<Item = &'l [u8]>) {
        self.number = number;
        while let Some(line) = lines.next() {
            if self.is_over() {
                break;
            }
            if !self.line(line) {
                self.ask(&mut std::iter::once(line).chain(&mut lines));
            }
        }
        self.flush();
        if let Some(mut output) = self.turn.take() {
            output.next += 1;
        }
        self.shared.changed.notify_all();
    }

    /// Writes what there is, in its turn.
    fn flush(&mut self) {
        let output = self.turn.get_or_insert_with(|| self.shared.turn(self.number));
        if output.unwritten.is_none()
            && let Err(error) = output.out.write_all(&self.sink.bytes).and_then(|()| output.out.flush())
        {
            output.unwritten = Some(error);
            self.shared.is_over.store(true, Ordering::Relaxed);
        }
        self.sink.bytes.clear();
    }

    fn flush_if_full(&mut self) {
        if self.sink.bytes.len() >= FLUSH_BYTES {
            self.flush();
        }
    }

    // --- lines ---

    /// Makes rows of a line, unless somebody has to be asked.
    fn line(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        if !self.job.asks_addresses
            && let Some(ip) = parse_v4(line)
        {
            self.tally.inputs += 1;
            self.address(line, Some(line), IpAddr::V4(ip.into()));
            return true;
        }
        let item = match self.item(line) {
            Ok(None) => return true,
            Ok(Some(item)) => item,
            Err(error) => {
                self.tally.inputs += 1;
                self.error(line, &error);
                return true;
            }
        };
        if self.has_to_ask(&item) {
            return false;
        }
        self.tally.inputs += 1;
        match item {
            Item::Host(Target { host: Host::Ip(ip), text, .. }) if text.parse() == Ok(ip) => {
                self.address(line, None, ip)
            }
            // What is in a URL may need escapes.
            Item::Host(Target { host: Host::Ip(ip), text, .. }) => {
                let detection = self.job.offline.detection(ip);
                self.detected(&text, Place::Ip(Some(ip)), &detection);
            }
            Item::Host(_) => {}
            Item::Range(prefix) if self.job.ranges => self.parts(line, prefix),
            Item::Range(prefix) => self.addresses(line, prefix),
        }
        true
    }

    /// What stands in a line, if anything does.
    fn item(&self, line: &[u8]) -> Result<Option<Item>, LineError> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(None);
        }
        if line.len() > MOST_LINE_BYTES {
            return Err(LineError::TooLong);
        }
        let text = str::from_utf8(line).map_err(|_| LineError::NoText)?;
        match Item::parse(text)? {
            Item::Range(prefix) if prefix.addresses() > MOST_ADDRESSES && !self.job.ranges => {
                Err(LineError::TooManyAddresses)
            }
            item => Ok(Some(item)),
        }
    }

    const fn has_to_ask(&self, item: &Item) -> bool {
        match item {
            Item::Host(target) => self.job.asks_addresses || matches!(target.host, Host::Name(_)),
            Item::Range(_) => self.job.asks_addresses && !self.job.ranges,
        }
    }

    // --- rows ---

    /// A row about an address; `ip_text` is the address if it was written as it is shown.
    fn address(&mut self, input: &[u8], ip_text: Option<&[u8]>, ip: IpAddr) {
        let job = self.job;
        if !job.render.has_moulds() {
            let input = String::from_utf8_lossy(input);
            return self.detected(&input, Place::Ip(Some(ip)), &job.offline.detection(ip));
        }
        let (likeness, asn) = job.offline.likeness(ip, &mut self.recent);
        let mould = self.moulds.get(likeness, || {
            let detection = job.offline.detection(ip);
            let provider = detection.verdict.provider(job.threshold);
            let row = Row { input: "", place: Place::Ip(Some(ip)), detection: &detection };
            Mould::of(job.render, &row, provider)
        });
        if mould.has_prefix {
            self.prefix_text.clear();
            // Memory takes everything.
            let _ = write!(self.prefix_text, "{}", job.offline.database.network(ip).prefix);
        }
        if ip_text.is_none() {
            write_ip(ip, &mut self.ip_text);
        }
        let ip_text = ip_text.unwrap_or(&self.ip_text);
        mould.fill(&Filling { input, ip: ip_text, asn, prefix: &self.prefix_text }, &mut self.sink.bytes);
        self.tally.row(mould.provider);
    }

    /// A row about each address of a prefix.
    fn addresses(&mut self, input: &[u8], prefix: Prefix) {
        for ip in addresses_of(prefix) {
            self.address(input, None, ip);
            if self.sink.bytes.len() >= FLUSH_BYTES {
                self.flush();
                if self.is_over() {
                    return;
                }
            }
        }
    }

    /// A row about each part of a prefix.
    fn parts(&mut self, input: &[u8], prefix: Prefix) {
        let input = String::from_utf8_lossy(input);
        let offline = self.job.offline;
        for part in offline.parts_of(prefix) {
            self.detected(&input, Place::Part(part), &offline.detection(first_of(part)));
            if self.is_over() {
                return;
            }
        }
    }

    fn detected(&mut self, input: &str, place: Place, detection: &Detection<'_>) {
        self.job.render.row(&Row { input, place, detection }, &mut self.sink);
        self.tally.row(detection.verdict.provider(self.job.threshold));
        self.flush_if_full();
    }

    fn error(&mut self, line: &[u8], error: &LineError) {
        let shown = line.get(..SHOWN_BYTES).unwrap_or(line);
        let mut input = String::from_utf8_lossy(shown).into_owned();
        if shown.len() < line.len() {
            // A character may be cut in two.
            input.truncate(input.trim_end_matches('\u{fffd}').len());
            input.push('\u{2026}');
        }
        self.job.render.error(&input, error, &mut self.sink);
        self.tally.rows += 1;
        self.tally.errors += 1;
    }

    // --- asking ---

    /// Makes rows of lines of which some have to be asked about.
    fn ask(&mut self, lines: &mut dyn Iterator<Item = &[u8]>) {
        // One block asks at a time, and its rows go out as they come.
        self.flush();
        let (job, shared) = (self.job, self.shared);
        let is_over = || job.stop.load(Ordering::Relaxed) || shared.is_over.load(Ordering::Relaxed);
        let ranges_are_asked = job.asks_addresses && !job.ranges;
        let entries =
            lines.take_while(|_| !is_over()).flat_map(|line| entries_of(line, job.asks_addresses, ranges_are_asked));
        let asked = job.ask.ask(&mut entries.take_while(|_| !is_over()), &mut |entry, detection| {
            self.answered(&entry, detection.as_ref());
            if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let (Err(error), Some(output)) = (asked, &mut self.turn) {
            output.unasked = Some(error);
            shared.is_over.store(true, Ordering::Relaxed);
        }
    }

    fn answered(&mut self, entry: &Entry<'_>, detection: Option<&Detection<'d>>) {
        match (entry, detection) {
            (Entry::Line(line), _) => {
                self.line(line);
            }
            (Entry::Ask { prefix, target, is_first }, Some(detection)) => {
                self.tally.inputs += u64::from(*is_first);
                self.detected(prefix.unwrap_or(&target.text), Place::Ip(detection.ip), detection);
            }
            (Entry::Ask { .. }, None) => {}
        }
        let now = self.job.clock.now();
        if now.saturating_since(self.flushed) >= FLUSH_EVERY {
            self.flush();
            self.flushed = now;
        }
    }
}

/// What is to be asked because of a line.
fn entries_of(line: &[u8], addresses: bool, ranges: bool) -> Box<dyn Iterator<Item = Entry<'_>> + '_> {
    let one = |entry| Box::new(std::iter::once(entry));
    let line = line.trim_ascii();
    let text = str::from_utf8(line).ok().filter(|text| text.len() <= MOST_LINE_BYTES && !text.starts_with('#'));
    match text.map(|text| (text, Item::parse(text))) {
        Some((_, Ok(Item::Host(target)))) if addresses || matches!(target.host, Host::Name(_)) => {
            one(Entry::Ask { prefix: None, target, is_first: true })
        }
        Some((text, Ok(Item::Range(prefix)))) if ranges && prefix.addresses() <= MOST_ADDRESSES => {
            Box::new(addresses_of(prefix).enumerate().map(move |(place, ip)| {
                let target = Target { text: ip.to_string(), host: Host::Ip(ip), port: None, scheme: None };
                Entry::Ask { prefix: Some(text), target, is_first: place == 0 }
            }))
        }
        _ => one(Entry::Line(line)),
    }
}

/// The addresses of a prefix, in order.
fn addresses_of(prefix: Prefix) -> impl Iterator<Item = IpAddr> {
    fn next<A: Address>(at: A, span: Span<A>) -> Option<A> {
        if at >= span.last { None } else { at.next() }
    }
    let mut at = Some(first_of(prefix));
    std::iter::from_fn(move || {
        let ip = at?;
        at = match (prefix, ip) {
            (Prefix::V4(span), IpAddr::V4(ip)) => next(u32::from(ip), span).map(Address::ip),
            (Prefix::V6(span), IpAddr::V6(ip)) => next(u128::from(ip), span).map(Address::ip),
            _ => None,
        };
        Some(ip)
    })
}
