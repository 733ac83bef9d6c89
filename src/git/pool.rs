//! A worktree that is there before it is asked for: its files, made when nobody waited, become those of a new worktree by one rename.
//!
//! A pool is a directory of ours for one repository; git knows nothing of what is in it. What a name in it says:
//!
//! ```text
//! <id>               ready: tree/ (the files of a commit), index (as git writes one), made (what it depends on)
//! new-<id>           being made, by whoever holds the lock of the pool, or half made
//! of-<owner>-<id>    taken by that agent: being proved, or not used, or what was left of it
//! gone-<id>          being deleted
//! ```
//!
//! Each comes from the one before by a rename, so two never take the same, and whatever dies leaves what can be told apart. What is
//! taken is believed in nothing ([`super::pool_proof`]). [`super::pool_make`] makes them, and deletes what is of no use.

use super::command::GitEnv;
use super::copyable::{index_is_plain, refused_by_settings};
use super::eyes_git2::failed;
use super::fill::{attributes, settings};
use super::index_bytes::{self, Line};
use super::pool_proof::Shape;
use super::register;
use super::settings::ForWorktrees;
use super::tree_distance::differing;
use super::worktree::{self, Worktree};
use super::{Error, Result, disk};
use crate::model::entry::Filled;
use crate::rules::pool::most_changed;
use crate::tools::{crash, journal, process};
use git2::Repository;
use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// What an index may have; one of so many files as anybody keeps ready is far below.
const INDEX_MAX: u64 = 1 << 30;

/// What a tree in a pool depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// 1.
    pub(super) format: u32,
    /// The commit whose files these are.
    pub(super) commit: String,
    /// How many they are.
    pub(super) files: u64,
    /// The repository's common directory.
    #[serde(with = "crate::model::ids::path")]
    pub(super) common_dir: PathBuf,
    /// The umask it was made under.
    pub(super) umask: u32,
    /// The boot it was made in: what a power cut leaves of files that nobody synced is no tree of ours.
    pub(super) boot: String,
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
}

impl Made {
    /// What the tree at `entry` depends on; `None` if that cannot be read.
    pub(super) fn read(entry: &Path) -> Result<Option<Self>> {
        let bytes = disk::read_small(&entry.join("made"))?;
        let json = bytes.as_deref().and_then(|line| journal::unframe(line).ok());
        Ok(json.and_then(|json| serde_json::from_slice(json).ok()))
    }

    /// Whether anybody could use it at all.
    pub(super) fn is_sound(&self) -> bool {
        self.format == 1 && process::boot().is_ok_and(|boot| boot == self.boot)
    }

    /// Whether a worktree that is made now would be made alike.
    pub(super) fn holds(&self, common_dir: &Path) -> bool {
        self.is_sound() && self.common_dir == common_dir && Some(self.umask) == process::umask()
    }
}

/// What came of the wish for a tree that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The worktree is filled.
    Filled(Filled),
    /// It is as it was. If there was a tree: why it was not used.
    No(Option<String>),
}

/// Why a tree is not used.
struct Doubt(String);

