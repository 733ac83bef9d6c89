//! `.ai_orch.toml` of a checkout, as it is on disk there. It is foreign: whatever stands in its place is no reason to wait, to fill memory,
//! or to look at another file.

use super::Error;
use crate::model::project_file::{FILE, ProjectFile};
use crate::rules::project_file::parse;
use crate::tools::file;
use std::path::{Path, PathBuf};

/// The largest one that is read, in bytes.
const LARGEST: u64 = 64 << 10;

/// Where the file of the checkout at `root` is, or would be.
pub fn path(root: &Path) -> PathBuf {
    root.join(FILE)
}

/// What the file of the checkout at `root` asks for; `None` if there is none.
///
/// # Errors
/// If it is no regular file, too large, no UTF-8, or not what such a file can say.
pub fn load(root: &Path) -> Result<Option<ProjectFile>, Error> {
    let path = path(root);
    let wrong = |message: String| Error::Config { path: path.clone(), message };
    let Some(bytes) = file::read_itself(&path, LARGEST).map_err(|e| wrong(e.source.to_string()))? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    parse(&text).map(Some).map_err(wrong)
}
