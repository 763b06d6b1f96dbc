//! A survey from its first packet to its last word.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration as StdDuration;

use wirehaul_core::scan::{Cap, Key, Window};
use wirehaul_core::time::{Duration, Instant};

use super::keep::{Keeper, Kept, Posted};
use super::plan::Plan;
use super::progress::{Teller, View};
use super::summary::{Figures, Mark, Summary};
use super::{remark, summary, tell};
use crate::cli::args::{OutputArgs, ScanArgs};
use crate::cli::exit::Exit;
use crate::cli::screen::{self, Shown};
use crate::cli::stop::stop_flag;
use crate::clock::{Clock, unix_seconds};
use crate::crypto::NoRandomness;
use crate::events::{Bus, WorkerPlace};
use crate::scan::audit::{AuditError, AuditLog};
use crate::scan::cdn::Edges;
use crate::scan::checkpoint::{Checkpoint, CheckpointError};
use crate::scan::collect::Collector;
use crate::scan::counters::Progress;
use crate::scan::engine::{self, About, Place, Running, Setup, StartError, Work};
use crate::scan::format::{Format, Writer};
use crate::scan::metadata::{self, Came};
use crate::scan::row::Run;
use crate::scan::sink::{Output, Sink, SinkError};
use crate::scan::zgrab::Zgrab;
use crate::scan::{Addresses, ExcludeFiles, Excluded};

/// How often the survey is looked at.
const TICK: StdDuration = StdDuration::from_millis(50);
/// How often exclusions are read again.
const REREAD: Duration = Duration::from_secs(2);
/// How long replies are waited for after an interrupt, at most.
const BRIEF_COOLDOWN: Duration = Duration::from_secs(1);

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum LiveError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("{} is the checkpoint of a scan that was interrupted: go on with --resume {}, or remove it", .0.display(), .0.display())]
    Unfinished(PathBuf),
    #[error("a scan of public addresses has to be in the audit log: {0}")]
    Audit(AuditError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl LiveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Start(StartError::Contact(_)) => Exit::Usage,
            Self::Start(StartError::Thread(_) | StartError::Order) => Exit::Failed,
            Self::Start(_) => Exit::Device,
            Self::Sink(SinkError::Exists { .. } | SinkError::Unfinished { .. }) | Self::Unfinished(_) => Exit::Usage,
            Self::Checkpoint(CheckpointError::NotOne { .. }) => Exit::Usage,
            Self::Sink(_) | Self::Checkpoint(_) | Self::NoRandomness(_) => Exit::Failed,
            Self::Audit(_) => Exit::Refused,
        }
    }
}

/// Sends, and keeps what comes.
pub(super) fn survey(args: &ScanArgs, plan: Plan, output: OutputArgs) -> Exit {
    if output.tui && args.output.is_none() && io::stdout().is_terminal() {
        let words = "--tui takes the terminal, where rows would go: name a file for them with -o, or send standard output to one";
        return summary::not_started(words, Exit::Usage, output.json);
    }
    match Survey::open(args, plan, output).and_then(Survey::run) {
        Ok(exit) => exit,
        Err(error) => summary::not_started(&error.to_string(), error.exit(), output.json),
    }
}

/// All that is there before the first packet.
struct Survey<'a> {
    args: &'a ScanArgs,
    output: OutputArgs,
    plan: Plan,
    clock: Clock,
    sink: Sink,
    show: crate::scan::collect::Show,
    /// Where the checkpoint is kept, and the one to begin with.
    checkpoint: (Option<PathBuf>, Checkpoint),
    audit: Option<AuditLog>,
    edges_skipped: Arc<AtomicU64>,
}

