//! NUMA-5: interrupts go back to where they were, whoever comes, leaves, dies or meddles, in whatever order. The model keeps the
//! journals of all processes, and does what the host does with what the core says.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::numa::{Claim, CpuSet, Return, Steering, give_back, steer};

const INTERRUPTS: u32 = 3;
/// Sets that processes want: the two nodes of a machine, a part of one, all.
const WANTED: [&str; 4] = ["0-3", "4-7", "4-5", "0-7"];
/// Sets that nobody but the administrator chooses. Some lie within those that are wanted.
const MEDDLED: [&str; 5] = ["1", "4", "6-7", "2-5", "0,7"];

#[derive(Clone, Debug)]
enum Event {
    /// A process comes, puts back what the dead left behind, and steers.
    Start { wants: usize },
    /// One of those that live leaves, in order, and puts back what the dead left behind.
    Leave { which: usize },
    /// One of them is killed.
    Kill { which: usize },
    /// The administrator moves an interrupt.
    Meddle { interrupt: u32, to: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..WANTED.len()).prop_map(|wants| Event::Start { wants }),
        2 => any::<usize>().prop_map(|which| Event::Leave { which }),
        2 => any::<usize>().prop_map(|which| Event::Kill { which }),
        2 => (0..INTERRUPTS, 0..MEDDLED.len()).prop_map(|(interrupt, to)| Event::Meddle { interrupt, to }),
    ];
    vec(event, 0..24)
}

/// The machine with its interrupts, and the journals that lie on it.
struct Machine {
    now: BTreeMap<u32, CpuSet>,
    /// Where each would be had no process ever come.
    untouched: BTreeMap<u32, CpuSet>,
    living: Vec<Process>,
    dead: Vec<Vec<Claim>>,
}

struct Process {
    claims: Vec<Claim>,
    wanted: CpuSet,
    /// Interrupts that are within what it wants, as long as nobody meddles.
    steered: Vec<u32>,
}

impl Machine {
    fn new() -> Self {
        let now: BTreeMap<_, _> = (0..INTERRUPTS).zip(["0-7", "3", "0-1"].map(list)).collect();
        Self { untouched: now.clone(), now, living: Vec::new(), dead: Vec::new() }
    }

    fn play(&mut self, event: &Event) {
        match *event {
            Event::Start { wants } => self.start(list(WANTED[wants])),
            Event::Leave { which } if !self.living.is_empty() => {
                self.recover();
                let leaver = self.living.remove(which % self.living.len());
                leaver.claims.iter().for_each(|claim| self.return_one(claim));
            }
            Event::Kill { which } if !self.living.is_empty() => {
                let killed = self.living.remove(which % self.living.len());
                self.dead.push(killed.claims);
            }
            Event::Leave { .. } | Event::Kill { .. } => {}
            Event::Meddle { interrupt, to } => {
                self.now.insert(interrupt, list(MEDDLED[to]));
                self.untouched.insert(interrupt, list(MEDDLED[to]));
                self.living.iter_mut().for_each(|process| process.steered.retain(|steered| *steered != interrupt));
            }
        }
    }

    fn start(&mut self, wanted: CpuSet) {
        self.recover();
        let mut process = Process { claims: Vec::new(), wanted, steered: Vec::new() };
        for interrupt in 0..INTERRUPTS {
            let living = self.living.iter().flat_map(|process| &process.claims);
            match steer(interrupt, &self.now[&interrupt], &wanted, living) {
                Steering::Leave | Steering::Taken => {}
                Steering::Hold(claim) => {
                    process.steered.push(interrupt);
                    process.claims.push(claim);
                }
                Steering::Move(claim) => {
                    process.steered.push(interrupt);
                    process.claims.push(claim);
                    self.now.insert(interrupt, claim.set);
                }
            }
        }
        self.living.push(process);
    }

    fn recover(&mut self) {
        let mut claims: Vec<_> = std::mem::take(&mut self.dead).into_iter().flatten().collect();
        claims.sort_by_key(|claim| std::cmp::Reverse(claim.round));
        claims.iter().for_each(|claim| self.return_one(claim));
    }

    fn return_one(&mut self, claim: &Claim) {
        let living = self.living.iter().flat_map(|process| &process.claims);
        if give_back(claim, &self.now[&claim.interrupt], living) == Return::PutBack {
            self.now.insert(claim.interrupt, claim.before);
        }
    }
}

fn list(text: &str) -> CpuSet {
    CpuSet::from_list(text).expect("it is a list")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whoever is served stays served until somebody meddles or it leaves, and when all have gone nothing shows that they were.
    #[test]
    fn interrupts_go_back_to_where_they_were(events in events()) {
        let mut machine = Machine::new();
        for event in &events {
            machine.play(event);
            for process in &machine.living {
                for interrupt in &process.steered {
                    let now = machine.now[interrupt];
                    prop_assert!(now.without(&process.wanted).is_empty(), "{interrupt} is on {now:?} after {event:?}");
                }
            }
            if machine.living.is_empty() && machine.dead.is_empty() {
                prop_assert_eq!(&machine.now, &machine.untouched, "after {:?}", event);
            }
        }
        while !machine.living.is_empty() {
            machine.play(&Event::Leave { which: 0 });
        }
        machine.recover();
        prop_assert_eq!(machine.now, machine.untouched);
    }

    /// Without a meddler nobody's claim is void: all claims of an interrupt are one.
    #[test]
    fn without_a_meddler_there_is_one_claim_for_each_interrupt(events in events()) {
        let mut machine = Machine::new();
        for event in events.iter().filter(|event| !matches!(event, Event::Meddle { .. })) {
            machine.play(event);
            for interrupt in 0..INTERRUPTS {
                let claims = || machine.living.iter().flat_map(|process| &process.claims).filter(|c| c.interrupt == interrupt);
                prop_assert!(claims().all(|claim| Some(claim) == claims().next()));
            }
        }
    }
}
