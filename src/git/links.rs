//! Files and directories of the checkout that a worktree shares with it by a link: installed packages, for one.
//!
//! Only what git neither tracks nor would commit: a link that `.gitignore` does not cover as a link (`node_modules/` with a slash covers
//! directories only) would be taken for the agent's work. Nothing of the checkout is changed, nothing in the worktree overwritten, and no
//! path leads through a link. Whoever removes the worktree removes the link.

use super::command::Git;
use super::{GitEnv, Repository, Result, Worktree, changes, disk};
use crate::model::project_file::{Links, NotLinked};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Links each of `paths` (relative, without `..`) into `worktree`, and says of each whether it is linked. Doing it again finds it done.
pub fn make(env: &GitEnv, checkout: &Repository, worktree: &Worktree, paths: &[String]) -> Result<Links> {
    let mut links = Links::default();
    for path in paths {
        match link(env, checkout, worktree, Path::new(path))? {
            None => links.made.push(path.clone()),
            Some(why) => links.left_out.push(NotLinked { path: path.clone(), why }),
        }
    }
    Ok(links)
}

/// Those of `paths` at which there is now in `worktree` the link that [`make`] made, or would make, to `checkout`.
pub fn made(checkout: &Path, worktree: &Worktree, paths: &[String]) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for relative in paths.iter().map(|path| Path::new(path).components().collect::<PathBuf>()) {
        if !changes::behind_link(&worktree.path, &relative)?
            && is_link_to(&worktree.path.join(&relative), &checkout.join(&relative))?
        {
            made.push(relative);
        }
    }
    Ok(made)
}

fn is_link_to(link: &Path, target: &Path) -> Result<bool> {
    let is_link = disk::look(link)?.is_some_and(|meta| meta.is_symlink());
    Ok(is_link
        && Path::new(OsStr::from_bytes(&disk::link_target(link)?)).components().eq(target.components()))
}

/// Makes one link; or says why not.
fn link(env: &GitEnv, checkout: &Repository, worktree: &Worktree, relative: &Path) -> Result<Option<String>> {
    let no = |why: &str| Ok(Some(why.to_owned()));
    let (from, to) = (checkout.work_dir().join(relative), worktree.path.join(relative));
    if changes::behind_link(checkout.work_dir(), relative)? {
        return no("the way to it leads through a link in the checkout");
    }
    match disk::look(&from)? {
        None => return no("the checkout does not have it"),
        Some(meta) if meta.is_symlink() => return no("it is a link itself in the checkout"),
        Some(meta) if meta.is_dir() || meta.is_file() => {}
        Some(_) => return no("it is neither a file nor a directory"),
    }
    let tracked =
        checkout.git().args(["ls-files", "-z", "--"]).arg(relative).output("ask what git tracks")?;
    if !tracked.is_empty() {
        return no("git tracks it, so the worktree has its own");
    }
    if changes::behind_link(&worktree.path, relative)? {
        return no("the way to it leads through a link in the worktree");
    }
    let is_ours = is_link_to(&to, &from)?;
    if disk::look(&to)?.is_some() && !is_ours {
        return no("the worktree has something of that name");
    }
    // Asked of a path where no directory is, git answers as it will for the link.
    if !is_ignored(env, worktree, relative)? {
        return Ok(Some(format!(
            "git does not ignore a link of that name, so it would be committed: .gitignore needs /{} without a slash behind it",
            relative.display()
        )));
    }
    if !is_ours {
        disk::link_into(&from, &to)?;
    }
    Ok(None)
}

fn is_ignored(env: &GitEnv, worktree: &Worktree, relative: &Path) -> Result<bool> {
    let git = Git::at(env, &worktree.admin_dir, &worktree.common_dir, &worktree.path);
    // It takes no literal paths; behind this prefix no name means anything else.
    let git = git.env("GIT_LITERAL_PATHSPECS", "0");
    let out = git
        .args(["check-ignore", "-q", "-z", "--stdin"])
        .stdin(changes::nul_ended(&[Path::new("./").join(relative)]))
        .run()?;
    match out.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(out.failure().into()),
    }
}