impl<'a> Survey<'a> {
    fn open(args: &'a ScanArgs, plan: Plan, output: OutputArgs) -> Result<Self, LiveError> {
        let path = args.checkpoint_path();
        let checkpoint = match &plan.resumed {
            Some(resumed) => resumed.clone(),
            None => {
                path.as_deref().map_or(Ok(()), check_unused)?;
                let steps = plan.course.steps();
                Checkpoint::new(
                    plan.asked.scan_id.clone(),
                    plan.sending.identity.clone(),
                    steps,
                    plan.asked.started_unix,
                )
            }
        };
        let rows_are_objects = args.output.is_none() && output.json;
        let format = if rows_are_objects { Format::Json } else { args.format() };
        let run = Run {
            scan_id: plan.asked.scan_id.clone(),
            shard: plan.sending.shard.index(),
            list_version: plan.asked.list_version.clone().unwrap_or_default(),
        };
        let writer = Writer::new(format, &run, Zgrab { names: plan.sending.names.clone() }, rows_are_objects);
        let place = Output { path: args.output.clone(), format, rotate: args.rotate };
        let sink = if plan.resumed.is_some() { Sink::resume(&place, writer) } else { Sink::create(&place, writer) }?;
        Ok(Self {
            args,
            output,
            clock: Clock::start(),
            sink,
            show: args.shown_in(format),
            checkpoint: (path, checkpoint),
            audit: None,
            plan,
            edges_skipped: Arc::default(),
        })
    }

    fn run(mut self) -> Result<Exit, LiveError> {
        if let Err(error) = self.begin() {
            self.take_back();
            return Err(error);
        }
        let excluded = Excluded::default();
        exclude(
            &excluded,
            self.plan.sending.excluded.addresses(),
            self.args.skip_cdn.then(|| Arc::clone(&self.edges_skipped)),
        );
        let key = Key::new([random()?, random()?]);
        let running = match engine::start(self.work(key), &self.setup(&excluded)) {
            Ok(running) => running,
            Err(error) => {
                let error = LiveError::from(error);
                self.log_end(error.exit(), None, Some(&error.to_string()));
                self.take_back();
                return Err(error);
            }
        };
        let watched = Watched::begin(self.output, self.clock, running.about());
        tell(self.args, &self.plan, self.output);
        self.announce(&running);
        Ok(self.follow(running, &excluded, key, watched))
    }

    /// Writes down what is about to happen, where it can be written.
    fn begin(&mut self) -> Result<(), LiveError> {
        if let (Some(path), checkpoint) = (&self.checkpoint.0, &self.checkpoint.1) {
            checkpoint.write(path)?;
        }
        let log = self.args.audit_log.clone().map_or_else(AuditLog::of_user, |path| Ok(AuditLog::at(path)));
        let logged = log.and_then(|log| log.append(&summary::audit_start(&self.plan)).map(|()| log));
        match logged {
            Ok(log) => self.audit = Some(log),
            Err(error) if self.plan.asked.has_public => return Err(LiveError::Audit(error)),
            Err(error) => remark(&error.to_string()),
        }
        Ok(())
    }

    /// Nothing was sent, so that there is nothing to go on with.
    fn take_back(self) {
        self.sink.discard();
        if let (Some(path), None) = (&self.checkpoint.0, &self.plan.resumed) {
            // One that stays names a scan that can be gone on with from its beginning.
            let _ = std::fs::remove_file(path);
        }
    }

    fn work(&self, key: Key) -> Work {
        Work {
            targets: self.plan.sending.addresses.clone(),
            probes: self.args.ports.probes.to_vec(),
            course: self.plan.course,
            from: self.plan.from(),
            cap: self.args.rate,
            subnet_pps: match self.args.subnet_rate {
                Cap::Packets(packets) => Some(packets),
                Cap::Bits(_) | Cap::Unlimited => None,
            },
            retry_after: self.args.retry_after,
            key,
            contact: self.args.contact.clone().unwrap_or_default().into_bytes(),
        }
    }

    fn setup(&self, excluded: &Excluded) -> Setup {
        Setup {
            interface: self.args.iface.clone(),
            transport: self.args.transport,
            workers: self.args.workers.map(usize::from),
            numa: self.args.numa_choice(),
            clock: self.clock,
            excluded: excluded.clone(),
        }
    }

