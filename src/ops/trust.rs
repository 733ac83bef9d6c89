//! `trust`: whether what a repository asks for in its `.ai_orch.toml` may be done. Only a person can say so, once for each content.

use super::project_file::Consent;
use super::{Result, guard};
use crate::a2a::trust as store;
use crate::git::Repository;
use crate::life::House;
use crate::model::ids::Project;
use crate::model::project_file::{ProjectFile, TrustReport};
use crate::model::report::VERSION;
use crate::rules::naming;
use crate::rules::project_file::to_be_allowed;
use crate::settings::project_file::{load, path};
use std::path::PathBuf;

/// Asks a person whether what is shown is allowed.
pub type Ask<'a> = dyn FnMut(&TrustReport) -> bool + 'a;

/// A file that was read, once.
pub(super) struct Found {
    pub(super) file: PathBuf,
    pub(super) content: ProjectFile,
    /// Of what has to be allowed; `None`: nothing has to be.
    pub(super) hash: Option<String>,
    pub(super) project: Project,
}

impl Found {
    fn report(&self, allowed: bool) -> TrustReport {
        TrustReport {
            v: VERSION,
            file: self.file.clone(),
            asks: Some(self.content.clone()),
            hash: self.hash.clone(),
            allowed,
            revoked: 0,
        }
    }

    fn is_allowed(&self, house: &House) -> Result<bool> {
        let Some(hash) = &self.hash else { return Ok(true) };
        Ok(store::is_allowed(&house.settings.places, &self.project, hash)?)
    }

    fn allow(&self, house: &House) -> Result<()> {
        let Some(hash) = &self.hash else { return Ok(()) };
        Ok(store::allow(&house.settings.places, &self.project, hash, &self.content)?)
    }
}

/// Whether what was `found` is allowed: already, or by whoever gives his consent now, which is put on record.
pub(super) fn settle(house: &House, found: &Found, consent: Consent<'_>) -> Result<bool> {
    if found.is_allowed(house)? {
        return Ok(true);
    }
    let yes = match consent {
        Consent::Nobody => false,
        Consent::Given => true,
        Consent::Person(ask) => ask(&found.report(false)),
    };
    if yes {
        found.allow(house)?;
    }
    Ok(yes)
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Show what is asked for, and whether it is allowed.
    Show,
    /// Allow it.
    Allow,
    /// Allow nothing of this repository any more.
    Revoke,
}

/// Does `deed` with the file of the checkout that we are called in, and says what it asks for.
///
/// # Errors
/// If the file is wrong, or an agent asks.
pub fn trust(house: &House, deed: Deed) -> Result<TrustReport> {
    if deed != Deed::Show {
        guard::person_only(house, "trust")?;
    }
    let repository =
        Repository::require(&house.git()?, &house.settings.working_dir).map_err(crate::life::Error::from)?;
    let project = naming::project_for(repository.common_dir());
    let file = path(repository.work_dir());
    if deed == Deed::Revoke {
        let revoked = store::revoke(&house.settings.places, &project)?;
        return Ok(TrustReport { revoked, allowed: false, ..TrustReport::nothing(file) });
    }
    let Some(content) = load(repository.work_dir()).map_err(crate::life::Error::from)? else {
        return Ok(TrustReport::nothing(file));
    };
    let found = Found { file, hash: to_be_allowed(&content), content, project };
    if deed == Deed::Allow {
        found.allow(house)?;
    }
    Ok(found.report(found.is_allowed(house)?))
}
