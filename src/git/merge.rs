//! Bringing one branch into another: the merged commit is made without a checkout, and moving the target is a step of its own.
//!
//! Trees are merged by git itself (`git merge-tree`, git 2.38; with `--rebase` 2.40), in a git directory of ours: no merge driver, hook or
//! filter that a repository or an agent configured is run. Of the attributes of the target those count that need no program
//! (`merge=union`, `-merge`).

use super::anatomy::{Anatomy, tree_of};
use super::command::{Git, GitEnv, option, path, records};
use super::commit::NOBODY;
use super::index_hold::{self, IndexHold};
use super::private::{BareDir, ConfigSnapshot, tree_id};
use super::{CommitId, Error, Repository, Result, Worktree, changes, disk, locks, refs};
use crate::model::merge::How;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The largest beginning of a file that is looked at, in bytes.
const HALF_MAX: u64 = 1 << 20;
/// A write that is cut off ends at the end of a page, in bytes, or of several.
const PAGE: u64 = 4096;

/// What came of a merge that nobody has seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// This commit has both.
    Commit(CommitId),
    /// The target has all of it already.
    Nothing,
    /// Both changed the same, in these files.
    Conflict(Vec<PathBuf>),
    /// The target would have to be merged into, and that was not wanted.
    NotFastForward,
    /// It has merge commits, and what these changed would be lost.
    HasMerges,
}

/// What is said of a merged commit.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// Of a commit with two parents.
    pub merge: &'m str,
    /// Of one commit for all.
    pub squash: &'m str,
}

/// Makes the commit that brings `tip` into `onto`. No ref, index or file changes.
pub fn make(
    repository: &Repository,
    config: &ConfigSnapshot,
    how: How,
    onto: &CommitId,
    tip: &CommitId,
    message: Message<'_>,
) -> Result<Made> {
    let bare = BareDir::new(&repository.env, repository.common_dir(), config)?;
    if holds(repository, onto, tip)? {
        return Ok(Made::Nothing);
    }
    let ahead = holds(repository, tip, onto)?;
    match how {
        How::Merge | How::FfOnly | How::Rebase if ahead => Ok(Made::Commit(tip.clone())),
        How::FfOnly => Ok(Made::NotFastForward),
        How::Merge => match merged(&bare, onto, tip, None)? {
            Tree::Conflict(paths) => Ok(Made::Conflict(paths)),
            Tree::Whole(tree) => {
                let commit = commit(&bare, config, None, &tree, &[onto, tip], message.merge)?;
                Ok(Made::Commit(commit))
            }
        },
        How::Squash => match merged(&bare, onto, tip, None)? {
            Tree::Conflict(paths) => Ok(Made::Conflict(paths)),
            Tree::Whole(tree) if tree_of(repository.eyes(), Some(onto))?.as_deref() == Some(&tree) => {
                Ok(Made::Nothing)
            }
            Tree::Whole(tree) => {
                Ok(Made::Commit(commit(&bare, config, None, &tree, &[onto], message.squash)?))
            }
        },
        How::Rebase => rebased(repository, &bare, config, onto, tip),
    }
}

/// Each commit of `tip` that `onto` does not have, once more on top of it.
fn rebased(
    repository: &Repository,
    bare: &BareDir<'_>,
    config: &ConfigSnapshot,
    onto: &CommitId,
    tip: &CommitId,
) -> Result<Made> {
    let range = format!("{onto}..{tip}");
    let merges = bare.git().args(["rev-list", "--merges", "--max-count=1", "--end-of-options", &range]);
    if !merges.output("look for merge commits")?.is_empty() {
        return Ok(Made::HasMerges);
    }
    let words = ["rev-list", "--reverse", "--topo-order", "--no-merges", "--end-of-options", &range];
    let out = bare.git().output_cap(1 << 26).args(words).output("list the commits to bring in")?;
    let mut top = onto.clone();
    for id in String::from_utf8_lossy(&out).lines().filter_map(CommitId::parse) {
        let anatomy = Anatomy::of(repository.eyes(), &id)?;
        let before = tree_of(repository.eyes(), Some(&top))?;
        let tree = match merged(bare, &top, &id, anatomy.parents.first())? {
            Tree::Conflict(paths) => return Ok(Made::Conflict(paths)),
            Tree::Whole(tree) => tree,
        };
        // The target has what it did.
        if before.as_deref() == Some(&tree) {
            continue;
        }
        top = commit(bare, config, Some(&id), &tree, &[&top], &anatomy.message)?;
    }
    Ok(if top == *onto { Made::Nothing } else { Made::Commit(top) })
}

