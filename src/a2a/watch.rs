//! Waiting for files to change: the one watcher, for all who wait. A change means "look again", never "this happened": events are
//! lost, doubled and merged, so what they say is not read.

use notify::event::RemoveKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

use crate::tools::clock;
use crate::tools::file::{self, Identity};

/// How long to wait for an event before looking anyway, while every directory is watched.
const SLOW_POLL: Duration = Duration::from_secs(20);
/// How often to look when one is not: no inotify instance is left, or no watch.
const FAST_POLL: Duration = Duration::from_millis(250);

/// What the thread of the watcher and whoever waits share.
#[derive(Debug, Default)]
struct Shared {
    bell: Notify,
    /// A directory is gone, and its watch with it: another one may have taken its place, and even its number.
    gone: AtomicBool,
}

impl Shared {
    fn hear(&self, event: &notify::Result<Event>) {
        let gone = match event {
            // The kernel had more to tell than it could keep: that a directory is gone may have been among it.
            Ok(event) if event.need_rescan() => true,
            // Reading a file is an event too, and ours: answering it would ring for ever.
            Ok(Event { kind: EventKind::Access(_), .. }) => return,
            Ok(Event { kind: EventKind::Remove(kind), .. }) => {
                matches!(kind, RemoveKind::Folder | RemoveKind::Other | RemoveKind::Any)
            }
            // An error rings as well.
            Ok(_) | Err(_) => false,
        };
        if gone {
            self.gone.store(true, Ordering::Release);
        }
        self.bell.notify_one();
    }
}