    /// Says how it is done.
    fn announce(&self, running: &Running) {
        let about = running.about();
        if self.output.quiet {
            return;
        }
        about.remarks.iter().for_each(|words| remark(words));
        if !about.left_out.is_empty() {
            let left_out: Vec<_> = about.left_out.iter().map(ToString::to_string).collect();
            remark(&format!("not asked, being this host or a whole network: {}", left_out.join(", ")));
        }
        if self.output.verbose > 0 {
            about.steps.iter().for_each(|step| remark(&format!("transport {}: {}", step.way, step.reason)));
            remark(&format!("{} through {}, {} workers", about.transport, about.interface, about.workers.len()));
        }
    }

    // --- while it runs ---

    fn follow(self, mut running: Running, excluded: &Excluded, key: Key, watched: Watched) -> Exit {
        let Self { args, output, mut plan, clock, sink, show, checkpoint, audit, edges_skipped } = self;
        let began = clock.now();
        let posted = Posted::default();
        let Watched { events, stop, shown } = watched;
        let edges = args.detects_edges().then(Edges::new);
        let mut slots = vec![0; args.window.next_power_of_two()];
        let collector = Collector::new(Window::new(&mut slots, key), edges, Some(events.clone()), clock, show, sink);
        let (path, checkpoint) = checkpoint;
        let keeper = Keeper::new(collector, path.clone(), checkpoint, args.cooldown, &posted, clock);
        let results = running.results();
        let mut ending = Ending::default();
        let (kept, last) = std::thread::scope(|scope| {
            let keeping = std::thread::Builder::new().name("scan-keep".to_owned());
            let thread = keeping.spawn_scoped(scope, move || keeper.run(&results));
            let (from, steps) = (plan.from(), plan.course.steps());
            let mut teller = Teller::new(events.clone(), args.rate, (from, steps), began);
            let mut view = View::new(output, &events, (steps, began), shown.as_ref().map(Shown::detached));
            let mut reread = began;
            let is_lost = thread.is_err();
            while !is_lost && !ending.is_over(args, clock.now()) {
                std::thread::sleep(TICK);
                let (now, progress) = (clock.now(), running.progress());
                posted.post(&progress);
                ending.look(&progress, stop.load(Ordering::Relaxed), posted.has_failed(), now, &running);
                teller.tell(now, &progress, &posted.tally());
                view.show();
                if now.saturating_since(reread) >= REREAD {
                    reread = now;
                    read_again(&mut plan.sending.excluded, excluded, args.skip_cdn.then(|| Arc::clone(&edges_skipped)));
                }
            }
            view.end();
            let last = running.end();
            posted.post(&last);
            (thread.map(|thread| thread.join()), last)
        });
        // What is said from here on is for whoever has left the screen.
        drop(shown);
        let kept = match kept {
            Ok(Ok(kept)) => kept,
            Ok(Err(_)) => return broken("the thread that keeps results ended by itself: please report this", output),
            Err(error) => return broken(&format!("cannot start the thread that keeps results: {error}"), output),
        };
        let over = Over { args, output, plan, audit, path, edges_skipped: edges_skipped.load(Ordering::Relaxed) };
        over.end(kept, &last, &running, &ending, began)
    }

    fn log_end(&self, exit: Exit, figures: Option<&Figures>, error: Option<&str>) {
        log_end(self.audit.as_ref(), &self.plan, exit, figures, error);
    }
}

/// Who hears how it goes, and who may stop it.
struct Watched {
    events: Bus,
    stop: Arc<AtomicBool>,
    shown: Option<Shown>,
}

