//! An agent's work in its worktree: filled before it begins, looked at, committed when it is done.

use super::{House, Result, ground, pool, worktree};
use crate::a2a::reservations::Reservations;
use crate::git::changes::NestedKind;
use crate::git::pool::Taken;
use crate::git::settings::ForWorktrees;
use crate::git::{self, Brought, CommitId, ConfigSnapshot, GitEnv};
use crate::model::agent::Agent;
use crate::model::entry::{Changes, Entry, Filled};
use crate::model::ids::Party;
use crate::model::places::Record;
use crate::model::reservation::Crossed;
use crate::rules::prompt::Found;
use crate::rules::{naming, reservations};
use crate::tools::{clock, file, lock};
use jiff::SignedDuration;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long lines are counted for a summary, in a worktree with many changes.
const COUNT_LIMIT: Duration = Duration::from_secs(2);
/// How old what the settings of git say may be to be what they say now.
const SETTINGS_AGE: SignedDuration = SignedDuration::from_secs(10);
/// How many commits are counted.
const COMMITS: usize = 10_000;
/// How many commits and files a brief names.
const NAMED: usize = 50;

/// What came of the attempt to commit what an agent left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The commit, if one was made.
    pub commit: Option<String>,
    /// Why something is left uncommitted.
    pub skipped: Option<String>,
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Fills the worktree of `agent` and checks that it is the one that was made for it; how, unless it is not ours to fill. Ends soon, with
/// an error, once `stop` is set; a git that is at work in it then is for the caller to end.
pub fn fill(house: &House, agent: &Agent, record: &Record, stop: &AtomicBool) -> Result<Option<Filled>> {
    if !agent.spec.place.has_own_worktree() {
        return ground::stands(agent).map(|()| None);
    }
    let Some(worktree) = worktree(agent) else {
        let what = "it was never made".to_owned();
        return Err(git::Error::NotOurWorktree { path: agent.spec.worktree.clone(), what }.into());
    };
    let env = house.git()?;
    // If this cannot be said, somebody else may be a little in the way.
    let _first = lock::try_shared(&house.settings.places.filling()).ok().flatten();
    let settings = settings_of_now(agent, record)?;
    let filled = match pool::take(house, agent, &env, &worktree, settings.as_ref(), stop)? {
        Taken::Filled(filled) => filled,
        Taken::No(why) => {
            git::fill::fill(&env, &worktree, &sources(agent), settings.as_ref(), stop)?.without(why)
        }
    };
    git::worktree::verify(&env, &worktree)?;
    take_along(house, agent, &worktree)?;
    Ok(Some(filled))
}

/// Where the files of the worktree of `agent` may be as well: what `run` was called in, which may be gone by now, and the main checkout,
/// which mostly has the same.
pub(super) fn sources(agent: &Agent) -> Vec<PathBuf> {
    let main = agent.spec.common_dir.parent().map(Path::to_owned);
    [agent.spec.checkout.clone()].into_iter().chain(main).collect()
}

/// Copies what the checkout has for its worktrees beside what is committed. A checkout that is gone has nothing.
fn take_along(house: &House, agent: &Agent, worktree: &git::Worktree) -> Result<()> {
    let spec = &agent.spec;
    let wanted = !spec.copy.is_empty() || git::include::is_wanted(&spec.checkout)?;
    if !wanted || !file::is_dir(&spec.checkout)? {
        return Ok(());
    }
    let Some(checkout) = git::Repository::discover(&house.git()?, &spec.checkout)? else { return Ok(()) };
    if checkout.common_dir() != spec.common_dir {
        return Ok(());
    }
    let chosen = git::include::choose(&checkout, worktree, &spec.copy)?;
    if !chosen.files.is_empty() {
        // On record before they are there, with those of a call that was cut off.
        let path = house.settings.places.record(&spec.project, spec.id).brought();
        let mut brought = copied(&path)?;
        brought.add(chosen.files.iter().cloned());
        file::replace(&path, &brought.to_bytes())?;
        git::include::copy(&checkout, worktree, &chosen.files)?;
    }
    tracing::info!(files = chosen.files.len(), "taken along from the checkout");
    if !chosen.too_much.is_empty() {
        tracing::warn!(files = ?chosen.too_much, "not taken along: more than 1 GiB");
    }
    Ok(())
}

fn copied(path: &Path) -> Result<Brought> {
    Ok(file::read(path)?.map_or_else(Brought::nothing, |bytes| Brought::from_bytes(&bytes)))
}

/// What we brought into the worktree of `agent`, and is none of its work: copies from the checkout, and links to it.
pub fn brought(house: &House, agent: &Agent, worktree: &git::Worktree) -> Result<Brought> {
    let spec = &agent.spec;
    if !spec.place.has_own_worktree() {
        return Ok(Brought::nothing());
    }
    let mut brought = copied(&house.settings.places.record(&spec.project, spec.id).brought())?;
    if let Some(from) = &spec.from_file {
        // The link itself tells: one that an agent has put something else in place of is the agent's.
        brought.add(git::links::made(&spec.checkout, worktree, &from.symlink)?);
    }
    Ok(brought)
}