enum Tree {
    Whole(String),
    Conflict(Vec<PathBuf>),
}

/// The tree that has what `theirs` changed since `base` on top of `ours`; without `base` since what both have in common.
fn merged(
    private: &BareDir<'_>,
    ours: &CommitId,
    theirs: &CommitId,
    base: Option<&CommitId>,
) -> Result<Tree> {
    let doing = "merge two trees";
    // Where a git is too old for this variable, no attribute counts.
    let git = private.git().env("GIT_ATTR_SOURCE", ours.as_str()).args(["merge-tree", "--write-tree", "-z"]);
    let git = git.args(["--name-only", "--no-messages", "--allow-unrelated-histories"]);
    let git = match base {
        Some(base) => git.arg(format!("--merge-base={base}")),
        None => git,
    };
    let out = git.args([ours.as_str(), theirs.as_str()]).run()?;
    let mut said = records(&out.stdout);
    let tree = said.next().map(|tree| String::from_utf8_lossy(tree).into_owned());
    match (out.status.code(), tree) {
        (Some(0), Some(tree)) if CommitId::parse(&tree).is_some() => Ok(Tree::Whole(tree)),
        (Some(1), Some(_)) => {
            let mut paths: Vec<PathBuf> = said.map(path).collect();
            paths.dedup();
            Ok(Tree::Conflict(paths))
        }
        (Some(0), _) => Err(super::command::answer(doing, &out.stdout)),
        _ => Err(out.failure().into()),
    }
}

/// A commit by whoever commits here; by the author of `like`, if that is given.
fn commit(
    bare: &BareDir<'_>,
    config: &ConfigSnapshot,
    like: Option<&CommitId>,
    tree: &str,
    parents: &[&CommitId],
    message: &str,
) -> Result<CommitId> {
    let (name, email) = config.identity().unwrap_or(NOBODY);
    let mut author = vec![name.to_owned(), email.to_owned()];
    if let Some(like) = like {
        let words =
            ["show", "-s", "--no-mailmap", "--format=%an%x00%ae%x00%ad", "--date=raw", "--end-of-options"];
        let out = bare.git().args(words).arg(like.as_str()).output("read who made a commit")?;
        let text = String::from_utf8_lossy(&out).into_owned();
        author = text.trim_end_matches('\n').split('\0').map(str::to_owned).collect();
    }
    let mut git = bare.git().env("GIT_COMMITTER_NAME", name).env("GIT_COMMITTER_EMAIL", email);
    let variables = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE"];
    for (variable, value) in variables.into_iter().zip(&author) {
        git = git.env(variable, value);
    }
    git.arg("commit-tree")
        .args(parents.iter().flat_map(|parent| ["-p", parent.as_str()]))
        .args(["-F", "-", tree])
        .stdin(message.as_bytes().to_vec())
        .id("make a commit")
}

/// Whether `tip` has `commit`: it is one of its ancestors, or itself.
pub fn holds(repository: &Repository, tip: &CommitId, commit: &CommitId) -> Result<bool> {
    let words = ["merge-base", "--is-ancestor", commit.as_str(), tip.as_str()];
    let out = Git::without_work_tree(&repository.env, repository.common_dir()).args(words).run()?;
    match out.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(out.failure().into()),
    }
}