impl From<Error> for Doubt {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

fn doubt(why: &str) -> Doubt {
    Doubt(why.to_owned())
}

/// Fills a worktree that [`worktree::add`] made, and in which nothing is yet, with a tree of `pool`, if there is one of its commit or one
/// that is near. The result is that of a plain `git worktree add`, but for the times of the files. `owner` is who it is for: by that
/// what is taken is found if we die, or if it was of no use.
///
/// Ends within moments, with [`Error::BrokenOff`], once `stop` is set. Where it says no, or fails, [`super::fill`] does the rest.
pub fn take(
    env: &GitEnv,
    worktree: &Worktree,
    pool: &Path,
    owner: &str,
    known: Option<&ForWorktrees>,
    stop: &AtomicBool,
) -> Result<Taken> {
    // Mostly there is nothing, and then this is all.
    let ready = ready(pool)?;
    if ready.is_empty() {
        return Ok(Taken::No(None));
    }
    let taken = choose(worktree, pool, owner, ready).and_then(|chosen| match chosen {
        Some(chosen) => chosen.fill(env, worktree, known, stop).map(Some),
        None => Ok(None),
    });
    if stop.load(Ordering::Relaxed) {
        return Err(Error::BrokenOff);
    }
    Ok(match taken {
        Ok(Some(filled)) => Taken::Filled(filled),
        Ok(None) => Taken::No(None),
        Err(Doubt(why)) => Taken::No(Some(why)),
    })
}

/// The trees that are ready.
pub(super) fn ready(pool: &Path) -> Result<Vec<PathBuf>> {
    let names = disk::names(pool)?.unwrap_or_default();
    let ids =
        names.into_iter().filter(|name| name.to_str().is_some_and(|name| Uuid::parse_str(name).is_ok()));
    Ok(ids.map(|name| pool.join(name)).collect())
}

/// A tree that is ours.
struct Chosen {
    place: PathBuf,
    made: Made,
    repository: Repository,
    /// How many files of it differ from the commit that is wanted.
    changed: u64,
}

/// Takes the tree that is nearest to the commit of the worktree; `None` if none is near, or somebody else was faster.
fn choose(
    worktree: &Worktree,
    pool: &Path,
    owner: &str,
    ready: Vec<PathBuf>,
) -> Result<Option<Chosen>, Doubt> {
    let private = |meta: &std::fs::Metadata| {
        let closed = Mode::from_raw_mode(meta.mode()).intersection(Mode::RWXG | Mode::RWXO).is_empty();
        meta.is_dir() && closed && meta.uid() == rustix::process::getuid().as_raw()
    };
    if !disk::look(pool)?.as_ref().is_some_and(private) {
        return Err(doubt("others may write in its directory"));
    }
    let repository = worktree::open(worktree)?.ok_or_else(|| doubt("git alone reads the repository"))?;
    let head = repository.head().and_then(|head| head.peel_to_commit()).map_err(failed("read HEAD"))?.id();
    let mut near = Vec::new();
    for entry in ready {
        // Who makes trees throws away what cannot be read, or was made otherwise.
        let Some(made) = Made::read(&entry)?.filter(|made| made.holds(&worktree.common_dir)) else {
            continue;
        };
        let Some(changed) = distance(&repository, &made, head) else { continue };
        near.push((changed, entry, made));
    }
    near.sort_by_key(|(changed, ..)| *changed);
    for (changed, entry, made) in near {
        let Some(id) = entry.file_name().and_then(|name| name.to_str()) else { continue };
        let place = pool.join(format!("of-{owner}-{id}"));
        match disk::rename_new(&entry, &place) {
            Ok(()) => return Ok(Some(Chosen { place, made, repository, changed })),
            Err(_) if disk::look(&entry)?.is_none() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// How many files of the tree are others in `wanted`; `None` if they are too many for a start.
pub(super) fn distance(repository: &Repository, made: &Made, wanted: git2::Oid) -> Option<u64> {
    let at = git2::Oid::from_str(&made.commit).ok()?;
    if at == wanted {
        return Some(0);
    }
    differing(repository, at, wanted, most_changed(made.files))
}

impl Chosen {
    /// Proves the tree, and puts it in the place of the worktree.
    fn fill(
        self,
        env: &GitEnv,
        worktree: &Worktree,
        known: Option<&ForWorktrees>,
        stop: &AtomicBool,
    ) -> Result<Filled, Doubt> {
        crash::point(|| "git room: a tree of the pool is taken");
        let index = disk::read_up_to(&self.place.join("index"), INDEX_MAX)?.unwrap_or_default();
        let lines = index_bytes::lines(&index).ok_or_else(|| doubt("its index is not as we write one"))?;
        let tree = self.place.join("tree");
        let (settings, proved) = std::thread::scope(|scope| {
            let ask = || settings(env, worktree, known);
            let asked = std::thread::Builder::new().spawn_scoped(scope, ask).ok();
            let proved = self.proved(&lines, &tree, worktree, stop);
            (asked.and_then(|asked| asked.join().ok()), proved)
        });
        let index = proved?;
        self.settled(env, worktree, &settings.ok_or_else(|| doubt("no thread could be started"))??)?;
        self.install(env, &tree, worktree, &index)?;
        if self.changed > 0 {
            worktree::complete(env, worktree)?;
        }
        Ok(Filled::Pooled { files: lines.len() as u64, by_git: self.changed })
    }

    /// Fails if something that was said since the tree was made forbids what was done to make it.
    fn settled(&self, env: &GitEnv, worktree: &Worktree, settings: &[(String, String)]) -> Result<(), Doubt> {
        if let Some(why) = refused_by_settings(settings) {
            return Err(Doubt(why));
        }
        if !index_is_plain(settings) {
            return Err(doubt("the index is to be of another kind"));
        }
        // Those of the tree were looked through when it was made, and are the same.
        attributes(env, worktree, settings, &self.repository, &[])?.map_or(Ok(()), |why| Err(Doubt(why)))
    }

    /// Proves that the tree is the files of its commit; the index of them, written anew from what was proved.
    fn proved(
        &self,
        lines: &[Line<'_>],
        tree: &Path,
        worktree: &Worktree,
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, Doubt> {
        let of_commit = git2::Oid::from_str(&self.made.commit)
            .and_then(|id| self.repository.find_commit(id))
            .map_err(|e| Doubt(e.message().to_owned()))?
            .tree_id();
        let shape = Shape::of(lines).filter(|shape| shape.known.id.as_slice() == of_commit.as_bytes());
        let shape = shape.ok_or_else(|| doubt("its index is not that of its commit"))?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = open(tree, flags, Mode::empty()).map_err(|e| disk::error(tree)(e.into()))?;
        let (ours, there) = (disk::look(tree)?, disk::look(&worktree.path)?);
        let alike = |meta: Option<std::fs::Metadata>| {
            meta.map(|meta| (meta.mode(), meta.uid(), meta.gid(), meta.dev()))
        };
        if alike(ours) != alike(there) {
            return Err(doubt("its directory is of another mode, owner or file system"));
        }
        let threads = process::idle_processors().max(2);
        let (index, found) = std::thread::scope(|scope| {
            let write = || index_bytes::bytes(lines, Some(&shape.known));
            let index = std::thread::Builder::new().spawn_scoped(scope, write).ok();
            let found = shape.doubt(root.as_fd(), self.made.umask, threads, stop);
            (index.and_then(|index| index.join().ok()), found)
        });
        match found {
            Some(why) => Err(Doubt(why)),
            None => index
                .ok_or_else(|| doubt("no thread could be started"))?
                .ok_or_else(|| doubt("it has too many files")),
        }
    }

    /// Lets the tree and the worktree change places, and gives it its index. Until then nothing of the worktree is touched; dying
    /// behind that leaves files without an index, which git writes again.
    fn install(&self, env: &GitEnv, tree: &Path, worktree: &Worktree, index: &[u8]) -> Result<(), Doubt> {
        if disk::look(&worktree.admin_dir.join("index"))?.is_some() || !is_empty(&worktree.path)? {
            return Err(doubt("the worktree is not empty"));
        }
        let lock = worktree.admin_dir.join("index.lock");
        disk::write_new(&lock, index)?;
        let ready = disk::sync(&lock)
            .and_then(|()| register::log(env, worktree, &self.repository))
            .map_err(Doubt::from)
            .and_then(|()| exchange(tree, worktree));
        if let Err(why) = ready {
            disk::remove_file(&lock)?;
            return Err(why);
        }
        disk::rename(&lock, &worktree.admin_dir.join("index"))?;
        // Nothing of it is of use to anybody. What cannot be removed now is by whoever makes the next.
        if worktree::remove_pristine(tree).unwrap_or(false) {
            disk::remove_tree(&self.place).ok();
        }
        Ok(())
    }
}

/// Whether nothing is in a worktree but what leads to its repository.
fn is_empty(path: &Path) -> Result<bool> {
    Ok(disk::names(path)?.is_some_and(|names| names.iter().all(|name| name == ".git")))
}

fn exchange(tree: &Path, worktree: &Worktree) -> Result<(), Doubt> {
    let leads = disk::read_small(&worktree.path.join(".git"))?;
    disk::write_new(&tree.join(".git"), &leads.ok_or_else(|| doubt("the worktree has no .git"))?)?;
    disk::exchange(tree, &worktree.path)?;
    if !is_empty(tree)? {
        // Somebody was in between: what is theirs goes back to where they put it.
        disk::exchange(tree, &worktree.path)?;
        return Err(doubt("the worktree is not empty"));
    }
    Ok(())
}
