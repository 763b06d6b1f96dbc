//! One run of a scenario: a phase in which everything may go wrong, then one in which everything must get through.
//!
//! A caller whose session ended before its work was done calls again, but only where a fault explains the end: a crash, a
//! clock that jumped, or a damaged INIT whose refusal was believed.

use wirehaul_core::{session::CloseReason, time::Duration, worker::SessionId};

use super::{Failure, Report, Scenario};
use crate::{
    bulk::Flow,
    checks::{self, Violation},
    faults::Fault,
    host::Arena,
    link::LinkConfig,
    network::LinkId,
    run::{HostId, Outcome, Run},
};

/// How long faults may last.
pub const SAFETY_PHASE: Duration = Duration::from_secs(10);
/// How long the transfers may take once they are over.
const LIVENESS_PHASE: Duration = Duration::from_secs(300);
/// How long sessions may take to settle what is in flight after the last byte was acknowledged: longer than the idle
/// time-out, so that a session whose peer crashed is gone too.
const SETTLING: Duration = Duration::from_secs(60);
/// Sessions of one caller that the listener has room for: its own, and those that it lost.
const SESSIONS_PER_CALLER: usize = 4;
/// How often one caller calls at most.
const MOST_CALLS: u32 = 200;

/// A caller's way to get its work done.
struct Call {
    host: HostId,
    session: Option<SessionId>,
    /// How often the caller had crashed when it called last.
    crashes: u64,
    calls: u32,
    /// How often the listener had crashed when the caller called last.
    listener_crashes: u64,
    /// Whether the caller has all its work done.
    done: bool,
}

/// A run under way.
struct Drive<'s> {
    scenario: &'s Scenario,
    listener: HostId,
    calls: Vec<Call>,
    /// How far all hosts were when it was last looked.
    progress: Vec<(u64, u64, bool)>,
    all_done: bool,
}

/// Runs `scenario`; adds what happened by chance to `happened`, if somebody wants to know.
pub(super) fn run(scenario: &Scenario, arena: &Arena, happened: Option<&mut Vec<Fault>>) -> Result<Report, Failure> {
    let mut run = Run::new(arena, scenario.seed);
    let mut drive = Drive::set_up(scenario, &mut run, happened.is_some());
    let outcome = drive.go_through(&mut run);
    if let Some(happened) = happened {
        for number in 0..run.network().links().count() {
            happened.extend_from_slice(run.network().link(LinkId::nth(number)).mishaps().recorded());
        }
    }
    let trace_hash = run.trace_hash();
    outcome.map_err(|violation| Failure { violation, trace_hash, state: run.describe() })
}

impl<'s> Drive<'s> {
    fn set_up(scenario: &'s Scenario, run: &mut Run<'_>, recording: bool) -> Self {
        let options = &scenario.options;
        let sessions = SESSIONS_PER_CALLER * options.callers.len();
        let mut listener = options.listener.host(1, sessions, options.planted);
        listener.listening = true;
        let listener = run.add_host(listener);
        let chances = scenario.chances.unwrap_or_default();
        let [there, back] = [0, 1].map(|way| run.network().add_link(options.path[way].link(&chances[way])));
        let mut calls = Vec::new();
        for (number, caller) in (2..).zip(&options.callers) {
            let host = run.add_host(caller.host.host(number, SESSIONS_PER_CALLER, options.planted));
            let delay = Duration::from_micros(caller.own_delay_us);
            let own = [0, 1].map(|_| run.network().add_link(LinkConfig { delay, ..LinkConfig::default() }));
            let (from, to) = (run.host(host).address(), run.host(listener).address());
            run.network().route(from, to, &[own[0], there]);
            run.network().route(to, from, &[back, own[1]]);
            calls.push(Call { host, session: None, crashes: 0, calls: 0, listener_crashes: 0, done: false });
        }
        for id in run.host_ids() {
            run.host(id).watch_pace();
            run.host(id).keep_files();
        }
        if recording {
            for link in [there, back] {
                run.network().link(link).mishaps().record();
            }
        }
        run.follow(&scenario.faults, scenario.chances.is_some());
        Self { scenario, listener, calls, progress: Vec::new(), all_done: false }
    }

    fn go_through(&mut self, run: &mut Run<'_>) -> Result<Report, Violation> {
        let start = run.now();
        let mut outcome = run.until(SAFETY_PHASE, |run| self.look(run));
        run.stop_faults();
        if matches!(outcome, Outcome::TimeLimit | Outcome::Idle) {
            outcome = run.until(LIVENESS_PHASE, |run| self.look(run));
        }
        let took = run.now().saturating_since(start);
        checks::spinning::spinning(outcome)?;
        checks::safety(run)?;
        checks::rejects::rejects(run)?;
        let complete = |outcome| if outcome == Outcome::Done { Ok(()) } else { Err(Violation::Incomplete(outcome)) };
        complete(outcome)?;
        let outcome = run.until(SETTLING, |run| self.is_settled(run));
        checks::spinning::spinning(outcome)?;
        checks::safety(run)?;
        checks::rejects::rejects(run)?;
        complete(outcome)?;
        checks::content::content(run)?;
        Ok(Report { trace_hash: run.trace_hash(), took, datagrams: run.network().ledger().sent.datagrams })
    }

