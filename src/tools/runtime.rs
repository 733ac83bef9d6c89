//! The runtime of whatever waits for several things at once.

use super::process::Error;
use rustix::io::fcntl_dupfd_cloexec;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// How many descriptors a runtime and its signals take.
const NEEDED: usize = 8;
/// How many descriptors it takes to make something: locks, a journal, a watch, a helper program with its pipes.
const TO_MAKE: usize = 24;

/// A runtime on this thread alone.
///
/// It panics where it finds no descriptor for its signals, so that is found out first.
pub fn runtime() -> Result<Runtime, Error> {
    require(NEEDED)?;
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|source| Error { action: "start waiting".to_owned(), source })
}

/// Fails where there are too few descriptors to make something and to take it back if that fails.
pub fn require_descriptors() -> Result<(), Error> {
    require(TO_MAKE)
}

fn require(descriptors: usize) -> Result<(), Error> {
    let taken: Result<Vec<_>, _> = (0..descriptors).map(|_| fcntl_dupfd_cloexec(io::stderr(), 0)).collect();
    let action = || format!("open {descriptors} more files");
    taken.map(drop).map_err(|e| Error { action: action(), source: e.into() })
}
