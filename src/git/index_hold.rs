//! The index of the user's checkout, held: no git commits, stashes or switches there while files and branch are moved.
//!
//! git says that it is about to write an index by a file `index.lock` beside it, and every other git keeps away from an index that
//! has one. We make that file, do what is to be done with a copy of the index, put the copy in its place while the lock stays, move
//! the branch, and give the lock back last: whoever has waited for it sees all of the move or nothing of it.

use super::command::Git;
use super::{Error, Repository, Result, disk, locks};
use crate::tools::{clock, process};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long other gits that hold the index are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name of the copy, beside the index: so that it can take its place, and has the same clock.
const COPY: &str = "index.ai_orch";
/// In the environment of every git that works on the copy.
const MARK: &str = "AI_ORCH_HOLD";

/// An index that is ours until this is dropped.
pub(super) struct IndexHold<'c> {
    checkout: &'c Repository,
    run: String,
    lock: PathBuf,
    /// The copy.
    own: PathBuf,
}

impl<'c> IndexHold<'c> {
    /// Takes the index of `checkout` for the merge `run`; `None` while another git has it. A lock that `run` left when it was killed, or that
    /// is nobody's, is taken over.
    pub(super) fn take(checkout: &'c Repository, run: &str) -> Result<Option<Self>> {
        let lock = checkout.git_dir().join("index.lock");
        if !let_go(checkout, run)? || !made(&lock, run)? {
            let is_gone = locks::settled(&lock, PATIENCE)?;
            if !is_gone || !made(&lock, run)? {
                return Ok(None);
            }
        }
        let hold = Self { checkout, run: run.to_owned(), lock, own: checkout.git_dir().join(COPY) };
        hold.copy()?;
        Ok(Some(hold))
    }

    /// The copy as the index is now.
    fn copy(&self) -> Result<()> {
        disk::remove_file(&self.own.with_extension("ai_orch.lock"))?;
        disk::remove_file(&self.own)?;
        disk::copy_with_time(&self.checkout.git_dir().join("index"), &self.own).map(|_| ())
    }

    /// The checkout.
    pub(super) fn checkout(&self) -> &'c Repository {
        self.checkout
    }

    /// A command in the checkout, on the copy.
    pub(super) fn git(&self) -> Git {
        self.checkout.git().env("GIT_INDEX_FILE", &self.own).env(MARK, &self.run)
    }

    /// Puts the copy in the place of the index, and goes on with another one.
    pub(super) fn install(&self) -> Result<()> {
        disk::rename(&self.own, &self.checkout.git_dir().join("index"))?;
        self.copy()
    }
}

impl Drop for IndexHold<'_> {
    fn drop(&mut self) {
        for path in [&self.own.with_extension("ai_orch.lock"), &self.own, &self.lock] {
            if let Err(error) = disk::remove_file(path) {
                tracing::warn!(%error, "is left of a hold on an index");
            }
        }
    }
}

/// Makes the lock; false if there is one.
fn made(lock: &std::path::Path, run: &str) -> Result<bool> {
    match disk::write_new(lock, word(run).as_bytes()) {
        Ok(()) => Ok(true),
        Err(Error::Disk { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a lock of ours says, to programs and to whoever looks into it.
fn word(run: &str) -> String {
    format!("held by ai_orch merge {run}; if that was killed: ai_orch merge --continue\n")
}

/// Removes the lock that `run` left when it was killed, when no git that it started is at work any more. False if one is.
/// The caller is the only one who does anything for `run`.
pub(super) fn let_go(checkout: &Repository, run: &str) -> Result<bool> {
    let lock = checkout.git_dir().join("index.lock");
    if disk::read_small(&lock)?.is_some_and(|said| said == word(run).as_bytes()) {
        let Ok(gits) = process::belonging(&[format!("{MARK}={run}")], None) else { return Ok(false) };
        let end = clock::tick() + PATIENCE;
        let has_ended =
            |git| process::wait_for_end(git, end.saturating_duration_since(clock::tick())).unwrap_or(false);
        if !gits.iter().all(has_ended) {
            return Ok(false);
        }
        for left in [&format!("{COPY}.lock"), COPY] {
            disk::remove_file(&checkout.git_dir().join(left))?;
        }
        disk::remove_file(&lock)?;
    }
    Ok(true)
}
