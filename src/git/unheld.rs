//! What lies in a worktree and is in no commit of ours, by a look of our own.
//!
//! git's lists leave things out without an error: directories that cannot be read, names that it refuses (`git~1`, `.GIT`), every
//! `.git`, and on a file system that it was told is case-insensitive one of two names. Before a worktree is deleted nothing may be
//! left out, so what is there is compared with what is saved, name by name.

use super::Result;
use super::disk;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is known of a worktree; paths are relative to its root.
pub(super) struct Known<'k> {
    /// Its git directory.
    pub(super) admin_dir: &'k Path,
    /// The files and links that are saved.
    pub(super) held: HashSet<PathBuf>,
    /// What is told anyway: entries that are too large to be saved, and repositories.
    pub(super) told: HashSet<&'k Path>,
}

/// The files, links and unreadable directories below `root` that are not [`Known`]. Directories without a file, pipes, sockets and
/// devices hold nothing that could be lost.
pub(super) fn find(root: &Path, known: &Known<'_>) -> Result<Vec<PathBuf>> {
    let mut unheld = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let Ok(Some(names)) = disk::names(&root.join(&dir)) else {
            unheld.push(dir);
            continue;
        };
        for name in names {
            let relative = dir.join(&name);
            if known.told.contains(relative.as_path()) {
                continue;
            }
            let full = root.join(&relative);
            let meta = match disk::look(&full) {
                Ok(Some(meta)) => meta,
                Ok(None) => continue,
                Err(_) => {
                    unheld.push(relative);
                    continue;
                }
            };
            if name == ".git" {
                if !is_gits(&full, &dir, known)? {
                    unheld.push(relative);
                }
                continue;
            }
            if meta.is_dir() {
                todo.push(relative);
            } else if (meta.is_file() || meta.is_symlink()) && !known.held.contains(&relative) {
                unheld.push(relative);
            }
        }
    }
    unheld.sort();
    Ok(unheld)
}

/// Is this `.git` nothing but git's own: a link to a git directory that is not here, or what `git init` makes and nobody used?
fn is_gits(path: &Path, dir: &Path, known: &Known<'_>) -> Result<bool> {
    let Some(meta) = disk::look(path)? else { return Ok(true) };
    if meta.is_file() {
        let link = disk::read_small(path).ok().flatten().unwrap_or_default();
        let target = link.strip_prefix(b"gitdir: ").and_then(|rest| rest.strip_suffix(b"\n"));
        let Some(target) = target.map(|target| Path::new(std::ffi::OsStr::from_bytes(target))) else {
            return Ok(false);
        };
        // Moved aside it leads where it led before, and a relative one nowhere: its name has to do.
        let home = dir.as_os_str().is_empty() && target.file_name() == known.admin_dir.file_name();
        let parent = path.parent().unwrap_or(path);
        return Ok(home || (!dir.as_os_str().is_empty() && disk::look(&parent.join(target))?.is_some()));
    }
    if !meta.is_dir() {
        return Ok(false);
    }
    for file in files(path)? {
        let name = file.strip_prefix(path).unwrap_or(&file);
        let sample = name.starts_with("hooks") && name.extension().is_some_and(|end| end == "sample");
        if !sample && !is_as_made(name, &file)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file of a git directory is as `git init` makes it: nothing in it was said by anybody.
fn is_as_made(name: &Path, file: &Path) -> Result<bool> {
    if !disk::look(file)?.is_some_and(|meta| meta.is_file()) {
        return Ok(false);
    }
    let text = disk::read_small(file)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(match name.to_str() {
        Some("HEAD") => text.lines().count() == 1 && text.starts_with("ref: refs/heads/"),
        Some("config") => text.lines().filter(|line| line.starts_with('[')).all(|line| line == "[core]"),
        Some("description") => text.starts_with("Unnamed repository"),
        Some("info/exclude") => text.lines().all(|line| line.starts_with('#')),
        _ => false,
    })
}

/// Everything but directories at and below `path`.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![path.to_owned()];
    while let Some(dir) = todo.pop() {
        for name in disk::names(&dir)?.unwrap_or_default() {
            let full = dir.join(name);
            match disk::look(&full)? {
                Some(meta) if meta.is_dir() => todo.push(full),
                Some(_) => found.push(full),
                None => {}
            }
        }
    }
    Ok(found)
}
