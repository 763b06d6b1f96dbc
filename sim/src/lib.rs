//! The simulator: the core's own sessions under virtual time (SIM-1).
//!
//! ```text
//! rng      one stream of randomness per component and purpose
//! crypto   fast, deterministic stand-ins for the core's traits
//! link     one direction of a path, and its faults          network  links joined, datagrams on their way
//! endpoint the core's Device over the network               bulk     an application that knows what it should get
//! survey   surveys of a network whose hosts answer by a rule
//! supply   an application that has its bytes bit by bit
//! host     worker + application + endpoint                  run      from event to event
//! faults   faults one by one, and scripts of them          planted  bugs that prove that the alarm works
//! checks   what must hold whatever the scenario            swarm    scenarios drawn at random
//! lines    what is wrong with a line, in words for people
//! scenario files that say what to run and what to expect   metrics  what is measured, and the report
//! plot     what happened, drawn
//! shrink   from a failing scenario to a small one
//! ```
//! A run is a function of its scenario and its seed: the same pair gives the same trace hash (SIM-3).

pub mod bulk;
pub mod checks;
pub mod content;
pub mod crypto;
pub mod endpoint;
pub mod faults;
pub mod host;
pub mod lines;
pub mod link;
pub mod metrics;
pub mod network;
pub mod planted;
pub mod plot;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod supply;
pub mod survey;
pub mod swarm;
