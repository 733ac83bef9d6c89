//! The root under /tmp: ours alone, or refused.

use super::{Error, Result};
use crate::tools::file;
use crate::tools::lock::{self, Lock};
use rustix::fs::fstat;
use std::path::Path;

/// The version of what lies under the root.
const VERSION: u32 = 1;

/// Makes the root if it is not there, and refuses one that somebody else could have planted: it must be a directory (not
/// a link to one), owned by `uid`, closed to everybody else.
pub fn prepare(root: &Path, uid: u32) -> Result<()> {
    if let Some(parent) = root.parent()
        && !file::is_dir(parent)?
    {
        file::make_dirs(parent)?;
    }
    file::make_dir(root)?;
    check(root, uid)?;
    // The socket of the tmux server is made in it, and tmux does not say that it could not.
    file::require_writable(root)?;
    let path = root.join("VERSION");
    match version(&path)? {
        Some(VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(Error::Newer { path: root.to_owned() }),
        // Ours is a copy of what this program knows; whatever else is there says nothing.
        Some(_) | None => Ok(file::post(&path, format!("{VERSION}\n").as_bytes())?),
    }
}

/// What the file says; `None` if it is not there or says nothing.
fn version(path: &Path) -> Result<Option<u32>> {
    match file::read(path) {
        Ok(bytes) => Ok(bytes.and_then(|b| std::str::from_utf8(&b).ok()?.trim().parse().ok())),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the root is there; an error if it is there and not ours alone.
pub fn check(root: &Path, uid: u32) -> Result<bool> {
    let squatted = |why: String| Error::Squatted { path: root.to_owned(), why };
    let Some((owner, _, is_dir)) = file::ownership(root)? else { return Ok(false) };
    if !is_dir {
        return Err(squatted("it is a link or a file".to_owned()));
    }
    // Of somebody else's closed directory not even the owner can be asked after opening it.
    if owner != uid {
        return Err(squatted(format!("it belongs to user {owner}")));
    }
    // Opened without following links, so that what is checked is what is used, whatever the name means a moment later.
    let dir = file::open_dir(root)?;
    let stat = fstat(&dir).map_err(|e| squatted(e.to_string()))?;
    if stat.st_uid != uid {
        return Err(squatted(format!("it belongs to user {}", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(squatted(format!("others may enter it (mode {:o})", stat.st_mode & 0o777)));
    }
    Ok(true)
}

/// Keeps cleaners of /tmp away from the root for as long as the lock is held.
pub fn hold(root: &Path) -> Result<Lock> {
    Ok(lock::share_dir(root)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_a_private_directory_of_ours_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let good = dir.path().join("a/good");
        assert!(!check(&good, uid).unwrap());
        prepare(&good, uid).unwrap();
        prepare(&good, uid).unwrap();
        let file = good.join("VERSION");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1\n");
        for damaged in ["", "0", "what?"] {
            std::fs::write(&file, damaged).unwrap();
            prepare(&good, uid).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "1\n");
        }
        std::fs::write(&file, "2\n").unwrap();
        assert!(matches!(prepare(&good, uid), Err(Error::Newer { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "2\n", "a newer one is left as it is");

        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(prepare(&open, uid), Err(Error::Squatted { .. })));

        let link = dir.path().join("link");
        symlink(&good, &link).unwrap();
        assert!(matches!(prepare(&link, uid), Err(Error::Squatted { .. })));

        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file, uid), Err(Error::Squatted { .. })));

        assert!(matches!(prepare(&good, uid + 1), Err(Error::Squatted { .. })), "somebody else's");
    }
}
