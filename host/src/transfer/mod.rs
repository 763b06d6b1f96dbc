//! Moving files: what is to be moved, how it lies in the data stream, and how it gets from one disk to the other.
//!
//! The sender walks its arguments ([`walk`]) into a [`manifest`]; the receiver examines its directory ([`store`]) and
//! answers with a [`want`] list; from these two, both sides compute the same [`plan`] of the data stream.

mod dirs;
pub mod failure;
pub mod generated;
pub mod incoming;
pub mod intake;
pub mod job;
mod journal;
pub mod keys;
pub mod manifest;
pub mod message;
mod os;
pub mod outgoing;
pub mod path;
pub mod plan;
pub mod progress;
pub mod receiver;
pub mod sender;
pub mod source;
pub mod store;
pub mod streams;
pub mod ticket;
pub mod tree;
mod varint;
pub mod walk;
pub mod want;
