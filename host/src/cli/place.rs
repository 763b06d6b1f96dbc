//! The node that a transfer works on: found, taken, said.

#[cfg(target_os = "linux")]
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
#[cfg(target_os = "linux")]
use serde_json::json;
use wirehaul_core::numa::Choice;

use super::args::OutputArgs;
#[cfg(target_os = "linux")]
use super::output::{line, remark};
#[cfg(target_os = "linux")]
use crate::interface::Interface;
#[cfg(target_os = "linux")]
use crate::numa::irq::{Steered, recover};
#[cfg(target_os = "linux")]
use crate::numa::memory::residency;
#[cfg(target_os = "linux")]
use crate::numa::{Home, threads};
use crate::pools::LastingPool;
use crate::transport::{Transport, Wish};
use crate::udp::UdpDevice;

/// Bytes of the pages that buffers are asked about in.
#[cfg(target_os = "linux")]
const PAGE_BYTES: usize = 4096;

/// Where this process does its work.
#[derive(Debug, Default)]
pub(super) struct Place {
    #[cfg(target_os = "linux")]
    home: Home,
    /// Interrupts that are not where they were.
    #[cfg(target_os = "linux")]
    steered: Mutex<Option<Steered>>,
    /// What became of interrupts, in words.
    #[cfg(target_os = "linux")]
    about_interrupts: Vec<String>,
}

impl Place {
    /// Finds the node for transfers like this over a socket that is bound, and takes this thread there, with all that are started
    /// later. To be called before there are others.
    #[cfg(target_os = "linux")]
    pub(super) fn take(choice: Choice, wish: &Wish, udp: &UdpDevice) -> Self {
        use crate::transport::Choice as Way;
        // Queues and their memory belong together, wherever that is.
        let must_choose = matches!(wish.choice, Way::Xdp | Way::XdpCopy | Way::XdpSkb);
        let card = || crate::transport::interface_of(wish, udp.local_addr()).ok()?.numa_node;
        let mut home = Home::find(choice, must_choose, card);
        home.settle();
        Self { home, ..Self::default() }
    }

