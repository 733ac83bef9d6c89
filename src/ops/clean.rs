//! `clean`: ended agents lose worktree, session and name, and their branch if nothing is lost by that. Saved first.

use super::{Error, Result, guard};
use crate::a2a::mail::Mail;
use crate::a2a::names::{self, Named};
use crate::a2a::{cleaned, look, record};
use crate::git::remove::{BranchFate, KeptBecause};
use crate::git::rescue;
use crate::life::clean::{self, Cleaned};
use crate::life::{self, House};
use crate::model::agent::{Agent, Removal, State};
use crate::model::ids::Moment;
use crate::model::report::{BranchReport, CleanReport, CleansReport, ForgottenReport, NotKept, VERSION};
use crate::model::request::Clean;
use crate::tools::{clock, crash, file, program};
use std::time::Duration;

/// How long rescue refs of cleaned agents are kept at least, if nobody says otherwise.
pub const RESCUES_KEPT: Duration = Duration::from_hours(30 * 24);

/// Cleans the agents that `request` names, or all that have ended and are as it says.
pub fn clean(house: &House, request: &Clean) -> Result<CleansReport> {
    guard::person_only(house, "clean")?;
    let how = clean::How { squashed: request.merged, teardown: !request.no_teardown };
    let mut cleaned = Vec::new();
    for (name, named) in chosen(house, request)? {
        let done = named.and_then(|named| {
            let done = if request.dry_run {
                clean::outlook(house, &named, how)
            } else {
                clean::clean(house, &named, how)
            };
            Ok(done?)
        });
        let left = matches!(&done, Err(Error::Life(life::Error::Clean(clean::Error::BrokenOff { .. }))));
        cleaned.push(told(name, done, request.dry_run));
        // Whoever wants it to end wants all of it to.
        if left {
            return Ok(CleansReport { v: VERSION, dry_run: false, cleaned, forgotten: Vec::new() });
        }
    }
    if !request.dry_run {
        house.sweep_scratch();
        clean::empty_trash(house)?;
        delete_gone(house)?;
        // What is asked for is done; these are of no agent's.
        if let Err(error) = life::pool::clear(house) {
            tracing::warn!(%error, "what is kept ready could not be looked through");
        }
    }
    let forgotten = if request.rescue { forget(house, request)? } else { Vec::new() };
    Ok(CleansReport { v: VERSION, dry_run: request.dry_run, cleaned, forgotten })
}

/// Leaves the deleting of files to a process of its own: what was asked for is done, and nobody has to wait for the disk.
fn delete_gone(house: &House) -> Result<()> {
    if !clean::is_anything_gone(house)? {
        return Ok(());
    }
    let mut environment = house.settings.environment.plain();
    for (name, value) in crash::handed_on() {
        environment.set(name, value);
    }
    let left = program::leave_behind(&house.settings.program, &["__delete"], environment.iter());
    match left {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "nobody can be left behind to delete files");
            Ok(clean::delete_gone(house)?)
        }
    }
}

fn chosen(house: &House, request: &Clean) -> Result<Vec<(String, Result<Named>)>> {
    let places = &house.settings.places;
    if !request.sessions.is_empty() {
        // Whole names, as for kill: what goes away is named in full.
        let find = |name: &String| (name.clone(), names::require(places, name).map_err(Into::into));
        let mut names = request.sessions.clone();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        return Ok(names.iter().map(find).collect());
    }
    if request.rescue {
        return Ok(Vec::new());
    }
    let now = clock::now();
    let mut chosen = Vec::new();
    for named in names::all(places)? {
        // One that cannot be read has to be named to be cleaned.
        let Ok(Some(agent)) = record::load(&named.record) else { continue };
        let Ok(Some(known)) = look::look(places, &named) else { continue };
        let wanted = if request.done { known.state == State::Done } else { known.state.is_final() };
        let wanted = wanted && (!request.merged || clean::is_merged(house, &agent)?);
        let ended = known.ended.unwrap_or(known.updated);
        let old = request.older_than.is_none_or(|age| older(ended, now, age));
        if agent.removal.is_some() || (wanted && old) {
            chosen.push((named.session.to_string(), Ok(named)));
        }
    }
    Ok(chosen)
}