/// Fails if something else is where the worktree of `agent` was: nobody may be started there.
pub fn in_place(agent: &Agent) -> Result<()> {
    Ok(worktree(agent).map_or(Ok(()), |worktree| git::worktree::linked(&worktree))?)
}

/// What is on the branch of `agent` and in its worktree. `None` if it never had a worktree.
pub fn changes(house: &House, agent: &Agent) -> Result<Option<Changes>> {
    let (Some(worktree), Some(base)) = (worktree(agent), CommitId::parse(&agent.spec.base)) else {
        return Ok(None);
    };
    look(&house.git()?, &worktree, &base, &brought(house, agent, &worktree)?).map(Some)
}

fn look(env: &GitEnv, worktree: &git::Worktree, base: &CommitId, brought: &Brought) -> Result<Changes> {
    let head = git::worktree::head(env, worktree)?;
    let tip = head.commit().cloned();
    let live = git::stat::stat(env, worktree, base, brought, COUNT_LIMIT)?;
    let commits = git::history::commits(env, worktree, base, COMMITS)?.len();
    let uncommitted = match &tip {
        Some(tip) => git::stat::stat(env, worktree, tip, brought, Duration::ZERO)?.diff.files > 0,
        None => live.diff.files > 0,
    };
    let elsewhere = (!worktree.is_at(&head)).then(|| head.branch().unwrap_or("(no branch)").to_owned());
    Ok(Changes {
        elsewhere,
        tip: tip.map(|t| t.as_str().to_owned()),
        commits: number(commits),
        files: number(live.diff.files),
        insertions: number(live.diff.insertions),
        deletions: number(live.diff.deletions),
        uncommitted,
    })
}

/// What the next CLI finds when it takes over from another one. Never fails: what cannot be found out is left out.
pub fn found(house: &House, agent: &Agent) -> Found {
    let changes = match changes(house, agent) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!(%error, "could not look at the worktree for a brief");
            None
        }
    };
    let mut found = Found { changes, ..Found::default() };
    let (Some(worktree), Some(base)) = (worktree(agent), CommitId::parse(&agent.spec.base)) else {
        return found;
    };
    let Ok(env) = house.git() else { return found };
    let commits = git::history::commits(&env, &worktree, &base, NAMED).unwrap_or_default();
    found.commits = commits.iter().map(|c| format!("commit {} {}", c.id.short(), c.subject)).collect();
    let Ok(brought) = brought(house, agent, &worktree) else { return found };
    if let Ok(difference) = git::history::difference(&env, &worktree, &base, &brought, 0) {
        let named = difference.files.iter().take(NAMED);
        found.files = named.map(|f| format!("{} {}", f.status, f.path.to_string_lossy())).collect();
    }
    found
}

/// Saves what attempt `n` of `agent` left in its worktree under a ref of its own, and says what is to be put on record: that, and what
/// others have reserved of it.
/// Never fails: the worktree stays as it is, so what could not be saved is not lost.
pub fn rescue(house: &House, agent: &Agent, record: &Record, n: u32) -> Entry {
    // Another git may just be at work in the repository. Under the lock that our own take, once more.
    let again = |error: super::Error| {
        tracing::warn!(%error, "could not save; once more, alone");
        let _alone = house.alone_in(&agent.spec.project)?;
        save(house, agent, record, n)
    };
    let (name, commit, why, left) = match save(house, agent, record, n).or_else(again) {
        Ok(Some(saved)) => {
            let left = left_out(&saved.left);
            (Some(saved.name), Some(saved.commit.as_str().to_owned()), None, left)
        }
        Ok(None) => (None, None, None, Vec::new()),
        Err(error) => {
            tracing::warn!(%error, n, "what the attempt left could not be saved");
            (None, None, Some(error.to_string()), Vec::new())
        }
    };
    let crossed = crossed(house, agent).unwrap_or_else(|error| {
        tracing::warn!(%error, n, "could not find out whether others had reserved what the agent changed");
        Vec::new()
    });
    Entry::Rescued { n, removal: false, name, commit, why, left, crossed }
}

/// What a commit of a worktree does not hold, in words: as many as are looked at by anybody.
pub(super) fn left_out(left: &git::changes::Left) -> Vec<String> {
    let nested = left.nested.iter().filter_map(|nested| {
        let path = nested.path.to_string_lossy();
        match nested.kind {
            NestedKind::Submodule => Some(format!("the checked-out submodule {path}")),
            NestedKind::WithCommits => Some(format!("{path}, a repository with commits of its own")),
            NestedKind::WithoutCommits => None,
        }
    });
    let unsaved = left.unsaved.iter().map(|path| match path.to_string_lossy() {
        root if root.is_empty() => "its root, which cannot be read".to_owned(),
        path => path.into_owned(),
    });
    nested.chain(unsaved).take(NAMED).collect()
}

