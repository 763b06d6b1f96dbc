//! NUMA-5 on a card of this machine's. It moves interrupts of that card, so it runs only where it is asked for: in a virtual machine,
//! with `WIREHAUL_REQUIRE=interrupts` and the card called `wire`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use wirehaul_core::numa::{Placement, Wish, interrupt_cpus, place};

use super::*;
use crate::numa::Machine;

const CARD: &str = "wire";

/// The card, its interrupts, and CPUs for them: those of its node.
struct Card {
    interface: Interface,
    interrupts: Vec<u32>,
    cpus: CpuSet,
    /// All that are not of that node.
    others: CpuSet,
    kernel: Files,
}

impl Card {
    /// `None` where moving interrupts is not asked for.
    fn of(test: &str) -> Option<Self> {
        let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
        if !required.split(',').any(|needed| needed.trim() == "interrupts") {
            eprintln!("skipped: {test} moves the interrupts of a card, which WIREHAUL_REQUIRE=interrupts allows");
            return None;
        }
        let interface = Interface::by_name(CARD).unwrap();
        let kernel = Files::of_machine();
        let interrupts = card::queue_interrupts(&interface, &kernel);
        assert!(interrupts.len() >= 2, "{interrupts:?}");
        let machine = Machine::here();
        let wish = Wish { card: interface.numa_node, ..Wish::default() };
        let placement: Placement = place(&machine.topology, &machine.allowed, wish);
        let cpus = *interrupt_cpus(&placement).unwrap();
        let others = machine.topology.cpus().without(&cpus);
        assert!(!others.is_empty(), "there is one node with CPUs");
        Some(Self { interface, interrupts, cpus, others, kernel })
    }

    fn now(&self) -> Vec<CpuSet> {
        self.interrupts.iter().map(|interrupt| self.kernel.cpus(*interrupt).unwrap()).collect()
    }

    fn misplaced(&self) -> usize {
        self.now().iter().filter(|cpus| !cpus.without(&self.cpus).is_empty()).count()
    }

    fn put_all(&self, cpus: &CpuSet) {
        self.interrupts.iter().for_each(|interrupt| self.kernel.set_cpus(*interrupt, cpus).unwrap());
    }
}

#[test]
fn the_interrupts_of_a_card_move_and_go_back() {
    let Some(card) = Card::of("the_interrupts_of_a_card_move_and_go_back") else { return };
    let before = card.now();
    card.put_all(&card.others);
    let steered = Steered::steer(&card.interface, &card.cpus);
    assert!(steered.warnings().is_empty(), "{steered:?}");
    assert_eq!((steered.moved(), card.misplaced()), (&card.interrupts[..], 0));
    // SEC-7: by then a daemon has no capabilities.
    std::thread::scope(|scope| {
        scope.spawn(move || {
            caps::clear(None, caps::CapSet::Effective).unwrap();
            let warnings = steered.put_back();
            assert!(warnings.is_empty(), "{warnings:?}");
        });
    });
    assert!(card.now().iter().all(|now| *now == card.others), "{:?}", card.now());
    for (interrupt, cpus) in card.interrupts.iter().zip(&before) {
        card.kernel.set_cpus(*interrupt, cpus).unwrap();
    }
    println!("{} interrupts moved to {} and back", card.interrupts.len(), card.cpus.list());
}

#[test]
fn the_interrupts_of_a_card_go_back_after_kill() {
    let Some(card) = Card::of("the_interrupts_of_a_card_go_back_after_kill") else { return };
    let before = card.now();
    card.put_all(&card.others);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "numa::irq::card_tests::steers_until_it_is_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("steered")));
    assert_eq!(card.misplaced(), 0);
    // It lives, and keeps them.
    assert_eq!((recover().put_back, left_behind().len()), (vec![], 0));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((card.misplaced(), left_behind()[0].process), (0, child.id()));
    assert_eq!(recover().put_back, card.interrupts);
    assert!(card.now().iter().all(|now| *now == card.others) && left_behind().is_empty());
    for (interrupt, cpus) in card.interrupts.iter().zip(&before) {
        card.kernel.set_cpus(*interrupt, cpus).unwrap();
    }
}

#[test]
#[ignore = "a part of the test above"]
fn steers_until_it_is_killed() {
    let Some(card) = Card::of("steers_until_it_is_killed") else { return };
    let steered = Steered::steer(&card.interface, &card.cpus);
    println!("steered {:?}", steered.moved());
    std::thread::sleep(Duration::from_secs(60));
}