/// Whether `target` has what `tip` did, if not its commits: squashed into one of them. Writes an object that nothing refers to.
pub fn is_squashed(env: &GitEnv, common_dir: &Path, tip: &CommitId, target: &str) -> Result<bool> {
    let git = || Git::without_work_tree(env, common_dir);
    let base = git().args(["merge-base", "--end-of-options", target, tip.as_str()]).run()?;
    let Some(base) = CommitId::parse(String::from_utf8_lossy(&base.stdout).trim_end()) else {
        return Ok(false);
    };
    let tree = tree_id(git().args(["rev-parse", "--verify", &format!("{tip}^{{tree}}")]), "read a tree")?;
    let one = git()
        .env("GIT_AUTHOR_NAME", NOBODY.0)
        .env("GIT_AUTHOR_EMAIL", NOBODY.1)
        .env("GIT_AUTHOR_DATE", "1970-01-01T00:00:00Z")
        .env("GIT_COMMITTER_NAME", NOBODY.0)
        .env("GIT_COMMITTER_EMAIL", NOBODY.1)
        .env("GIT_COMMITTER_DATE", "1970-01-01T00:00:00Z")
        .args(["commit-tree", "-p", base.as_str(), "-m", "all of it", &tree])
        .id("put all changes into one commit")?;
    let out = git()
        .limit(env.long_limit)
        .args(["cherry", target, one.as_str()])
        .output("look for the same change")?;
    Ok(out.starts_with(b"- "))
}

