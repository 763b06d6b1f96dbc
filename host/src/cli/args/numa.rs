//! The flags about NUMA nodes.

use clap::Args;
use wirehaul_core::numa::Choice;

/// On which node the work is done.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Transfer")]
pub struct NumaArgs {
    /// Leave threads, memory and interrupts where the system puts them, as if the machine had one NUMA node
    #[arg(long, conflicts_with = "numa_node")]
    pub no_numa: bool,
    /// Work on this NUMA node [default: the node of the network card]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub numa_node: Option<u32>,
}

impl NumaArgs {
    /// What that asks for.
    #[must_use]
    pub const fn choice(&self) -> Choice {
        match self {
            Self { no_numa: true, .. } => Choice::Off,
            Self { numa_node: Some(node), .. } => Choice::Node(*node),
            Self { numa_node: None, .. } => Choice::Auto,
        }
    }
}
