//! Dying everywhere: the program is made to die at each of its crash points and system calls, and what is left must be
//! told truly, go on, and be cleared away, with nothing of the user's touched. `shell/sweep` runs all of it; a plain test
//! run takes a sample.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "tests prepare the world and look at it from outside; a test that fails panics"
)]

mod actor;
mod case;
mod check;
mod delivery;
mod dice;
mod engine;
mod family;
#[path = "../it/forge.rs"]
#[allow(dead_code, reason = "the sweep uses a part of it")]
mod forge;
#[path = "../it/house.rs"]
#[allow(dead_code, reason = "the sweep uses a part of it")]
mod house;
mod mail;
mod merging;
mod points;
mod power;
mod random;
mod recover;
mod reservations;
mod scenarios;
mod stage;
mod syscalls;
mod tasks;

/// The word after `name` in what `shell/sweep` passes on.
fn option(name: &str) -> Option<String> {
    std::env::var(format!("SWEEP_{name}")).ok().filter(|v| !v.is_empty())
}

#[test]
fn a_sample_of_deaths() {
    let mut choice = engine::Choice::all();
    choice.syscalls = false;
    choice.sample = Some((1, 48));
    engine::sweep(&choice);
}

#[test]
#[ignore = "shell/sweep runs it: it takes minutes"]
fn everything() {
    let only = option("ONLY");
    let calls = option("KINDS").is_none_or(|kinds| kinds.contains("syscalls"));
    for (name, sweep) in [("mail", mail::sweep as fn(bool)), ("reservations", reservations::sweep)] {
        if only.as_deref().is_none_or(|only| only == name) {
            sweep(calls);
        }
    }
    if !matches!(only.as_deref(), Some("mail" | "reservations")) {
        engine::sweep(&engine::Choice::asked());
    }
}

#[test]
#[ignore = "shell/sweep --random runs it"]
fn at_random() {
    random::rounds();
}

#[test]
#[ignore = "shell/sweep --power runs it: it needs root and a loop device"]
fn power_cuts() {
    power::rounds();
}
