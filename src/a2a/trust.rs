//! What a person allowed of the `.ai_orch.toml` of a repository: a file for each content, named by its hash. Not in the repository,
//! where whoever writes the one could write the other.

use super::Result;
use crate::model::ids::{Moment, Project};
use crate::model::places::Places;
use crate::model::project_file::ProjectFile;
use crate::tools::{clock, file};
use serde::{Deserialize, Serialize};

/// What was allowed, for whoever looks at it later.
#[derive(Debug, Serialize, Deserialize)]
struct Allowed {
    v: u32,
    at: Moment,
    file: ProjectFile,
}

/// Whether the content with this hash was allowed.
pub fn is_allowed(places: &Places, project: &Project, hash: &str) -> Result<bool> {
    Ok(file::ownership(&places.trusted(project).join(hash))?.is_some())
}

/// Puts on record that a person allowed `content`, which has this hash. It survives a power cut.
pub fn allow(places: &Places, project: &Project, hash: &str, content: &ProjectFile) -> Result<()> {
    let allowed = Allowed { v: 1, at: clock::now(), file: content.clone() };
    file::make_dirs(&places.trusted(project))?;
    Ok(file::replace(&places.trusted(project).join(hash), &serde_json::to_vec(&allowed)?)?)
}

/// Takes back all that was allowed in this repository; how much that was.
pub fn revoke(places: &Places, project: &Project) -> Result<u32> {
    let dir = places.trusted(project);
    let mut revoked = 0;
    for name in file::names(&dir)?.unwrap_or_default() {
        revoked += u32::from(file::remove(&dir.join(name))?);
    }
    Ok(revoked)
}
