//! What a fetcher does with hosts of every kind, seen through its public face and from the hosts. Nothing leaves loop-back.

mod addresses;
mod answers;
mod connections;
mod limits;
mod manners;
mod retries;
mod support;
mod tls;