fn older(moment: Moment, now: Moment, age: Duration) -> bool {
    u128::from(now.millis_since(moment)) >= age.as_millis()
}

fn told(session: String, done: Result<Cleaned>, dry_run: bool) -> CleanReport {
    let mut report = CleanReport { session, ..CleanReport::default() };
    match done {
        Ok(done) => {
            report.cleaned = !dry_run;
            report.bytes = done.freed;
            report.saved = done.saved;
            report.torn_down = done.torn_down;
            report.notes = done.notes;
            report.branch = done.branch.as_ref().and_then(branch);
            report.not_kept = done
                .not_kept
                .iter()
                .map(|(path, bytes)| NotKept { path: path.to_string_lossy().into_owned(), bytes: *bytes })
                .collect();
        }
        Err(error) => {
            report.error = Some(error.body());
        }
    }
    report
}

fn branch(fate: &BranchFate) -> Option<BranchReport> {
    let (tip, kept) = match fate {
        BranchFate::Gone => return None,
        BranchFate::Deleted { tip } => (tip, None),
        BranchFate::Kept { tip, why: KeptBecause::NotMerged { commits } } => {
            let commits_word = if *commits == 1 { "commit is" } else { "commits are" };
            (tip, Some(format!("{commits} {commits_word} on no other branch")))
        }
        BranchFate::Kept { tip, why: KeptBecause::NotOurs } => {
            (tip, Some("it was there before the agent".to_owned()))
        }
        BranchFate::Kept { tip, why: KeptBecause::CheckedOut { at } } => {
            let at = at.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
            (tip, Some(format!("it is checked out in {at}")))
        }
    };
    Some(BranchReport { tip: tip.as_str().to_owned(), kept_because: kept })
}

/// Removes rescue refs and records of agents that were cleaned long enough ago.
fn forget(house: &House, request: &Clean) -> Result<Vec<ForgottenReport>> {
    let places = &house.settings.places;
    let age = request.older_than.unwrap_or(RESCUES_KEPT);
    let now = clock::now();
    let mut forgotten = Vec::new();
    for cleaned in cleaned::all(places)? {
        // Before it is looked at: somebody may be bringing it back.
        let _alone = record::hold(&cleaned.record)?;
        let Some(_held) = record::try_take(&cleaned.record)? else { continue };
        let Ok(Some(agent)) = cleaned.agent() else { continue };
        let Some(Removal::Cleaned { at, .. }) = &agent.removal else { continue };
        // Of a repository that is away the refs cannot be removed, and without the record nobody would know of them.
        if !older(*at, now, age) || !file::is_dir(&agent.spec.common_dir)? {
            continue;
        }
        let refs = rescues(house, &agent)?;
        if !request.dry_run {
            let env = house.git()?;
            for (name, commit) in &refs {
                rescue::delete(&env, &agent.spec.common_dir, name, commit).map_err(life::Error::from)?;
            }
            Mail::new(places, &agent.spec.project).forget(cleaned.id)?;
            cleaned::remove(places, cleaned.id)?;
            crate::git::remove::tree(&cleaned.record.0).map_err(life::Error::from)?;
        }
        forgotten.push(ForgottenReport {
            session: agent.spec.session.clone(),
            id: cleaned.id,
            cleaned: *at,
            refs: u32::try_from(refs.len()).unwrap_or(u32::MAX),
        });
    }
    Ok(forgotten)
}

/// The refs that the worktrees of the agent are saved under.
fn rescues(house: &House, agent: &Agent) -> Result<Vec<(String, crate::git::CommitId)>> {
    let refs = rescue::list(&house.git()?, &agent.spec.common_dir, &clean::rescues_of(agent))
        .map_err(life::Error::from)?;
    Ok(refs.into_iter().map(|(name, commit, _)| (name, commit)).collect())
}
