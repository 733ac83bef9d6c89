//! Files of the user's checkout that a new worktree needs and git does not put there: local settings, credentials of a test server.
//!
//! Which ones is said in the syntax of `.gitignore`. Only files are taken that git does not track, from the checkout as it is, and
//! nothing in the worktree is ever overwritten.

use super::command::{path, records};
use super::{Repository, Result, Worktree, changes, disk};
use std::path::{Path, PathBuf};

/// The file of a repository that names what is to be taken along.
pub const FILE: &str = ".worktreeinclude";
/// How many bytes are taken along at most: more is built, and not copied.
const LARGEST: u64 = 1 << 30;

/// What is to be taken along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Files and links that the worktree does not have, relative to the root.
    pub files: Vec<PathBuf>,
    /// Those that are not, because they are too much together.
    pub too_much: Vec<PathBuf>,
}

/// What the checkout's [`FILE`] names, as far as git ignores it, and what `patterns` name, ignored or not, but for what the `worktree` has.
pub fn choose(checkout: &Repository, worktree: &Worktree, patterns: &[String]) -> Result<Chosen> {
    let mut files = Vec::new();
    if disk::look(&checkout.work_dir().join(FILE))?.is_some_and(|meta| meta.is_file()) {
        let named = matching(checkout, &[format!("--exclude-from={FILE}")])?;
        files.extend(ignored(checkout, &named)?);
    }
    if !patterns.is_empty() {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("--exclude={pattern}")).collect();
        files.extend(matching(checkout, &patterns)?);
    }
    files.sort();
    files.dedup();
    let mut chosen = Chosen::default();
    let mut bytes = 0_u64;
    for relative in files {
        let (from, to) = (checkout.work_dir().join(&relative), worktree.path.join(&relative));
        if changes::behind_link(&worktree.path, &relative)?
            || changes::behind_link(checkout.work_dir(), &relative)?
        {
            continue;
        }
        let Some(meta) = disk::look(&from)?.filter(|meta| meta.is_file() || meta.is_symlink()) else {
            continue;
        };
        if disk::look(&to)?.is_some() {
            continue;
        }
        bytes = bytes.saturating_add(meta.len());
        if bytes > LARGEST {
            chosen.too_much.push(relative);
            continue;
        }
        chosen.files.push(relative);
    }
    Ok(chosen)
}

/// Copies `files`, which [`choose`] chose, from the checkout into `worktree`. Nothing there is overwritten, and what the checkout does not
/// have any more is left out.
pub fn copy(checkout: &Repository, worktree: &Worktree, files: &[PathBuf]) -> Result<()> {
    for relative in files {
        let (from, to) = (checkout.work_dir().join(relative), worktree.path.join(relative));
        if disk::look(&from)?.is_some() && disk::look(&to)?.is_none() {
            disk::copy_whole(&from, &to)?;
        }
    }
    Ok(())
}

/// The untracked files of the checkout that match.
fn matching(checkout: &Repository, patterns: &[String]) -> Result<Vec<PathBuf>> {
    let git = checkout.git().output_cap(1 << 28).args(["ls-files", "-z", "--others", "--ignored"]);
    let out = git.args(patterns).output("list files to take along")?;
    // A repository inside ends with a slash, and is none of the files.
    Ok(records(&out).filter(|record| record.last() != Some(&b'/')).map(path).collect())
}

/// Those of `files` that git ignores by its own rules.
fn ignored(checkout: &Repository, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    // It takes no literal paths; behind this prefix no name means anything else.
    let named: Vec<PathBuf> = files.iter().map(|file| Path::new("./").join(file)).collect();
    let git = checkout.git().env("GIT_LITERAL_PATHSPECS", "0").output_cap(1 << 28);
    let out = git.args(["check-ignore", "-z", "--stdin"]).stdin(changes::nul_ended(&named)).run()?;
    let plain = |record: &[u8]| path(record.strip_prefix(b"./").unwrap_or(record));
    match out.status.code() {
        Some(0 | 1) => Ok(records(&out.stdout).map(plain).collect()),
        _ => Err(out.failure().into()),
    }
}

/// Whether the checkout names anything to be taken along.
pub fn is_wanted(checkout: &Path) -> Result<bool> {
    Ok(disk::look(&checkout.join(FILE))?.is_some())
}
