//! What a fetcher does with hosts of every kind, seen through its public face and from the hosts. Nothing leaves loop-back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod addresses;
mod answers;
mod connections;
mod limits;
mod manners;
mod names;
mod parts;
mod retries;
mod robots;
mod support;
mod tls;