/// What others have reserved, at this moment, of the files that `agent` has changed since its base.
fn crossed(house: &House, agent: &Agent) -> Result<Vec<Crossed>> {
    let own = Party::Worker(agent.spec.session.clone());
    let theirs = Reservations::open(&house.settings.places, &agent.spec.project)?.of_others(&own)?;
    // Mostly nobody has reserved anything, and then nothing is compared.
    if theirs.is_empty() {
        return Ok(Vec::new());
    }
    let (Some(worktree), Some(base)) = (worktree(agent), CommitId::parse(&agent.spec.base)) else {
        return Ok(Vec::new());
    };
    let brought = brought(house, agent, &worktree)?;
    let difference = git::history::difference(&house.git()?, &worktree, &base, &brought, 0)?;
    Ok(reservations::crossed(&theirs, &difference.paths()))
}

fn save(house: &House, agent: &Agent, record: &Record, n: u32) -> Result<Option<git::rescue::Saved>> {
    let Some(worktree) = worktree(agent) else { return Ok(None) };
    let name = format!("refs/ai_orch/rescue/{}/{n}", agent.spec.id);
    let message =
        format!("{}\n\nAs attempt {n} left it, saved by ai_orch.\n", naming::subject_for(&agent.spec.title));
    Ok(git::rescue::save(&house.git()?, &worktree, &git_config(record)?, &name, &message, None)?)
}

/// The git settings from before the agent.
pub(super) fn git_config(record: &Record) -> Result<ConfigSnapshot> {
    let path = record.git_config();
    Ok(match file::read(&path)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| file::Error::damaged(&path, e))?,
        None => ConfigSnapshot::default(),
    })
}

/// What the settings of git say for worktrees, if that was asked for a moment ago, when `agent` was made.
pub fn settings_of_now(agent: &Agent, record: &Record) -> Result<Option<ForWorktrees>> {
    let age = clock::now().0.duration_since(agent.created.0);
    if age.is_negative() || age > SETTINGS_AGE {
        return Ok(None);
    }
    Ok(git_config(record)?.for_worktrees().cloned())
}

/// Commits what attempt `n` of `agent` left, on the agent's branch.
pub fn commit(house: &House, agent: &Agent, record: &Record) -> Result<Committed> {
    let Some(worktree) = worktree(agent) else { return Ok(Committed::default()) };
    let env = house.git()?;
    let config = git_config(record)?;
    let subject = naming::subject_for(&agent.spec.title);
    let message = format!("{subject}\n\nLeft uncommitted by {}, committed by ai_orch.\n", agent.cli());
    let brought = brought(house, agent, &worktree)?;
    let save = || git::commit::commit_all(&env, &worktree, &config, &brought, &message);
    let saved = match save() {
        Ok(saved) => saved,
        Err(error) => {
            // git lists the worktrees of the repository, and fails at one that somebody else is just adding. Under the
            // lock that adding takes, there is none; whatever fails then is a failure.
            tracing::warn!(%error, "could not commit; once more, alone");
            let _alone = house.alone_in(&agent.spec.project)?;
            save()?
        }
    };
    let mut committed = Committed::default();
    match &saved.outcome {
        git::commit::Outcome::Nothing => {}
        git::commit::Outcome::Committed { commit, .. } => committed.commit = Some(commit.as_str().to_owned()),
        git::commit::Outcome::NotCommitted(obstacle) => {
            // The branch is no place for it; the ref that it was saved under is.
            let saved = agent.rescues.iter().rev().find_map(|r| r.name.as_ref());
            committed.skipped = Some(match saved {
                Some(name) => format!("{obstacle}; what it left is saved as {name}"),
                None => obstacle.to_string(),
            });
        }
    }
    if !worktree.is_at(&saved.head) {
        // Where HEAD is now, nothing may hold it but the worktree itself.
        if let git::commit::Outcome::Committed { commit, .. } = &saved.outcome {
            let name = format!("{}/state/{commit}", super::clean::rescues_of(agent));
            git::rescue::keep(&env, &worktree.common_dir, &name, commit)?;
        }
        let at = saved.head.branch().map_or_else(|| "no branch".to_owned(), |b| format!("the branch {b}"));
        committed
            .skipped
            .get_or_insert(format!("the agent left its worktree on {at}, not on {}", was_on(agent)));
    }
    Ok(committed)
}

fn was_on(agent: &Agent) -> &str {
    if agent.spec.branch.is_empty() { "no branch" } else { &agent.spec.branch }
}
