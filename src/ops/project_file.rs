//! `.ai_orch.toml` for one run: read, allowed, and combined with what was typed, before anything is made. From here on its words are
//! the agent's: the file is not read again.

use super::trust::{self, Ask};
use super::{Error, Result};
use crate::life::House;
use crate::life::ground::Ground;
use crate::model::project_file::{FromFile, ProjectFile};
use crate::model::request::Run;
use crate::rules::naming;
use crate::rules::project_file::{Overruled, left, on_record, to_be_allowed};
use crate::settings::project_file::{load, path};

/// What an agent is made with, from the request and the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) setup: Option<String>,
    pub(super) validate: Option<String>,
    pub(super) copy: Vec<String>,
    pub(super) from_file: Option<FromFile>,
}

/// Who says whether what the file asks for is allowed, where nobody has said it before.
pub enum Consent<'a> {
    /// Nobody: then it is not.
    Nobody,
    /// Whoever asks for the run has said it.
    Given,
    /// The person at the terminal.
    Person(&'a mut Ask<'a>),
}

/// What the agent of `request` is made with.
///
/// # Errors
/// If the file is wrong, or asks for what is not allowed.
pub(super) fn wanted(house: &House, ground: &Ground, request: &Run, consent: Consent<'_>) -> Result<Wanted> {
    let file = match ground {
        Ground::Repository { .. } if !request.no_project_file => allowed(house, ground, request, consent)?,
        Ground::Repository { .. } | Ground::Directory(_) => None,
    };
    let from_file = file.as_ref().map(on_record);
    let file = file.unwrap_or_default();
    Ok(Wanted {
        from_file,
        setup: request.setup.clone().or(file.setup),
        validate: request.validate.clone().or(file.validate),
        copy: request.copy.iter().cloned().chain(file.copy).collect(),
    })
}

fn allowed(
    house: &House,
    ground: &Ground,
    request: &Run,
    consent: Consent<'_>,
) -> Result<Option<ProjectFile>> {
    let root = ground.checkout();
    let Some(whole) = load(root).map_err(crate::life::Error::from)? else { return Ok(None) };
    let overruled = Overruled {
        no_worktree: !ground.place().has_own_worktree(),
        setup: request.no_setup || request.setup.is_some(),
        validate: request.no_validate || request.validate.is_some(),
    };
    let given = |name: &str| request.env.iter().any(|(variable, _)| variable == name);
    let file = left(&whole, overruled, given);
    // Of the whole file, so that it is allowed once, whatever is left out of it.
    if let (Some(_), Some(hash)) = (to_be_allowed(&file), to_be_allowed(&whole)) {
        let project = naming::project_for(ground.common_dir());
        let found = trust::Found { file: path(root), content: whole, hash: Some(hash), project };
        if !trust::settle(house, &found, consent)? {
            let by_agent = request.child.is_some();
            let asks = found.content;
            return Err(Error::NotTrusted { file: found.file, asks: Box::new(asks), by_agent });
        }
    }
    Ok(Some(file))
}
