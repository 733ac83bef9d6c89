//! Waiting for files to change: the one watcher, for all who wait. A change means "look again", never "this happened": events are
//! lost, doubled and merged, so what they say is not read.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::tools::clock;

/// How long to wait for an event before looking anyway, while every directory is watched.
const SLOW_POLL: Duration = Duration::from_secs(20);
/// How often to look when one is not: no inotify instance is left, or no watch.
const FAST_POLL: Duration = Duration::from_millis(250);

/// What rings: something in a directory, or the directory itself, is not what it was. That somebody reads is no change, so looking
/// rings nothing. Where the queue runs over the kernel says so whatever is asked for, and that rings as well.
const RINGS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Watches directories. Works without inotify too: then it looks four times a second.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<AsyncFd<File>>,
    /// What the kernel calls the watch of each directory.
    watched: HashMap<PathBuf, i32>,
    slow: Duration,
}

impl Watch {
    /// A watch of no directory yet.
    pub fn new() -> Self {
        Self::every(SLOW_POLL)
    }

    /// One that looks at least every `slow`, for what no file tells.
    pub fn every(slow: Duration) -> Self {
        Self { inotify: None, watched: HashMap::new(), slow }
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
        let none = Watching { anew: false, complete: false };
        if self.inotify.is_none() {
            // One that was missing may be there now: others have ended.
            self.inotify = open().ok();
        }
        let Some(inotify) = &self.inotify else { return none };
        let mut now = HashMap::new();
        let mut found = Watching { anew: false, complete: false };
        let mut failed = false;
        for dir in dirs {
            // The same directory has the same watch; another one that took its place, or its number, has another.
            match inotify::add_watch(inotify.get_ref(), dir, RINGS) {
                Ok(watch) => {
                    found.anew |= self.watched.get(dir) != Some(&watch);
                    now.insert(dir.clone(), watch);
                }
                Err(rustix::io::Errno::NOENT) => {}
                Err(_) => failed = true,
            }
        }
        for watch in self.watched.values().filter(|old| !now.values().any(|watch| watch == *old)) {
            // It may have gone with its directory; that it cannot be ended is no error.
            inotify::remove_watch(inotify.get_ref(), *watch).ok();
        }
        found.complete = !failed && !now.is_empty();
        self.watched = now;
        found
    }

    /// Completes when something rang.
    async fn rung(&self) {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        let Ok(mut guard) = inotify.readable().await else { return std::future::pending().await };
        let mut events = [0; 4096];
        while inotify.get_ref().read(&mut events).is_ok_and(|read| read > 0) {}
        guard.clear_ready();
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

fn open() -> io::Result<AsyncFd<File>> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    #[expect(deprecated, reason = "its successor needs unsafe code; a File is the case that is sound")]
    AsyncFd::with_interest(File::from(inotify), Interest::READABLE)
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

    /// Whether something has rung by now.
    async fn has_rung(watch: &Watch) -> bool {
        tokio::select! {
            biased;
            () = watch.rung() => true,
            () = async { for _ in 0..3 { tokio::task::yield_now().await } } => false,
        }
    }

    #[test]
    fn what_is_written_rings_and_what_is_read_does_not() {
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
            fs::write(&one, "x").unwrap();
            watch.rung().await;
            fs::read(&one).unwrap();
            fs::read_dir(&dir).unwrap().count();
            assert_eq!(watch.watch(&dirs), AS_BEFORE);
            assert!(!has_rung(&watch).await);
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
            // That a watch was ended is told as well.
            watch.rung().await;
            fs::write(dirs[1].join("x"), "").unwrap();
            assert!(!has_rung(&watch).await);
            assert_eq!(watch.watch(&dirs), ANEW);
        });
    }

    #[test]
    fn a_queue_that_runs_over_rings() {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        within(async |dir| {
            let mut watch = Watch::new();
            watch.watch(std::slice::from_ref(&dir));
            for n in 0..=limit {
                let file = dir.join((n % 2).to_string());
                fs::write(&file, "x").unwrap();
                fs::remove_file(&file).unwrap();
            }
            watch.rung().await;
            assert!(!has_rung(&watch).await, "once");
            fs::write(dir.join("x"), "").unwrap();
            watch.rung().await;
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
            let over = watch.until(&dirs, Some(clock::tick()), || Ok::<Option<()>, io::Error>(None));
            assert_eq!(over.await.unwrap(), None);
        });
    }
}