impl Watched {
    fn begin(output: OutputArgs, clock: Clock, about: &About) -> Self {
        let (events, stop) = (Bus::default(), stop_flag());
        let shown = screen::show(output, "scan", &events, clock, &stop);
        if let Some(shown) = &shown {
            let worker = |(number, place): (u8, &Place)| WorkerPlace {
                number,
                cpu: place.cpu,
                node: about.node,
                queues: place.queues.clone(),
            };
            shown.place((0..).zip(&about.workers).map(worker).collect(), about.remarks.clone());
        }
        Self { events, stop, shown }
    }
}

fn broken(message: &str, output: OutputArgs) -> Exit {
    summary::not_started(message, Exit::Failed, output.json)
}

fn random() -> Result<u64, NoRandomness> {
    crate::crypto::random_bytes().map(u64::from_le_bytes)
}

/// A checkpoint that is there already must be of a scan that is over.
fn check_unused(path: &Path) -> Result<(), LiveError> {
    match Checkpoint::read(path) {
        Err(CheckpointError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(checkpoint) if checkpoint.is_complete => Ok(()),
        Ok(_) => Err(LiveError::Unfinished(path.to_owned())),
    }
}

fn log_end(log: Option<&AuditLog>, plan: &Plan, exit: Exit, figures: Option<&Figures>, error: Option<&str>) {
    let entry = summary::audit_end(plan, exit, figures, error);
    if let Some(Err(error)) = log.map(|log| log.append(&entry)) {
        remark(&error.to_string());
    }
}

// --- exclusions ---

/// Puts exclusions in force: those addresses, and edges of CDNs where these are counted.
fn exclude(excluded: &Excluded, addresses: &Addresses, edges: Option<Arc<AtomicU64>>) {
    thread_local! {
        static EDGES: RefCell<Edges> = RefCell::new(Edges::new());
    }
    let addresses = addresses.clone();
    excluded.set(Arc::new(move |ip| {
        if addresses.contains(ip) {
            return true;
        }
        let Some(count) = &edges else { return false };
        let is_edge = EDGES.with_borrow_mut(|edges| edges.find(ip).provider.is_some());
        if is_edge {
            count.fetch_add(1, Ordering::Relaxed);
        }
        is_edge
    }));
}

fn read_again(files: &mut ExcludeFiles, excluded: &Excluded, edges: Option<Arc<AtomicU64>>) {
    match files.refresh() {
        Ok(false) => {}
        Ok(true) => exclude(excluded, files.addresses(), edges),
        Err(error) => remark(&format!("{error}; what was excluded before stays excluded")),
    }
}

// --- how it comes to its end ---

/// When and why it ends.
#[derive(Debug, Default)]
struct Ending {
    /// When no probe was left to send.
    sent_at: Option<Instant>,
    /// How it stood when packets were first seen to leave, and when they were last.
    paced: Option<(Mark, Mark)>,
    was_interrupted: bool,
    has_failed: bool,
}

impl Ending {
    fn look(&mut self, progress: &Progress, stop: bool, is_lost: bool, now: Instant, running: &Running) {
        if (stop && !progress.is_done && !self.was_interrupted) || is_lost {
            self.was_interrupted |= stop;
            running.stop();
        }
        if progress.is_done || self.was_interrupted {
            self.sent_at.get_or_insert(now);
        } else if progress.sent.packets() > 0 {
            let mark = Mark { at: now, packets: progress.sent.packets(), bytes: progress.sent.bytes };
            let first = self.paced.map_or(mark, |(first, _)| first);
            self.paced = Some((first, mark));
        }
        self.has_failed |= progress.has_failed || is_lost;
    }

    fn is_over(&self, args: &ScanArgs, now: Instant) -> bool {
        let cooldown = if self.was_interrupted { args.cooldown.min(BRIEF_COOLDOWN) } else { args.cooldown };
        self.has_failed || self.sent_at.is_some_and(|sent| now.saturating_since(sent) >= cooldown)
    }
}

/// What is left when nothing is sent or received any more.
struct Over<'a> {
    args: &'a ScanArgs,
    output: OutputArgs,
    plan: Plan,
    audit: Option<AuditLog>,
    path: Option<PathBuf>,
    edges_skipped: u64,
}

