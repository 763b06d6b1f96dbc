//! Moving files: what is to be moved, how it lies in the data stream, and how it gets from one disk to the other.
//!
//! The sender walks its arguments ([`walk`]) into a [`manifest`]; the receiver examines its directory ([`store`]) and
//! answers with a [`want`] list; from these two, both sides compute the same [`plan`] of the data stream.
//!
//! What touches files is for Unix alone: it goes through directories by descriptor and never through a symlink.

pub mod blocks;
#[cfg(unix)]
pub mod claims;
#[cfg(unix)]
mod dirs;
#[cfg(unix)]
pub mod failure;
pub mod generated;
#[cfg(unix)]
pub mod incoming;
#[cfg(unix)]
pub mod intake;
#[cfg(unix)]
pub mod job;
#[cfg(unix)]
pub mod jobs;
#[cfg(unix)]
mod journal;
pub mod keys;
pub mod manifest;
pub mod message;
#[cfg(unix)]
pub mod outgoing;
pub mod path;
pub mod plan;
#[cfg(unix)]
pub mod policy;

#[cfg(unix)]
pub mod quota;
#[cfg(unix)]
pub mod receiver;
#[cfg(unix)]
pub mod sender;
#[cfg(unix)]
pub mod source;
#[cfg(unix)]
pub mod store;
pub mod streams;
#[cfg(unix)]
pub mod telling;
pub mod ticket;
pub mod tree;
mod varint;
#[cfg(unix)]
pub mod walk;
pub mod want;
#[cfg(unix)]
pub mod watch;
