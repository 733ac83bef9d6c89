//! Everything that is tested through the real thing: the binary, tmux, git and processes, in a private home.
//!
//! One binary, so that it links once; one file per subject. `forgotten.rs` fails when a file is not listed here.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "tests prepare the world and look at it from outside; a test that fails panics"
)]

mod attack;
mod brought;
mod clean;
mod clocks;
mod crowd;
mod damage;
mod delegation;
mod delivery;
mod difftool;
mod disk;
mod documents;
mod events;
mod exits;
mod fakes;
mod features;
mod forge;
mod forgotten;
mod guards;
mod hostile;
mod house;
mod identity;
mod keeper;
mod layers;
mod left_out;
mod letters;
mod mcp;
mod merging;
mod pane;
mod places;
mod planted;
mod pool;
mod project_file;
mod repositories;
mod reservations;
mod resume;
mod run;
mod schemas;
mod setup;
mod starved;
mod teardown;
mod together;
mod trust;
mod typing;
mod users;
mod versions;
mod watching;
