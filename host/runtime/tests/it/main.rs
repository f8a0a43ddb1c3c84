//! The runtime against real guests: what works, and every limit and rule broken by a hostile one.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    clippy::expect_used,
    reason = "tests"
)]

mod aot;
mod calls;
mod kit;
mod limits;
mod loading;
mod network;
mod server;
mod shipped;
mod wat_guest;