/// Moves a branch that is checked out nowhere. `false`: it was not at `from`.
pub fn move_branch(
    env: &GitEnv,
    common_dir: &Path,
    branch: &str,
    from: &CommitId,
    to: &CommitId,
) -> Result<bool> {
    let name = format!("refs/heads/{branch}");
    let words = ["update-ref", "-m", "ai_orch merge", &name, to.as_str(), from.as_str()];
    let moved =
        locks::past_stale(common_dir, || refs::at(env, common_dir).args(words).output("move the branch"));
    match moved {
        Ok(_) => Ok(true),
        Err(error) if refs::read(env, common_dir, &name)?.as_ref() != Some(from) => {
            tracing::info!(%error, "somebody else moved it");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// One move of a branch that is checked out.
#[derive(Debug, Clone, Copy)]
pub struct Step<'m> {
    /// The run of merges that it belongs to, in a word.
    pub run: &'m str,
    /// From here.
    pub from: &'m CommitId,
    /// To there.
    pub to: &'m CommitId,
}

/// What came of moving a branch on that is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// The branch, the files and the index are moved.
    Done,
    /// Something of the user's is in the way, as told; everything is as it was.
    InTheWay(String),
    /// Another git is at work in the checkout and does not end; everything is as it was.
    Busy,
    /// Somebody moved the branch, or the checkout to another one; everything is as they left it.
    Raced,
}

/// Moves `branch`, which is checked out in `checkout`, with the files and the index that differ between the two commits and
/// no others. What the user has changed elsewhere stays; what would be overwritten, ignored files too, is in the way. With
/// `again` a move that was cut off is gone on with: files of `to` that are there already count as moved.
///
/// From the first look to the last write the index is held, so that no commit, stash or switch of the user's takes files
/// that are moved for theirs. No hook runs, and no setting of the repository has a say.
///
/// # Errors
/// What fails between the first file and the last leaves a move that is cut off.
pub fn move_checkout(checkout: &Repository, branch: &str, step: Step<'_>, again: bool) -> Result<Moved> {
    let Step { run, from, to } = step;
    let Some(hold) = IndexHold::take(checkout, run)? else { return Ok(Moved::Busy) };
    if !is_at(checkout, branch, from)? {
        return Ok(Moved::Raced);
    }
    if let Some(operation) = changes::underway(&checkout.env, &Worktree::checkout(checkout, None))? {
        return Ok(Moved::InTheWay(format!("git is in the middle of {operation}")));
    }
    if let Some(path) = staged(&hold, from, to)?.first() {
        return Ok(Moved::InTheWay(format!("changes of {} are staged", path.display())));
    }
    let all = differences(checkout, from, to)?;
    let (moved, halves) = if again { take_as_moved(&hold, &all)? } else { Default::default() };
    let in_the_way = match hidden(checkout, &all, &moved)? {
        Some(hidden) => Some(format!("{} would be overwritten, and is in no commit", hidden.display())),
        None => go(&hold, &all, from.as_str(), to.as_str())?,
    };
    if let Some(why) = in_the_way {
        halves.iter().try_for_each(Half::put_back)?;
        return Ok(Moved::InTheWay(why));
    }
    hold.install()?;
    // A branch can be made and switched to without the index: files that are not that branch's go again.
    if !is_at(checkout, branch, from)?
        || !move_branch(&checkout.env, checkout.common_dir(), branch, from, to)?
    {
        return give_files_back(&hold, &all, from, to).map(|()| Moved::Raced);
    }
    if checkout.head()?.commit() == Some(from) {
        give_files_back(&hold, &all, from, to)?;
    }
    Ok(Moved::Done)
}

/// Moves files and index back that were moved just now.
fn give_files_back(hold: &IndexHold<'_>, all: &[Difference], from: &CommitId, to: &CommitId) -> Result<()> {
    if let Some(what) = go(hold, all, to.as_str(), from.as_str())? {
        return Err(Error::NotOurWorktree { path: hold.checkout().work_dir().to_owned(), what });
    }
    hold.install()
}

/// Takes a move back that was cut off in the middle: files of `to` become those of `from` again, in whatever the checkout has checked
/// out by now. What that has otherwise than `from` was committed since, and stays. Doing it again finds it done.
pub fn take_move_back(checkout: &Repository, step: Step<'_>) -> Result<Moved> {
    let Step { run, from, to } = step;
    let Some(hold) = IndexHold::take(checkout, run)? else { return Ok(Moved::Busy) };
    let head = checkout.head()?;
    let since: HashSet<PathBuf> = match head.commit() {
        Some(now) if now != from => {
            differences(checkout, from, now)?.into_iter().map(|one| one.path).collect()
        }
        _ => HashSet::new(),
    };
    let (theirs, ours): (Vec<_>, Vec<_>) =
        differences(checkout, from, to)?.into_iter().partition(|one| since.contains(&one.path));
    let staged = staged(&hold, from, to)?;
    if let Some(one) = ours.iter().find(|one| staged.contains(&one.path)) {
        return Ok(Moved::InTheWay(format!("changes of {} are staged", one.path.display())));
    }
    let (moved, halves) = take_as_moved(&hold, &ours)?;
    let back = if theirs.is_empty() { from.as_str().to_owned() } else { without(checkout, to, ours.iter())? };
    // What is not moved is as it was, or the user's by now: no business of git's.
    let left = || ours.iter().filter(|one| !moved.contains(&one.path));
    let there = without(checkout, to, left())?;
    let noted: HashSet<PathBuf> = unlike(&hold, from)?.collect();
    put_entries(
        &hold,
        left()
            .filter(|one| noted.contains(&one.path))
            .flat_map(|one| one.entry(&one.old_mode, &one.old))
            .collect(),
    )?;
    if let Some(why) = go(&hold, &ours, &there, &back)? {
        halves.iter().try_for_each(Half::put_back)?;
        return Ok(Moved::InTheWay(why));
    }
    // What was half written is gone by now, and its old content not back yet.
    let mut gone = HashSet::new();
    for one in ours.into_iter().filter(|one| !is_nothing(&one.old)) {
        if disk::look(&checkout.work_dir().join(&one.path))?.is_none() {
            gone.insert(one.path);
        }
    }
    if !gone.is_empty() {
        // What a sparse checkout leaves out was never there.
        let listed =
            hold.git().output_cap(1 << 28).args(["ls-files", "-z", "-t"]).output("list the index")?;
        let hidden = records(&listed).filter_map(|line| line.strip_prefix(b"S ")).map(path);
        hidden.for_each(|hidden| {
            gone.remove(&hidden);
        });
    }
    if !gone.is_empty() {
        let gone: Vec<_> = gone.into_iter().collect();
        let git = hold.git().with_network().args(["checkout-index", "-u", "-z", "--stdin"]);
        git.stdin(changes::nul_ended(&gone)).output("write files again")?;
    }
    hold.install()?;
    Ok(Moved::Done)
}

/// Gives back what a run that was killed behind its last step still holds of `checkout`. False if a git that it started may be at
/// work there yet.
pub fn let_go(checkout: &Repository, run: &str) -> Result<bool> {
    index_hold::let_go(checkout, run)
}

/// Whether `checkout` has `branch` checked out, by whatever name.
pub fn is_on(checkout: &Repository, branch: &str) -> Result<bool> {
    let head = checkout.head()?;
    let Some(name) = head.branch() else { return Ok(false) };
    Ok(name == branch || stands_for(checkout, name)?.strip_prefix("refs/heads/") == Some(branch))
}

fn is_at(checkout: &Repository, branch: &str, commit: &CommitId) -> Result<bool> {
    Ok(is_on(checkout, branch)? && checkout.head()?.commit() == Some(commit))
}

/// The full name of the ref that is written when `branch` is: another one if it is a symbolic ref.
pub fn stands_for(repository: &Repository, branch: &str) -> Result<String> {
    let name = format!("refs/heads/{branch}");
    let out = repository.git().args(["symbolic-ref", "--quiet", &name]).run()?;
    if !out.status.success() {
        return Ok(name);
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// The tree of `to` in which `back` are as they were before it.
fn without<'d>(
    checkout: &Repository,
    to: &CommitId,
    back: impl Iterator<Item = &'d Difference>,
) -> Result<String> {
    let scratch = super::scratch::Scratch::new(&checkout.env.scratch)?;
    let index = scratch.path().join("index");
    let git = || checkout.git().env("GIT_INDEX_FILE", &index);
    git().args(["read-tree", to.as_str()]).output("read a tree")?;
    // What goes makes room for what comes.
    let (go, come): (Vec<_>, Vec<_>) = back.partition(|one| is_nothing(&one.old));
    let lines = go.into_iter().chain(come).flat_map(|one| one.entry(&one.old_mode, &one.old)).collect();
    git().args(["update-index", "-z", "--index-info"]).stdin(lines).output("put entries back")?;
    tree_id(git().arg("write-tree"), "write a tree")
}

/// Moves files and index by git's own rules for two trees: what differs between them, if it is as it was. Why not, if it is not.
///
/// # Errors
/// If it did not come to its end with some of `all` written: that is a move that is cut off.
fn go(hold: &IndexHold<'_>, all: &[Difference], from: &str, to: &str) -> Result<Option<String>> {
    let checkout = hold.checkout();
    let stamps = || -> Result<Vec<_>> {
        all.iter().map(|one| disk::stamp(&checkout.work_dir().join(&one.path))).collect()
    };
    let before = stamps()?;
    let git = hold.git().with_network().limit(checkout.env.long_limit);
    let out = git.args(["read-tree", "-m", "-u", from, to]).run()?;
    if out.status.success() {
        return Ok(None);
    }
    if stamps()? != before {
        return Err(out.failure().into());
    }
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("git did not say why");
    Ok(Some(first.trim_start_matches("error: ").to_owned()))
}

/// What is staged beside what is moved; a commit of it would be taken for the user's word about all of it.
fn staged(hold: &IndexHold<'_>, from: &CommitId, to: &CommitId) -> Result<Vec<PathBuf>> {
    let new: HashSet<PathBuf> = unlike(hold, to)?.collect();
    // An entry that is as it was, or as it is to be, is not.
    Ok(unlike(hold, from)?.filter(|path| new.contains(path)).collect())
}

/// The entries of the index that are not those of `commit`.
fn unlike(hold: &IndexHold<'_>, commit: &CommitId) -> Result<impl Iterator<Item = PathBuf>> {
    let words = [
        "diff-index",
        "--cached",
        "-z",
        "--name-only",
        "--no-renames",
        "--no-ext-diff",
        "--ignore-submodules=all",
    ];
    let git = hold.git().output_cap(1 << 28).args(words).arg(commit.as_str());
    let listed = git.output("see what is staged")?;
    Ok(records(&listed).map(path).collect::<Vec<_>>().into_iter())
}

/// One file that differs between two commits.
struct Difference {
    path: PathBuf,
    old_mode: String,
    mode: String,
    /// Zeros if it is not there.
    old: String,
    new: String,
}

impl Difference {
    /// A line for `git update-index --index-info`.
    fn entry(&self, mode: &str, id: &str) -> Vec<u8> {
        [format!("{mode} {id}\t").as_bytes(), self.path.as_os_str().as_bytes(), b"\0"].concat()
    }
}

fn differences(checkout: &Repository, from: &CommitId, to: &CommitId) -> Result<Vec<Difference>> {
    let words = ["diff-tree", "-r", "-z", "--no-renames", from.as_str(), to.as_str()];
    let out = checkout.git().output_cap(1 << 28).args(words).output("compare two commits")?;
    let fields: Vec<&[u8]> = out.split(|byte| *byte == 0).collect();
    let one = |pair: &[&[u8]]| {
        let [info, name] = pair else { return None };
        // :oldmode newmode old new status
        let info = String::from_utf8_lossy(info).into_owned();
        let mut words = info.trim_start_matches(':').split(' ').map(str::to_owned);
        let (old_mode, mode) = (words.next()?, words.next()?);
        Some(Difference { path: path(name), old_mode, mode, old: words.next()?, new: words.next()? })
    };
    Ok(fields.chunks_exact(2).filter_map(one).collect())
}

fn is_nothing(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

/// What is on disk, in no commit, and would be overwritten or deleted: git protects what it does not track only if it is not ignored.
fn hidden(checkout: &Repository, all: &[Difference], moved: &HashSet<PathBuf>) -> Result<Option<PathBuf>> {
    let root = checkout.work_dir();
    let goes: HashSet<&Path> = all.iter().filter(|d| is_nothing(&d.new)).map(|d| d.path.as_path()).collect();
    for comes in all.iter().filter(|d| is_nothing(&d.old) && !moved.contains(&d.path)) {
        for above in comes.path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            if disk::look(&root.join(above))?.is_some_and(|meta| !meta.is_dir()) && !goes.contains(above) {
                return Ok(Some(above.to_owned()));
            }
        }
        let mut todo = vec![comes.path.clone()];
        while let Some(relative) = todo.pop() {
            let full = root.join(&relative);
            match disk::look(&full)? {
                Some(meta) if meta.is_dir() => {
                    let names = disk::names(&full)?.unwrap_or_default();
                    todo.extend(names.into_iter().map(|name| relative.join(name)));
                }
                Some(_) if !goes.contains(relative.as_path()) => return Ok(Some(relative)),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// A file that was half written, and is taken out of the way.
struct Half {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

impl Half {
    /// Has it be there again, as if it were the user's: it may be.
    fn put_back(&self) -> Result<()> {
        disk::write_new(&self.path, &self.bytes)?;
        disk::set_mode(&self.path, self.mode)
    }
}

/// Has the index say of files that are on disk as they are to be that they are: a move was cut off behind them. Which those are; and what
/// was half written, which is gone.
fn take_as_moved(hold: &IndexHold<'_>, all: &[Difference]) -> Result<(HashSet<PathBuf>, Vec<Half>)> {
    let checkout = hold.checkout();
    let mut entries = Vec::new();
    let (mut moved, mut halves) = (HashSet::new(), Vec::new());
    for one in all {
        let now = on_disk(checkout, &one.path)?;
        let is = |id: &str| now.as_ref().map_or(is_nothing(id), |now| now.is(id));
        if is(&one.new) {
            entries.extend(one.entry(&one.mode, &one.new));
            moved.insert(one.path.clone());
        } else if !is(&one.old)
            && let Some(half) = half(checkout, one)?
        {
            disk::remove_file(&half.path)?;
            halves.push(half);
        }
    }
    put_entries(hold, entries)?;
    Ok((moved, halves))
}

/// Puts lines of [`Difference::entry`] into the index.
fn put_entries(hold: &IndexHold<'_>, lines: Vec<u8>) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let git = hold.git().args(["update-index", "-z", "--index-info"]).stdin(lines);
    git.output("note what is moved already")?;
    // Exit code 1 tells that some differ.
    hold.git().args(["update-index", "-q", "--refresh"]).run()?;
    Ok(())
}

/// The file, if it is the beginning of what it is to be and no more, and ends where a git ends that is killed while it writes: before the
/// first byte or at the end of a page.
fn half(checkout: &Repository, one: &Difference) -> Result<Option<Half>> {
    let path = checkout.work_dir().join(&one.path);
    let Some(meta) = disk::look(&path)?.filter(|meta| meta.is_file() && meta.len() < HALF_MAX) else {
        return Ok(None);
    };
    if is_nothing(&one.new) || meta.len() % PAGE != 0 || changes::behind_link(checkout.work_dir(), &one.path)?
    {
        return Ok(None);
    }
    let Some(bytes) = disk::read_small(&path)? else { return Ok(None) };
    let whole = checkout.git().args(["cat-file", "blob", &one.new]).run()?;
    let begins = bytes.len() < whole.stdout.len() && whole.stdout.starts_with(&bytes);
    Ok((whole.status.success() && begins).then_some(Half { path, bytes, mode: meta.mode() }))
}

/// What a file is: the id of its bytes, and of what its attributes make of them on the way into the repository.
struct OnDisk([String; 2]);

impl OnDisk {
    fn is(&self, id: &str) -> bool {
        self.0.iter().any(|is| is == id)
    }
}

/// What is at `relative` in the checkout; `None` if nothing is.
fn on_disk(checkout: &Repository, relative: &Path) -> Result<Option<OnDisk>> {
    let full = checkout.work_dir().join(relative);
    let Some(meta) = disk::look(&full)? else { return Ok(None) };
    if changes::behind_link(checkout.work_dir(), relative)? || !(meta.is_file() || meta.is_symlink()) {
        return Ok(Some(OnDisk(Default::default())));
    }
    let hash = |git: Git| tree_id(git, "hash a file");
    if meta.is_symlink() {
        let id = hash(checkout.git().args(["hash-object", "--stdin"]).stdin(disk::link_target(&full)?))?;
        return Ok(Some(OnDisk([id.clone(), id])));
    }
    let plain = hash(checkout.git().args(["hash-object", "--no-filters", "--"]).arg(&full))?;
    let filtered =
        hash(checkout.git().arg("hash-object").arg(option("--path=", relative)).arg("--").arg(&full))?;
    Ok(Some(OnDisk([plain, filtered])))
}

/// Whether somebody is in the middle of a rebase or a bisection of the branch, for which HEAD is on no branch meanwhile: it would be
/// put back at the end of that.
pub fn is_held(repository: &Repository, branch: &str) -> Result<bool> {
    let worktrees = repository.common_dir().join("worktrees");
    let linked = disk::names(&worktrees)?.unwrap_or_default().into_iter().map(|name| worktrees.join(name));
    for dir in [repository.common_dir().to_owned()].into_iter().chain(linked) {
        for name in ["rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"] {
            let text = disk::read_small(&dir.join(name))?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if text.trim().strip_prefix("refs/heads/").unwrap_or(text.trim()) == branch {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Makes the worktree at `path` for the trees to be tested, if it is not there yet, and has it hold `commit` and nothing else that is
/// not ignored. `lock` is the repository's.
pub fn test_place(
    repository: &Repository,
    lock: &crate::tools::lock::Lock,
    path: &Path,
    commit: &CommitId,
) -> Result<super::Worktree> {
    let common_dir = repository.common_dir();
    let worktree = if let Some(worktree) = super::repair::linked(&repository.env, common_dir, path)? {
        super::repair::finish(&worktree)?;
        worktree
    } else {
        super::repair::clear(common_dir, path)?;
        super::worktree::add_detached(repository, lock, path, commit)?
    };
    let git = || {
        Git::at(&repository.env, &worktree.admin_dir, common_dir, &worktree.path)
            .with_network()
            .limit(repository.env.long_limit)
    };
    git().args(["update-ref", "--no-deref", "HEAD", commit.as_str()]).output("go to the merged commit")?;
    git()
        .config("checkout.workers", &crate::tools::process::idle_processors().to_string())
        .args(["reset", "--hard", "--quiet", "--no-recurse-submodules"])
        .output("fill a worktree")?;
    git().args(["clean", "-ffdq"]).output("clear what an earlier test left")?;
    Ok(worktree)
}

/// Removes the worktree that [`test_place`] made, or what is left of it. Nothing there is fine.
pub fn remove_test_place(repository: &Repository, path: &Path) -> Result<()> {
    let common_dir = repository.common_dir();
    if let Some(worktree) = super::repair::linked(&repository.env, common_dir, path)? {
        super::remove::tree(&worktree.path)?;
        return super::remove::admin(&worktree);
    }
    super::remove::tree(path)?;
    super::repair::clear(common_dir, path)?;
    // An entry that was half removed does not say any more where it leads. Its name is the run's, and nobody else's.
    let left = common_dir.join("worktrees").join(path.file_name().unwrap_or_default());
    if disk::look(&left)?.is_none() || super::worktree::admin_leads_to(&left, path)? == Some(false) {
        return Ok(());
    }
    super::remove::tree(&left)?;
    disk::remove_empty(&common_dir.join("worktrees")).map(|_| ())
}