    /// The system decides.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn take(_: Choice, _: &Wish, _: &UdpDevice) -> Self {
        Self::default()
    }

    /// CPUs for packet workers, the best first. None where the system does not tell.
    #[cfg(target_os = "linux")]
    pub(super) fn worker_cpus(&self) -> Vec<u32> {
        self.home.worker_cpus()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn worker_cpus(&self) -> Vec<u32> {
        Vec::new()
    }

    /// The node that buffers are to lie on, where one was chosen.
    #[cfg(target_os = "linux")]
    pub(super) const fn memory_node(&self) -> Option<u32> {
        self.home.memory_node()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) const fn memory_node(&self) -> Option<u32> {
        None
    }

    /// The node that the process works on, where one was chosen.
    #[cfg(target_os = "linux")]
    pub(super) const fn node(&self) -> Option<u32> {
        self.home.cpu_node()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) const fn node(&self) -> Option<u32> {
        None
    }

    /// What is not as it would be best: a line each.
    #[cfg(target_os = "linux")]
    pub(super) fn shortfalls(&self) -> Vec<String> {
        self.home.remarks().iter().chain(&self.about_interrupts).cloned().collect()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn shortfalls(&self) -> Vec<String> {
        Vec::new()
    }

    /// Brings the interrupts of the card to the node as well, where the queues of it are ours. What processes that died have left
    /// elsewhere goes back in any case.
    #[cfg(target_os = "linux")]
    pub(super) fn steer(&mut self, transport: &Transport) {
        let cpus = self.home.cpus();
        let interface = match transport {
            Transport::Xdp(device) if cpus.is_some() => Interface::by_name(device.interface()).ok(),
            _ => None,
        };
        let (recovered, warnings) = if let (Some(interface), Some(cpus)) = (interface, cpus) {
            let steered = Steered::steer(&interface, &cpus);
            let told = (steered.recovered().to_vec(), steered.warnings().iter().map(ToString::to_string).collect());
            *self.steered.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(steered);
            told
        } else {
            let recovered = recover();
            (recovered.put_back, recovered.warnings.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        if !recovered.is_empty() {
            let numbers: Vec<_> = recovered.iter().map(u32::to_string).collect();
            let words = format!("the interrupts {}, which a process that died had moved, are back", numbers.join(", "));
            self.about_interrupts.push(words);
        }
        self.about_interrupts.extend(warnings);
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn steer(&mut self, _: &Transport) {}

    /// Puts interrupts back where they were: before the card's queues are given back, for then the driver may make them anew.
    #[cfg(target_os = "linux")]
    pub(super) fn put_back(&self) {
        let steered = self.steered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let warnings = steered.map(Steered::put_back).unwrap_or_default();
        warnings.iter().for_each(|warning| remark(&warning.to_string()));
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn put_back(&self) {}

    /// Says which node it is, and what is not as it would be best. Where nodes make no difference, nothing.
    #[cfg(target_os = "linux")]
    pub(super) fn announce(&self, output: OutputArgs) {
        let cpus = self.home.cpus();
        let remarks: Vec<_> = self.home.remarks().iter().chain(&self.about_interrupts).collect();
        let moved = {
            let steered = self.steered.lock().unwrap_or_else(PoisonError::into_inner);
            steered.as_ref().map(|steered| steered.moved().to_vec()).unwrap_or_default()
        };
        if output.json && (cpus.is_some() || !remarks.is_empty()) {
            let value = json!({
                "type": "numa",
                "node": self.home.cpu_node(),
                "memory_node": self.home.memory_node(),
                "cpus": cpus.map(|cpus| cpus.list().to_string()),
                "interrupts_moved": moved,
                "remarks": remarks,
            });
            line(&value.to_string());
        } else if !output.quiet && !output.json {
            remarks.iter().for_each(|words| remark(words));
        }
        if let (Some(node), Some(cpus)) = (self.home.cpu_node(), cpus)
            && output.verbose > 0
        {
            let memory = match self.home.memory_node() {
                Some(memory) if memory == node => "and its memory".to_owned(),
                Some(memory) => format!("and the memory of node {memory}"),
                None => "and memory from anywhere".to_owned(),
            };
            let interrupts = match moved.len() {
                0 => String::new(),
                1 => ", with 1 interrupt that was elsewhere".to_owned(),
                count => format!(", with {count} interrupts that were elsewhere"),
            };
            remark(&format!("NUMA node {node}: CPUs {} {memory}{interrupts}", cpus.list()));
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn announce(&self, _: OutputArgs) {}

    /// What became of it, for the summary: the nodes, and how many pages of these blocks lie on another one. `None` where nodes
    /// make no difference.
    #[cfg(target_os = "linux")]
    pub(super) fn to_json(&self, blocks: Option<LastingPool>) -> Option<Value> {
        let node = self.home.cpu_node()?;
        let memory_node = self.home.memory_node();
        let found = memory_node.zip(blocks).and_then(|(node, pool)| residency(pool.region(), PAGE_BYTES, node));
        let found = found.map(|found| json!({ "pages": found.pages, "misplaced": found.misplaced }));
        Some(json!({ "node": node, "memory_node": memory_node, "blocks": found }))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn to_json(&self, _: Option<LastingPool>) -> Option<Value> {
        None
    }
}

/// Keeps this thread, a packet worker's, on its CPU. One that was taken away meanwhile costs speed and nothing else.
#[cfg(target_os = "linux")]
pub(super) fn stay_on(cpu: u32, worker: u8) {
    if let Err(error) = threads::pin(cpu) {
        remark(&format!("worker {worker} does not stay on CPU {cpu}: {error}"));
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stay_on(_: u32, _: u8) {}
