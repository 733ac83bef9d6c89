//! Adding a worktree without git where it is known to the byte what git would do: it would start two processes of its own, which take
//! a third of the time in which an agent starts.
//!
//! What git writes, and in which order, is that of `builtin/worktree.c` and `refs/files-backend.c` of git 2.47: first the branch with its
//! log, behind a lock; then the entry in `worktrees`, marked as one that is being made, so that nobody prunes it. Dying anywhere
//! leaves what a git leaves that dies there ([`super::repair`]), but for files that are there and empty.

use super::command::{Git, GitEnv};
use super::eyes_git2::failed;
use super::settings::Settings;
use super::worktree::{self, Branch, Worktree, admin_leads_to};
use super::{CommitId, Error, Repository, Result, disk};
use crate::tools::lock::Lock;
use git2::{RepositoryOpenFlags, Signature};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many names are tried for one entry.
const NAMES: u32 = 1000;

/// Like [`worktree::add`], by us if `settings`, which are those of the repository, allow it. Where that fails git does it, and says why
/// it cannot.
pub fn add(
    repository: &Repository,
    lock: &Lock,
    path: &Path,
    branch: &str,
    commit: &CommitId,
    settings: &Settings,
) -> Result<Worktree> {
    let by_git = || worktree::add(repository, lock, path, branch, commit);
    let Some(who) = who(settings).filter(|_| repository.is_fast() && is_plain(settings)) else {
        return by_git();
    };
    let Some(name) = path.file_name().and_then(OsStr::to_str).filter(|name| is_plain_name(name)) else {
        return by_git();
    };
    if !path.is_absolute() || disk::look(path)?.is_some() || repository.branch_problem(branch)?.is_some() {
        return by_git();
    }
    let before = disk::names(&repository.common_dir().join("worktrees"))?.unwrap_or_default();
    let new = New { repository, path, name, branch, commit, who: &who, has_branch: Cell::new(false) };
    new.make(&before).or_else(|error| {
        tracing::debug!(%error, "git is to add the worktree");
        let made = if new.has_branch.get() { Branch::Made(commit) } else { Branch::Wanted };
        worktree::take_back(repository, path, branch, &before, made).ok();
        by_git()
    })
}

/// Who is named in logs, as git would: by the settings alone, because no variable that says otherwise is handed to git. `None` if git has
/// to find it out.
fn who(settings: &Settings) -> Option<Signature<'static>> {
    let one = |variable: &str| {
        let key = |section: &str| settings.value(&format!("{section}.{variable}"));
        key("committer").or_else(|| key("user")).filter(|value| is_plain_word(value))
    };
    Signature::now(one("name")?, one("email")?).ok()
}

/// Whether git writes a name or address as it is: some signs are taken away, more or fewer by the version of git.
fn is_plain_word(value: &str) -> bool {
    let taken = |c: char| c.is_control() || c.is_whitespace() || ".,:;<>\"\\'".contains(c);
    !value.is_empty()
        && !value.starts_with(taken)
        && !value.ends_with(taken)
        && !value.contains(|c: char| c.is_control() || matches!(c, '<' | '>' | char::REPLACEMENT_CHARACTER))
}

/// Whether the settings ask for nothing but a worktree, a branch and logs as they mostly are.
fn is_plain(settings: &Settings) -> bool {
    let is = |key: &str, values: &[&str]| {
        settings.value(key).is_none_or(|value| values.contains(&value.to_ascii_lowercase().as_str()))
    };
    // Other formats of refs and ids, settings that each worktree has for itself.
    !settings.all.iter().any(|(key, _)| key.starts_with("extensions."))
        && is("core.repositoryformatversion", &["0"])
        && is("core.bare", &["false"])
        && is("core.logallrefupdates", &["true", "always"])
        && is("core.sharedrepository", &["false", "umask", "0"])
        && is("core.prefersymlinkrefs", &["false"])
        // Which files it has is copied into each worktree.
        && is("core.sparsecheckout", &["false"])
        && settings.value("core.worktree").is_none()
}