/// Watches directories. Works without inotify too: then it looks four times a second.
pub struct Watch {
    shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    /// The directories that are watched, and which they were.
    watched: HashMap<PathBuf, Identity>,
    slow: Duration,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Watch {
    /// A watch of no directory yet.
    pub fn new() -> Self {
        Self::every(SLOW_POLL)
    }

    /// One that looks at least every `slow`, for what no file tells.
    pub fn every(slow: Duration) -> Self {
        Self { shared: Arc::default(), watcher: None, watched: HashMap::new(), slow }
    }

    /// Returns when something in `dirs` may have changed, and every few seconds; at once if one of them was not watched before: what
    /// happened in it until now rang nothing. So: look, call this, look again. Those of an earlier call that are not among
    /// `dirs` are not watched any more; one that is not there is, as soon as it is there when this is called.
    ///
    /// To be called in a runtime, always the same one. Nothing is lost if it is dropped.
    pub async fn changed(&mut self, dirs: &[PathBuf]) {
        let Watching { anew, complete } = self.watch(dirs);
        if anew {
            return;
        }
        let limit = if complete { self.slow } else { self.slow.min(FAST_POLL) };
        clock::within(limit, self.rung()).await;
    }

    /// What `look` finds, as soon as it finds something; `None` if it has not by `deadline`. It looks first, and again whenever
    /// something in `dirs` may have changed.
    pub async fn until<T, E>(
        &mut self,
        dirs: &[PathBuf],
        deadline: Option<Instant>,
        mut look: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        loop {
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            if deadline.is_some_and(|deadline| deadline <= clock::tick()) {
                return Ok(None);
            }
            tokio::select! {
                () = self.changed(dirs) => {}
                // One more look: what came just before rang too.
                () = clock::at(deadline) => {}
            }
        }
    }

    /// Watches `dirs`, and nothing else.
    fn watch(&mut self, dirs: &[PathBuf]) -> Watching {
        let mut found = Watching { anew: false, complete: false };
        if self.watcher.is_none() {
            // One that could not be had may be there now: others have ended.
            self.watcher = open(&self.shared);
        }
        let Some(watcher) = &mut self.watcher else { return found };
        let gone = self.shared.gone.swap(false, Ordering::AcqRel);
        let there: Vec<(&Path, Identity)> =
            dirs.iter().filter_map(|dir| Some((dir.as_path(), file::identity(dir).ok()??))).collect();
        self.watched.retain(|dir, known| {
            let stays = !gone && there.contains(&(dir.as_path(), *known));
            if !stays {
                // It may have gone with its directory; that it cannot be ended is no error.
                watcher.unwatch(dir).ok();
            }
            stays
        });
        for (dir, identity) in &there {
            if !self.watched.contains_key(*dir) && watcher.watch(dir, RecursiveMode::NonRecursive).is_ok() {
                self.watched.insert((*dir).to_owned(), *identity);
                found.anew = true;
            }
        }
        found.complete = !there.is_empty() && there.iter().all(|(dir, _)| self.watched.contains_key(*dir));
        found
    }

    /// Completes when something rang.
    async fn rung(&self) {
        self.shared.bell.notified().await;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// How much of what was asked for is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watching {
    /// A directory is watched that was not before.
    anew: bool,
    /// Every directory that is there is watched, and one is.
    complete: bool,
}

/// A watcher of no directory; `None` if there is no inotify instance left for it, or no thread.
fn open(shared: &Arc<Shared>) -> Option<RecommendedWatcher> {
    let ear = Arc::clone(shared);
    let holders = Arc::strong_count(shared);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| ear.hear(&event)).ok()?;
    // Its thread holds the other end of the bell; the library does not say that it could not start it, and panics when such
    // a watcher is used, or dropped.
    if Arc::strong_count(shared) < holders {
        std::mem::forget(watcher);
        return None;
    }
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ANEW: Watching = Watching { anew: true, complete: true };
    const AS_BEFORE: Watching = Watching { anew: false, complete: true };

    /// Does `what` in a runtime. Where it waits for a ring that never comes, it does not end.
    fn within(what: impl AsyncFnOnce(PathBuf)) {
        let dir = tempfile::tempdir().unwrap();
        crate::tools::runtime::runtime().unwrap().block_on(what(dir.path().to_owned()));
    }

    /// Rings until nothing has rung for a moment: what was done before is told late, and more than once.
    async fn quiet(watch: &Watch) {
        while clock::within(MOMENT, watch.rung()).await.is_some() {}
    }

    /// Long enough for what rings to be heard.
    const MOMENT: Duration = Duration::from_millis(200);

    #[test]
    fn what_is_read_or_was_not_asked_for_rings_nothing() {
        within(async |dir| {
            let dirs = ["asked", "before"].map(|name| dir.join(name));
            for dir in &dirs {
                fs::create_dir(dir).unwrap();
                fs::write(dir.join("x"), "x").unwrap();
            }
            let mut watch = Watch::new();
            watch.watch(&dirs);
            assert_eq!(watch.watch(&dirs[..1]), AS_BEFORE);
            quiet(&watch).await;
            for silent in [
                &(|| drop(fs::read(dirs[0].join("x")).unwrap())) as &dyn Fn(),
                &|| assert_eq!(fs::read_dir(&dirs[0]).unwrap().count(), 1),
                &|| fs::write(dirs[1].join("x"), "y").unwrap(),
                &|| fs::write(dir.join("beside"), "y").unwrap(),
            ] {
                silent();
                assert_eq!(clock::within(MOMENT, watch.rung()).await, None);
            }
            fs::write(dirs[0].join("x"), "y").unwrap();
            watch.rung().await;
        });
    }

    #[test]
    fn that_somebody_reads_rings_nothing() {
        let shared = Shared::default();
        shared.hear(&Ok(Event::new(EventKind::Access(notify::event::AccessKind::Open(
            notify::event::AccessMode::Any,
        )))));
        within(async |_| {
            tokio::select! {
                biased;
                () = shared.bell.notified() => panic!("it rang"),
                () = tokio::task::yield_now() => {}
            }
            shared.hear(&Ok(Event::new(EventKind::Any)));
            shared.bell.notified().await;
        });
    }

    #[test]
    fn what_is_written_rings() {
        within(async |dir| {
            let mut watch = Watch::new();
            let dirs = [dir.clone()];
            assert_eq!(watch.watch(&dirs), ANEW);
            let (one, two) = (dir.join("one"), dir.join("two"));
            for change in [
                &(|| fs::write(&one, "x").unwrap()) as &dyn Fn(),
                &|| fs::write(&one, "more").unwrap(),
                &|| fs::rename(&one, &two).unwrap(),
                &|| fs::remove_file(&two).unwrap(),
            ] {
                change();
                watch.rung().await;
            }
            assert_eq!(watch.watch(&dirs), AS_BEFORE);
        });
    }

    #[test]
    fn another_directory_in_the_place_of_one_is_watched_anew() {
        within(async |dir| {
            let mut watch = Watch::new();
            let dirs = [dir.join("a")];
            assert_eq!(watch.watch(&dirs), Watching { anew: false, complete: false }, "there is none");
            for _ in 0..3 {
                fs::create_dir(&dirs[0]).unwrap();
                assert_eq!(watch.watch(&dirs), ANEW);
                assert_eq!(watch.watch(&dirs), AS_BEFORE);
                fs::remove_dir(&dirs[0]).unwrap();
                watch.rung().await;
            }
            fs::write(&dirs[0], "").unwrap();
            assert_eq!(watch.watch(&dirs), Watching { anew: false, complete: false }, "a file is none");
        });
    }

    #[test]
    fn only_what_was_asked_for_last_is_watched() {
        within(async |dir| {
            let dirs = ["a", "b"].map(|name| dir.join(name));
            for dir in &dirs {
                fs::create_dir(dir).unwrap();
            }
            let mut watch = Watch::new();
            assert_eq!(watch.watch(&dirs), ANEW);
            assert_eq!(watch.watch(&dirs[..1]), AS_BEFORE);
            fs::write(dirs[1].join("x"), "").unwrap();
            assert_eq!(watch.watch(&dirs), ANEW);
        });
    }

    #[test]
    fn a_queue_that_runs_over_rings_and_every_directory_is_watched_anew() {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        within(async |dir| {
            let mut watch = Watch::new();
            let dirs = [dir.clone()];
            watch.watch(&dirs);
            for n in 0..=limit {
                let file = dir.join((n % 2).to_string());
                fs::write(&file, "x").unwrap();
                fs::remove_file(&file).unwrap();
            }
            watch.rung().await;
            let shared = Arc::clone(&watch.shared);
            shared.hear(&Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
            assert_eq!(watch.watch(&dirs), ANEW, "that one of them is gone may be what was not told");
        });
    }

    #[test]
    fn it_looks_until_it_finds_or_the_time_is_over() {
        within(async |dir| {
            let file = dir.join("x");
            let dirs = [dir.clone()];
            let mut looks = 0;
            let mut watch = Watch::new();
            let found = watch.until(&dirs, None, || {
                looks += 1;
                match looks {
                    // It comes after the look that misses it.
                    1 => fs::write(&file, "1").map(|()| None),
                    _ => Ok(file.exists().then_some(looks)),
                }
            });
            assert_eq!(found.await.unwrap(), Some(2));
            let over = watch.until(&dirs, Some(clock::tick()), || Ok::<Option<()>, std::io::Error>(None));
            assert_eq!(over.await.unwrap(), None);
        });
    }
}
