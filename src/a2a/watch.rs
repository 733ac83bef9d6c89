//! Waiting for files to change. A change means "look again", never "this happened": events are lost, doubled and merged.
//!
//! Asks the kernel directly: one descriptor and no thread, so that running out of processes costs a follower nothing.

use super::Result;
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::tools::clock;

/// How long to wait for an event before looking anyway, while the watcher works.
const SLOW_POLL: Duration = Duration::from_secs(5);
/// How often to look when there is no watcher (no inotify instance left).
const FAST_POLL: Duration = Duration::from_millis(250);

/// Watches directories that exist.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<AsyncFd<OwnedFd>>,
    watched: Vec<PathBuf>,
    complete: bool,
}

impl Watch {
    /// A watch of no directory. Works without inotify too: then it looks four times a second. To be called in a runtime.
    pub fn new() -> Self {
        let opened = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
        #[expect(
            deprecated,
            reason = "its successor needs unsafe code; an OwnedFd is the case that is sound"
        )]
        let inotify = opened.and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE).ok());
        Self { complete: inotify.is_some(), inotify, watched: Vec::new() }
    }

    /// Watches the directory `dir` as well, if it exists and is not watched yet. True if the watch begins now: what
    /// happened in it before must be looked for.
    pub fn add(&mut self, dir: &Path) -> Result<bool> {
        if self.watched.iter().any(|w| w == dir) || !crate::tools::file::is_dir(dir)? {
            return Ok(false);
        }
        let Some(inotify) = &self.inotify else { return Ok(false) };
        // Not reading a file: that is ours, and answering it would ring for ever.
        let changes = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        if inotify::add_watch(inotify.get_ref(), dir, changes).is_ok() {
            self.watched.push(dir.to_owned());
            return Ok(true);
        }
        // Out of watches: the poll has to do.
        self.complete = false;
        Ok(false)
    }

    /// Returns when something may have changed, and every few seconds.
    pub async fn changed(&self) {
        let limit = if self.complete && !self.watched.is_empty() { SLOW_POLL } else { FAST_POLL };
        clock::within(limit, self.rung()).await;
    }

    /// Completes when the kernel has told of a change; all it has told until then is taken.
    async fn rung(&self) {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        let Ok(mut guard) = inotify.readable().await else { return std::future::pending().await };
        let mut told = [0; 4096];
        while let Ok(1..) | Err(rustix::io::Errno::INTR) = rustix::io::read(inotify.get_ref(), &mut told) {}
        guard.clear_ready();
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