/// Whether git gives an entry the name of the directory as it is.
fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A worktree that is to be.
struct New<'a> {
    repository: &'a Repository,
    path: &'a Path,
    name: &'a str,
    branch: &'a str,
    commit: &'a CommitId,
    who: &'a Signature<'static>,
    /// The branch is there, and ours.
    has_branch: Cell<bool>,
}

impl New<'_> {
    fn make(&self, before: &[OsString]) -> Result<Worktree> {
        let worktrees = self.repository.common_dir().join("worktrees");
        for name in before {
            // One that is gone and still known: git wants to be told that it may be forgotten.
            if admin_leads_to(&worktrees.join(name), self.path)? == Some(true) {
                return Err(Error::PathTaken { path: self.path.to_owned() });
            }
        }
        self.make_branch()?;
        if disk::look(&worktrees)?.is_none() {
            disk::make_plain_dir(&worktrees)?;
        }
        let admin_dir = self.make_entry(&worktrees)?;
        let mark = admin_dir.join("locked");
        disk::write_new(&mark, b"initializing\n")?;
        disk::make_plain_dir(self.path)?;
        let dot_git = disk::real(self.path)?.join(".git");
        put(&admin_dir.join("gitdir"), &[dot_git.as_os_str().as_bytes(), b"\n"].concat())?;
        disk::write_new(&dot_git, &[b"gitdir: ", admin_dir.as_os_str().as_bytes(), b"\n"].concat())?;
        put(&admin_dir.join("commondir"), b"../..\n")?;
        disk::make_plain_dir(&admin_dir.join("refs"))?;
        disk::make_plain_dir(&admin_dir.join("logs"))?;
        disk::append(&admin_dir.join("logs/HEAD"), self.log_line("").as_bytes())?;
        put(&admin_dir.join("HEAD"), format!("ref: refs/heads/{}\n", self.branch).as_bytes())?;
        disk::remove_file(&mark)?;
        let worktree = worktree::found_at(self.repository, self.path, self.branch)?;
        [&dot_git, &worktree.admin_dir, &worktree.path].into_iter().try_for_each(|file| disk::sync(file))?;
        Ok(worktree)
    }

    /// Makes the branch, with its log.
    fn make_branch(&self) -> Result<()> {
        let common = self.repository.common_dir();
        let at = common.join("refs/heads").join(self.branch);
        let log = common.join("logs/refs/heads").join(self.branch);
        for file in [&at, &log] {
            file.parent().map_or(Ok(()), disk::make_plain_dirs)?;
        }
        let lock = locking(&at);
        disk::write_new(&lock, format!("{}\n", self.commit).as_bytes())?;
        let made = disk::sync(&lock).and_then(|()| {
            // Whoever else makes branches had the time until the lock was ours.
            if let Some(problem) = self.repository.branch_problem(self.branch)? {
                return Err(Error::Branch { name: self.branch.to_owned(), problem });
            }
            if disk::look(&at)?.is_some() || self.is_there()? {
                return Err(Error::RefTaken { name: format!("refs/heads/{}", self.branch) });
            }
            let message = format!("\tbranch: Created from {}", self.commit);
            disk::append(&log, self.log_line(&message).as_bytes())?;
            disk::rename_new(&lock, &at)
        });
        self.has_branch.set(made.is_ok());
        made.inspect_err(|_| {
            disk::remove_file(&lock).ok();
        })
    }

    /// Whether there is a ref of that name, whatever it leads to: a commit that is missing may come back with its disk.
    fn is_there(&self) -> Result<bool> {
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::NO_DOTGIT;
        let common = self.repository.common_dir();
        let open = git2::Repository::open_ext(common, flags, std::iter::empty::<&OsStr>());
        let repository = open.map_err(failed("open the repository"))?;
        match repository.find_reference(&format!("refs/heads/{}", self.branch)) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(false),
            Err(error) => Err(failed("look for the branch")(error)),
        }
    }

    /// Makes the directory of the entry: git puts a number behind a name that is taken.
    fn make_entry(&self, worktrees: &Path) -> Result<PathBuf> {
        let numbers = (1..NAMES).map(|number| number.to_string());
        for number in std::iter::once(String::new()).chain(numbers) {
            let path = worktrees.join(format!("{}{number}", self.name));
            match disk::make_plain_dir(&path) {
                Err(Error::Disk { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| path),
            }
        }
        Err(Error::PathTaken { path: worktrees.join(self.name) })
    }

    /// The line of a log that says that there was nothing before.
    fn log_line(&self, message: &str) -> String {
        let when = self.who.when();
        let (name, email) = (self.who.name().unwrap_or_default(), self.who.email().unwrap_or_default());
        let nothing = "0".repeat(self.commit.as_str().len());
        let zone = zone(when.offset_minutes());
        format!("{nothing} {} {name} <{email}> {} {zone}{message}\n", self.commit, when.seconds())
    }
}