    /// Whether all calls are done; calls where that is to be done.
    fn look(&mut self, run: &mut Run<'_>) -> bool {
        let as_before = self.progress.len() == run.hosts().count()
            && run.hosts().zip(&self.progress).all(|(host, known)| progress_of(host) == *known);
        if as_before {
            return self.all_done;
        }
        for index in 0..self.calls.len() {
            self.look_at(run, index);
        }
        self.progress = run.hosts().map(progress_of).collect();
        self.all_done = self.is_all_done(run);
        self.all_done
    }

    fn look_at(&mut self, run: &mut Run<'_>, index: usize) {
        let listener_crashes = run.host(self.listener).crashes();
        let listener_streams = self.scenario.options.listener.send.len();
        let refusals = self.may_be_talked_out_of_it(run);
        let disturbed = self.is_disturbed();
        let Some(call) = self.calls.get_mut(index) else { return };
        let now = run.now();
        let address = run.host(self.listener).address();
        let host = run.host(call.host);
        if call.crashes != host.crashes() {
            // It knows nothing of its work, done or not.
            (call.crashes, call.session, call.done) = (host.crashes(), None, false);
        }
        let flow = call.session.and_then(|session| host.app().flow(session));
        call.done |= flow.is_some_and(|flow| is_complete(flow, &host.config().plan.send, listener_streams));
        let over = match (call.session, flow.and_then(|flow| flow.closed)) {
            (None, _) => true,
            (Some(_), Some((reason, _))) => disturbed || (refusals && is_refusal(reason)),
            (Some(_), None) => false,
        };
        if over && !call.done && !host.is_down() && call.calls < MOST_CALLS {
            call.calls += 1;
            call.listener_crashes = listener_crashes;
            call.session = host.connect(now, address).ok();
        }
    }

    /// Whether every caller is done, and the listener with all that called since it crashed last.
    fn is_all_done(&self, run: &mut Run<'_>) -> bool {
        let listener = run.host(self.listener);
        let crashes = listener.crashes();
        let listener_sends = &listener.config().plan.send;
        let mut served: Vec<_> = listener.app().flows().map(|(_, flow)| flow).collect();
        for call in &self.calls {
            if !call.done {
                return false;
            }
            // A listener that crashed has forgotten whom it served.
            if call.listener_crashes != crashes {
                continue;
            }
            // Which session is whose does not matter, as long as there is one for each. One that was cut off between the
            // last byte and the word that it came cannot know, and its caller need not.
            let streams = self.scenario.options.callers.get(call.number()).map_or(0, |caller| caller.host.send.len());
            let complete = served.iter().position(|flow| is_complete(flow, listener_sends, streams));
            let cut_off = || served.iter().position(|flow| self.is_disturbed() && flow.closed.is_some());
            let Some(place) = complete.or_else(cut_off) else { return false };
            served.swap_remove(place);
        }
        true
    }

    /// Nothing stays in flight for ever: a packet that is neither acknowledged nor lost would be counted for good. And
    /// everything that came is written.
    fn is_settled(&mut self, run: &mut Run<'_>) -> bool {
        // A session that changes keys all the time always has a REKEY on its way.
        const ONE_CONTROL_PACKET: u64 = 128;
        run.host_ids().all(|id| {
            let host = run.host(id);
            let written = host.app().next_meal().is_none();
            written && host.worker().sessions().all(|(_, session)| session.stats().inflight_bytes <= ONE_CONTROL_PACKET)
        })
    }

    /// A refusal in the clear is believed after a while, so a damaged INIT can end a call. No fault of the session's.
    fn may_be_talked_out_of_it(&self, run: &mut Run<'_>) -> bool {
        run.network().links().any(|link| link.stats().corrupted > 0) || self.is_disturbed()
    }

    /// Whether a host crashed, its clock jumped, or it moved, by the script: a handshake does not survive a move.
    fn is_disturbed(&self) -> bool {
        let disturbs =
            |fault: &Fault| matches!(fault, Fault::Crash { .. } | Fault::ClockJump { .. } | Fault::Move { .. });
        self.scenario.faults.iter().any(disturbs)
    }
}

impl Call {
    /// Its place among the callers: the listener is the first host.
    fn number(&self) -> usize {
        self.host.number() - 1
    }
}

fn progress_of(host: &crate::host::Host<'_>) -> (u64, u64, bool) {
    (host.app().milestones(), host.crashes(), host.is_down())
}

/// Whether the flow has sent all of `sends` and got as many streams as its peer sends.
fn is_complete(flow: &Flow, sends: &[(wirehaul_core::wire::StreamId, u64)], expected: usize) -> bool {
    flow.connected_at.is_some()
        && flow.outgoing.len() == sends.len()
        && flow.all_acknowledged()
        && flow.finished_streams() == expected
}

const fn is_refusal(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Refused(_) | CloseReason::Version(_))
}
