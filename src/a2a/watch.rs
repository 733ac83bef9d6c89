//! Waiting for files to change. A change means "look again", never "this happened": events are lost, doubled and merged.

use super::Result;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

use crate::tools::clock;
use crate::tools::file::{self, Identity};

/// How long to wait for an event before looking anyway, while the watcher works. Each look costs a follower at rest a
/// handful of wake-ups: its own, and the watcher's for every file that it opens.
const SLOW_POLL: Duration = Duration::from_secs(20);
/// How often to look when there is no watcher (no inotify instance left).
const FAST_POLL: Duration = Duration::from_millis(250);

/// Watches directories that exist.
pub struct Watch {
    bell: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// The directories, and which they are: another one may take the place of one that is gone.
    watched: Vec<(PathBuf, Identity)>,
    complete: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("watched", &self.watched)
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// A watch of no directory. Works without inotify too: then it looks four times a second. The same where no thread can
    /// be started, which the library underneath would panic for.
    pub fn new() -> Self {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let watch = || {
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Reading a file is an event too, and ours: answering it would ring for ever.
                if !event.is_ok_and(|e| e.kind.is_access()) {
                    ring.notify_one();
                }
            })
        };
        let watcher = watch().ok().and_then(|watcher| {
            // Its thread holds the other end of the bell; the library does not say that it could not start it, and panics when
            // such a watcher is used, or dropped.
            if Arc::strong_count(&bell) > 1 {
                Some(watcher)
            } else {
                std::mem::forget(watcher);
                None
            }
        });
        Self { bell, complete: watcher.is_some(), watcher, watched: Vec::new() }
    }

    /// Watches the directory `dir` as well, if it exists and is not watched yet: also if it was removed and made again. True if the watch begins now: what
    /// happened in it before must be looked for.
    pub fn add(&mut self, dir: &Path) -> Result<bool> {
        let before = self.watched.iter().position(|(path, _)| path == dir);
        let Some(identity) = file::identity(dir)? else {
            if let Some(at) = before {
                self.forget(at);
            }
            return Ok(false);
        };
        if before.and_then(|at| self.watched.get(at)).is_some_and(|(_, known)| *known == identity) {
            return Ok(false);
        }
        if let Some(at) = before {
            self.forget(at);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(false) };
        if watcher.watch(dir, RecursiveMode::NonRecursive).is_ok() {
            self.watched.push((dir.to_owned(), identity));
            return Ok(true);
        }
        // Out of watches: the poll has to do.
        self.complete = false;
        Ok(false)
    }

    /// Ends the watch of a directory that is gone; the last one of all is looked for by and by.
    fn forget(&mut self, at: usize) {
        let (path, _) = self.watched.swap_remove(at);
        if let Some(watcher) = &mut self.watcher {
            // It went with its directory; that it cannot be ended is no error.
            watcher.unwatch(&path).ok();
        }
    }

    /// Returns when something may have changed, and every few seconds.
    pub async fn changed(&self) {
        let limit = if self.complete && !self.watched.is_empty() { SLOW_POLL } else { FAST_POLL };
        clock::within(limit, self.bell.notified()).await;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