impl Over<'_> {
    fn end(&self, kept: Kept, last: &Progress, running: &Running, ending: &Ending, began: Instant) -> Exit {
        let sending = ending.sent_at.map_or(Duration::ZERO, |sent| sent.saturating_since(began));
        let Kept { tally, sink, mut checkpoint, error, base } = kept;
        let mut error = error.map(|error| (self.exit_of(&error), self.words_of(&error)));
        if let Some(failure) = running.failure() {
            error.get_or_insert((Exit::Device, failure));
        }
        let is_complete = error.is_none() && !ending.was_interrupted && last.is_done;
        let files = match (sink, is_complete) {
            (Some(sink), true) => sink.finish(),
            (Some(sink), false) => sink.leave(),
            (None, _) => Ok(Vec::new()),
        };
        let files = files.unwrap_or_else(|trouble| {
            error.get_or_insert((self.exit_of(&trouble), self.words_of(&trouble)));
            Vec::new()
        });
        let is_complete = is_complete && error.is_none();
        if is_complete && let Some(path) = &self.path {
            (checkpoint.is_complete, checkpoint.done_before) = (true, checkpoint.steps);
            if let Err(trouble) = checkpoint.write(path) {
                remark(&trouble.to_string());
            }
        }
        let paced = ending.paced;
        let figures = Figures { tally, last: *last, base, sending, paced, edges_skipped: self.edges_skipped };
        let exit = match &error {
            Some((exit, _)) => *exit,
            None if ending.was_interrupted => Exit::Interrupted,
            None if self.args.max_loss.is_some_and(|most| figures.loss_ppm() > u64::from(most.ppm)) => Exit::Lossy,
            None => Exit::Done,
        };
        let words = error.map(|(_, words)| words).filter(|words| !words.is_empty());
        let summary = Summary {
            plan: &self.plan,
            cap: self.args.rate,
            about: running.about(),
            figures: &figures,
            is_complete,
            error: words.as_deref(),
            exit,
        };
        self.keep_metadata(&summary, files);
        log_end(self.audit.as_ref(), &self.plan, exit, Some(&figures), words.as_deref());
        if exit == Exit::Interrupted && !self.output.quiet {
            remark(&self.how_to_go_on());
        }
        summary.print(self.output);
        exit
    }

    fn keep_metadata(&self, summary: &Summary<'_>, files: Vec<PathBuf>) {
        let Some(path) = self.args.output.as_deref().map(metadata::path_for) else { return };
        let came = Came {
            iface: Some(summary.about.interface.clone()),
            transport: Some(summary.about.transport.to_owned()),
            ended_unix: unix_seconds(),
            figures: summary.results(),
            is_complete: summary.is_complete,
            files,
            exit_code: summary.exit.code(),
            error: summary.error.map(str::to_owned),
        };
        // One line says enough about a full disk.
        if let (Err(error), None) = (metadata::write(&path, &metadata::to_json(&self.plan.asked, &came)), summary.error)
        {
            remark(&error.to_string());
        }
    }

    fn exit_of(&self, error: &SinkError) -> Exit {
        if error.is_reader_gone() { Exit::Interrupted } else { Exit::Failed }
    }

    fn words_of(&self, error: &SinkError) -> String {
        match &self.path {
            // Whoever reads our output left; that is theirs to do.
            _ if error.is_reader_gone() => String::new(),
            Some(path) if error.is_full() => {
                format!("{error}; make room, and go on with --resume {}", path.display())
            }
            _ => error.to_string(),
        }
    }

    fn how_to_go_on(&self) -> String {
        match &self.path {
            Some(path) => format!("interrupted; the same command with --resume {} goes on", path.display()),
            None => "interrupted; there is no checkpoint, since there is neither --output nor --checkpoint".to_owned(),
        }
    }
}

/// Whether a bar makes sense.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