/// Minutes east of Greenwich as git writes them.
fn zone(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

fn locking(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Writes a new file that is there whole, or not at all.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let lock = locking(path);
    disk::write_new(&lock, bytes)?;
    disk::sync(&lock)?;
    disk::rename(&lock, path)
}

/// What git does with the log of HEAD and with `ORIG_HEAD` when it fills a worktree that was just added.
pub(super) fn log(env: &GitEnv, worktree: &Worktree, repository: &git2::Repository) -> Result<()> {
    let path = worktree.admin_dir.join("logs/HEAD");
    let line = disk::read_small(&path)?.and_then(|log| {
        let tip = repository.head().ok()?.target()?.to_string();
        moved_nowhere(&String::from_utf8(log).ok()?, &tip).map(|line| (line, tip))
    });
    let orig = worktree.admin_dir.join("ORIG_HEAD");
    if let Some((line, tip)) = line.filter(|_| !disk::look(&orig).is_ok_and(|there| there.is_some())) {
        put(&orig, format!("{tip}\n").as_bytes())?;
        return disk::append(&path, line.as_bytes());
    }
    Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path)
        .args(["reset", "--soft", "--quiet", "--no-recurse-submodules"])
        .output("fill a worktree")
        .map(|_| ())
}

/// The line that goes behind the only one of a `log`, by which HEAD came to `tip`. `None` if it is not like that.
fn moved_nowhere(log: &str, tip: &str) -> Option<String> {
    let first = log.strip_suffix('\n')?;
    let (from, rest) = first.split_once(' ')?;
    let who = rest.strip_prefix(tip)?;
    let is_first = from.bytes().all(|b| b == b'0') && !who.contains(['\n', '\t']);
    is_first.then(|| format!("{tip} {tip}{who}\treset: moving to HEAD\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_where_it_began_with_one_line() {
        let (nothing, tip) = ("0".repeat(40), "a".repeat(40));
        let first = format!("{nothing} {tip} A B <a@b> 1795303148 +0000\n");
        let second = format!("{tip} {tip} A B <a@b> 1795303148 +0000\treset: moving to HEAD\n");
        assert_eq!(moved_nowhere(&first, &tip).as_deref(), Some(second.as_str()));
        for other in [
            String::new(),
            first.trim_end().to_owned(),
            format!("{first}{second}"),
            second,
            first.replace('a', "b"),
            first.replace('\n', "\tcommit\n"),
        ] {
            assert_eq!(moved_nowhere(&other, &tip), None, "{other}");
        }
    }

    #[test]
    fn a_zone_is_written_as_git_does() {
        for (minutes, text) in [(0, "+0000"), (90, "+0130"), (-210, "-0330"), (765, "+1245"), (-5, "-0005")] {
            assert_eq!(zone(minutes), text);
        }
    }

    #[test]
    fn names_are_plain() {
        for name in ["a", "fix-tests_2", "9x"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", "-a", ".a", "a.lock", "a b", "é", "a..b", "a/b"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
