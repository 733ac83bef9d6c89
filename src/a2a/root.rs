//! The root under /tmp: ours alone, or refused.

use super::{Error, Result};
use crate::tools::file;
use crate::tools::lock::{self, Lock};
use rustix::fs::fstat;
use std::path::Path;

/// The version of what lies under the root.
const VERSION: &str = "1\n";

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
    let version = root.join("VERSION");
    if file::read(&version)?.is_none() {
        file::post(&version, VERSION.as_bytes())?;
    }
    Ok(())
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
        assert_eq!(std::fs::read_to_string(good.join("VERSION")).unwrap(), VERSION);

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
