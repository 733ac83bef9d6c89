//! Waiting for files to change. A change means "look again", never "this happened": events are lost, doubled and merged.

use super::Result;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

use crate::tools::clock;

/// How long to wait for an event before looking anyway, while the watcher works. Each look costs a follower at rest a
/// handful of wake-ups: its own, and the watcher's for every file that it opens.
const SLOW_POLL: Duration = Duration::from_secs(20);
/// How often to look when there is no watcher (no inotify instance left).
const FAST_POLL: Duration = Duration::from_millis(250);

/// Watches directories that exist.
pub struct Watch {
    bell: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    watched: Vec<PathBuf>,
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

    /// Watches the directory `dir` as well, if it exists and is not watched yet. True if the watch begins now: what
    /// happened in it before must be looked for.
    pub fn add(&mut self, dir: &Path) -> Result<bool> {
        if self.watched.iter().any(|w| w == dir) || !crate::tools::file::is_dir(dir)? {
            return Ok(false);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(false) };
        if watcher.watch(dir, RecursiveMode::NonRecursive).is_ok() {
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
        clock::within(limit, self.bell.notified()).await;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
