//! The network survey: what is asked of whom, in which order, how fast, and whether it may be (SCAN-1 to SCAN-6).
//!
//! A survey is a product: `addresses x probes`. An element of it is a number; [`order`] says which comes when, [`walk`] cuts that
//! order into the parts of shards and workers, [`targets`] and [`ports`] say what an element stands for, [`subnets`] when a packet
//! may go there, and [`policy`] whether it may at all. [`routes`] knows which way it goes, and a [`wire::Wire`] takes it there. A
//! [`Survey`] is all of this for one worker. None of them keeps anything that grows with the number of elements.
//!
//! Nor is anything remembered of a probe that was sent. What an answer must bring back is a keyed function of the address and the
//! port that were probed ([`cookie`]), so that an answer is told from anything else with that key alone (SCAN-3):
//!
//! ```text
//! address, probe --Key--> Cookie --Sender--> frame ~~~~> the target, or a router on the way
//!                                                              |
//! Window: first, better, again <-- Reply <--Judge-- frame <~~~~'
//! ```
//!
//! [`link`] finds the link-layer addresses of hosts on the link.

pub mod cap;
pub mod cookie;
pub mod dedup;
pub mod ears;
pub mod link;
pub mod order;
pub mod parked;
pub mod payload;
pub mod policy;
pub mod ports;
pub mod probe;
pub mod reply;
pub mod routes;
pub mod subnets;
pub mod survey;
pub mod targets;
pub mod walk;
pub mod wire;

pub use cap::Cap;
pub use cookie::{Cookie, Key};
pub use dedup::{Seen, Window};
pub use ears::{Ears, HeardCounters};
pub use link::{Link, NeighbourSlot, Neighbours, write_request};
pub use order::Order;
pub use parked::Parked;
pub use payload::MAX_CONTACT_BYTES;
pub use policy::{AllowList, Refusal, Refused};
pub use ports::{Probe, Protocol};
pub use probe::{Header, MAX_PROBE_BYTES, PortWindow, Sender};
pub use reply::{Class, Heard, Judge, NoReply, Reply};
pub use routes::{Hop, LinkKind, Routes};
pub use subnets::{SubnetSlot, Subnets};
pub use survey::{Outside, Pace, Plan, SentCounters, Storage, Survey, Turn};
pub use targets::{Run, Targets};
pub use walk::{Course, CourseError, Shard, ShardError, Step, Walk};
pub use wire::Wire;
