//! The network survey: what is asked of whom, in which order, how fast, and whether it may be (SCAN-1 to SCAN-6).
//!
//! A survey is a product: `addresses x probes`. An element of it is a number; [`order`] says which comes when, [`walk`] cuts that
//! order into the parts of shards and workers, [`targets`] and [`ports`] say what an element stands for, [`subnets`] when a packet
//! may go there, and [`policy`] whether it may at all. [`routes`] knows which way it goes, and a [`wire::Wire`] takes it there. None of
//! them keeps anything that grows with the number of elements.

pub mod order;
pub mod policy;
pub mod ports;
pub mod routes;
pub mod subnets;
pub mod targets;
pub mod walk;
pub mod wire;

pub use order::Order;
pub use policy::{AllowList, Refusal, Refused};
pub use ports::{Probe, Protocol};
pub use subnets::{SubnetSlot, Subnets};
pub use targets::{Run, Targets};
pub use walk::{Course, CourseError, Shard, ShardError, Step, Walk};
