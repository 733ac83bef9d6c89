//! Everything that is tested through the real thing: the binary, tmux, git and processes, in a private home.
//!
//! One binary, so that it links once; one file per subject. `forgotten.rs` fails when a file is not listed here.

#![allow(
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::items_after_statements,
    clippy::maybe_infinite_iter,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unnecessary_debug_formatting,
    missing_docs,
    unreachable_pub,
    reason = "tests prepare the world and look at it from outside; a test that fails panics"
)]

mod exits;
mod fakes;
mod features;
mod forgotten;
mod hostile;
#[allow(dead_code, reason = "the next tests use it")]
mod house;
mod layers;
mod repositories;
mod run;
mod typing;
