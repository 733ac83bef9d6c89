//! Guardrails, the last layer: what the refs were before an attempt, what they are after it, and what of that is put back.
//!
//! The refs are put on record in a file of the attempt, whose checksum is in the journal with the start of the attempt. Afterwards
//! what was found is in the journal before anything is put back, because what is put back is not found again.

use super::{House, Result, rails, worktree};
use crate::a2a::record::Pen;
use crate::a2a::{names, record};
use crate::git::census::{self, Configured};
use crate::git::{self, CommitId, GitEnv, Worktree, rescue};
use crate::model::agent::Agent;
use crate::model::entry::Entry;
use crate::model::guard::{Census, Deed, Fate, Finding, Refs, RemoteAt};
use crate::model::places::Record;
use crate::rules::guard::{self, BRANCHES, By, Facts, Remote, Walked};
use crate::rules::naming;
use crate::tools::file;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;

/// Puts on record what the refs are before attempt `n` of `agent`; the checksum of that, or `None` if nothing of them is guarded.
pub fn put_on_record(house: &House, agent: &Agent, record: &Record, n: u32) -> Result<Option<String>> {
    let guards = &agent.spec.guards;
    let Some(own) = worktree(agent).filter(|_| guards.over_branches() || guards.without_login()) else {
        return Ok(None);
    };
    let env = house.git()?;
    let remotes = if guards.without_login() { remotes(&env, agent, &own)? } else { Vec::new() };
    let census = Census {
        refs: census::refs_of(&env, &own.common_dir)?,
        checkouts: census::checkouts(&own.common_dir)?,
        remotes,
        rules: rails::laid(record)?,
    };
    let bytes = serde_json::to_vec(&census).map_err(crate::a2a::Error::Json)?;
    file::post(&record.attempt(n).refs(), &bytes)?;
    Ok(Some(naming::checksum(&bytes)))
}

/// Every remote of the repository, with what it has.
fn remotes(env: &GitEnv, agent: &Agent, own: &Worktree) -> Result<Vec<RemoteAt>> {
    let places = places(env, agent, own, &census::configured(env, own)?)?;
    Ok(asked(env, places))
}

/// Where the remotes of the repository are; a remote that has several places is there several times.
fn places(
    env: &GitEnv,
    agent: &Agent,
    own: &Worktree,
    configured: &Configured,
) -> Result<Vec<(String, String)>> {
    let mut places = Vec::new();
    for remote in &configured.remotes {
        for url in remote.urls.iter().chain(&remote.push_urls) {
            let place = (remote.name.clone(), census::leads_to(env, own, url, &agent.spec.checkout)?);
            if !places.iter().any(|(_, known)| *known == place.1) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

/// Asks all of them at once: each may take its time.
fn asked(env: &GitEnv, places: Vec<(String, String)>) -> Vec<RemoteAt> {
    let ask = |url: &str| match census::remote(env, url) {
        Ok(refs) => Some(refs),
        Err(error) => {
            tracing::warn!(%error, "a remote does not say what it has");
            None
        }
    };
    thread::scope(|scope| {
        let asked: Vec<_> = places
            .into_iter()
            .map(|(name, url)| {
                let place = url.clone();
                (name, url, thread::Builder::new().spawn_scoped(scope, move || ask(&place)))
            })
            .collect();
        let answer =
            |(name, url, asked): (String, String, std::io::Result<thread::ScopedJoinHandle<'_, _>>)| {
                let refs = asked.ok().and_then(|asked| asked.join().ok()).flatten();
                RemoteAt { name, url, refs }
            };
        asked.into_iter().map(answer).collect()
    })
}

/// What was found after an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What was done that may not be done.
    pub findings: Vec<Finding>,
    /// What could not be found out, in words.
    pub unknown: Vec<String>,
}

impl Found {
    /// What is to be on record before anything is put back; `None`: nothing is.
    pub fn intent(&self, n: u32) -> Option<Entry> {
        let (findings, unknown) = (self.findings.clone(), self.unknown.clone());
        findings.iter().any(guard::is_ours_to_undo).then_some(Entry::GuardFound { n, findings, unknown })
    }
}

/// What attempt `n` of `agent` did that it may not do. If that was found before, it is what was found then: part of it may be put back by
/// now. Changes nothing.
pub fn look(house: &House, agent: &Agent, record: &Record, n: u32) -> Found {
    if let Some(known) = agent.guarded.iter().find(|known| known.n == n) {
        return Found { findings: known.findings.clone(), unknown: known.unknown.clone() };
    }
    let mut found = Found::default();
    let expected = agent.attempts.iter().find(|a| a.n == n).and_then(|a| a.refs.clone());
    let Some(before) = read(record, n, expected.as_deref()) else {
        found.findings.push(guard::tampered("the record of the refs as they were"));
        return found;
    };
    found.findings.extend(
        rails::tampered(agent, record, before.rules.as_deref()).iter().map(|what| guard::tampered(what)),
    );
    if let Err(error) = compare(house, agent, record, n, &before, &mut found) {
        tracing::warn!(%error, n, "the refs could not be compared");
        found.unknown.push(format!("the refs could not be compared with what they were: {error}"));
    }
    found
}

/// Finds out what attempt `n` of the agent did that it may not do, and puts back what can be: for whoever ends an agent that nobody keeps.
pub fn settle(house: &House, pen: &mut Pen, record: &Record, n: u32) -> Result<()> {
    let found = look(house, &pen.agent, record, n);
    if let Some(intent) = found.intent(n) {
        pen.write(intent)?;
    }
    let findings = put_back(house, &pen.agent, n, &found.findings);
    Ok(pen.write(Entry::Guarded { n, findings, unknown: found.unknown })?)
}

/// What is on record of before attempt `n`, if it is what was put there.
fn read(record: &Record, n: u32, expected: Option<&str>) -> Option<Census> {
    let bytes = file::read(&record.attempt(n).refs()).ok()??;
    (Some(naming::checksum(&bytes).as_str()) == expected).then_some(())?;
    serde_json::from_slice(&bytes).ok()
}

fn compare(
    house: &House,
    agent: &Agent,
    record: &Record,
    n: u32,
    before: &Census,
    found: &mut Found,
) -> Result<()> {
    let Some(own) = worktree(agent) else { return Ok(()) };
    let (env, guards, branch) = (house.git()?, &agent.spec.guards, agent.spec.branch.as_str());
    let refs = census::refs_of(&env, &own.common_dir)?;
    // Mostly there is nothing to be explained, and then nobody else is looked at.
    if guard::suspects(guards, branch, &BTreeSet::new(), &before.refs, &refs).is_empty()
        && !guards.without_login()
    {
        return Ok(());
    }
    let others = others(house, agent)?;
    let suspects = guard::suspects(guards, branch, &others.branches, &before.refs, &refs);
    let scene = Scene { env: &env, own: &own, agent, before, refs: &refs, others: &others };
    if !suspects.is_empty() {
        let facts = scene.facts(house, record, n, &suspects)?;
        found.findings.extend(guard::judge(guards, branch, &suspects, &facts));
    }
    if guards.without_login() {
        scene.compare_remotes(found)?;
    }
    Ok(())
}

/// What is known of the other agents of the repository.
struct Others {
    /// Their branches, by full names.
    branches: BTreeSet<String>,
    /// The git directories of their checkouts.
    admin_dirs: BTreeSet<PathBuf>,
    /// Whether any of them is at work, or was when the attempt began.
    at_work: bool,
}

fn others(house: &House, agent: &Agent) -> Result<Others> {
    let mut others = Others { branches: BTreeSet::new(), admin_dirs: BTreeSet::new(), at_work: false };
    let began = agent.last_attempt().map(|a| a.started);
    for named in names::all(&house.settings.places)? {
        if named.id == agent.spec.id || named.project != agent.spec.project {
            continue;
        }
        // One that cannot be read may be at work.
        let Ok(Some(other)) = record::load(&named.record) else {
            others.at_work = true;
            continue;
        };
        // What was given to an agent and not made for it is protected from the others as before.
        if other.spec.place.has_own_branch() {
            others.branches.insert(format!("{BRANCHES}{}", other.spec.branch));
        }
        others.admin_dirs.extend(other.worktree.as_ref().map(|(_, admin_dir)| admin_dir.clone()));
        let ended = other.conclusion.as_ref().map(|c| c.at);
        others.at_work |= match (ended, began) {
            (Some(ended), Some(began)) => ended >= began,
            (None, _) => other.not_created.is_none(),
            (Some(_), None) => false,
        };
    }
    Ok(others)
}

/// What the facts are read from.
struct Scene<'s> {
    env: &'s GitEnv,
    own: &'s Worktree,
    agent: &'s Agent,
    before: &'s Census,
    refs: &'s Refs,
    others: &'s Others,
}

impl Scene<'_> {
    fn facts(&self, house: &House, record: &Record, n: u32, suspects: &[guard::Change]) -> Result<Facts> {
        let walked = self.walked()?;
        let made: BTreeSet<String> = walked
            .iter()
            .filter(|w| w.by == By::Agent)
            .flat_map(|w| w.log.iter().flatten())
            .filter(|line| line.makes())
            .map(|line| line.to.clone())
            .collect();
        let work = self.work(&walked)?;
        let values: BTreeSet<String> = suspects.iter().filter_map(|change| change.to.clone()).collect();
        let mut facts = Facts {
            company: self.others.at_work,
            refused: refused(record, n),
            merged: merged(house, self.agent, &values)?,
            unlogged: census::unlogged(
                &self.own.common_dir,
                suspects.iter().filter(|c| c.from.is_none()).map(|c| c.name.clone()),
            )?,
            walked,
            ..Facts::default()
        };
        for value in &values {
            let new = census::reached(
                self.env,
                &self.own.common_dir,
                [value.as_str()],
                self.before.refs.values().map(String::as_str),
            )?;
            if !new.is_disjoint(&made) {
                facts.hold_made.insert(value.clone());
            }
            if !new.is_disjoint(&work) {
                facts.hold.insert(value.clone());
            }
        }
        for change in suspects {
            if self.is_fetched(change)? {
                facts.fetched.insert(change.name.clone());
            }
        }
        Ok(facts)
    }

    /// What happened in the checkouts since the attempt began.
    fn walked(&self) -> Result<Vec<Walked>> {
        let mut walked = Vec::new();
        for now in census::checkouts(&self.own.common_dir)? {
            let before = self.before.checkouts.iter().find(|c| c.admin_dir == now.admin_dir);
            let log = census::walked(&now, before.and_then(|c| c.log));
            walked.push(Walked {
                by: match () {
                    () if now.admin_dir == self.own.admin_dir => By::Agent,
                    () if before.is_some() || self.others.admin_dirs.contains(&now.admin_dir) => By::Other,
                    () => By::Anybody,
                },
                stood_on: now
                    .branch
                    .clone()
                    .filter(|at| before.is_some_and(|b| b.branch.as_ref() == Some(at))),
                at: now.branch,
                log,
            });
        }
        Ok(walked)
    }

    /// The commits that the agent has and nobody else has or had: its own.
    fn work(&self, walked: &[Walked]) -> Result<BTreeSet<String>> {
        let own_branch = format!("{BRANCHES}{}", self.agent.spec.branch);
        let head = git::worktree::head(self.env, self.own).ok().and_then(|head| head.commit().cloned());
        let gone = |by: By| {
            let lines = walked.iter().filter(move |w| w.by == by).flat_map(|w| w.log.iter().flatten());
            lines.map(|line| line.to.as_str())
        };
        let from = gone(By::Agent)
            .chain(self.refs.get(&own_branch).map(String::as_str))
            .chain(head.as_ref().map(CommitId::as_str));
        let theirs = self.others.branches.iter().filter_map(|name| self.refs.get(name));
        let without = self.before.refs.values().chain(theirs).map(String::as_str).chain(gone(By::Other));
        Ok(census::reached(self.env, &self.own.common_dir, from, without)?)
    }

    /// Whether a branch was moved on to what the repository last saw of it on a remote.
    fn is_fetched(&self, change: &guard::Change) -> Result<bool> {
        let (Some(from), Some(to)) = (&change.from, &change.to) else { return Ok(false) };
        let seen = format!("/{}", guard::short(&change.name));
        let seen = self
            .refs
            .iter()
            .any(|(name, value)| name.starts_with("refs/remotes/") && name.ends_with(&seen) && value == to);
        Ok(seen && census::goes_on(self.env, &self.own.common_dir, from, to)?)
    }

    fn compare_remotes(&self, found: &mut Found) -> Result<()> {
        let places = census::configured(self.env, self.own)
            .map_err(super::Error::from)
            .and_then(|configured| places(self.env, self.agent, self.own, &configured));
        // An agent may have taken its remote away again, or made the configuration unreadable.
        let mut all: Vec<(String, String)> =
            self.before.remotes.iter().map(|r| (r.name.clone(), r.url.clone())).collect();
        for place in places.unwrap_or_default() {
            if !all.iter().any(|(_, url)| *url == place.1) {
                all.push(place);
            }
        }
        let nothing = Refs::new();
        let work = self.work(&self.walked()?)?;
        for remote in asked(self.env, all) {
            let Some(after) = &remote.refs else {
                // By its name: a URL may hold a password.
                found.unknown.push(format!(
                    "{0} did not say what it has; look: git ls-remote {0}",
                    guard::quoted(&remote.name)
                ));
                continue;
            };
            let before =
                self.before.remotes.iter().find(|r| r.url == remote.url).and_then(|r| r.refs.as_ref());
            let values: BTreeSet<String> = guard::values(before, after, &nothing).collect();
            let known = census::known(self.env, &self.own.common_dir, &values)?;
            let mut hold = BTreeSet::new();
            for value in &known {
                let before = self.before.refs.values().map(String::as_str);
                let new = census::reached(self.env, &self.own.common_dir, [value.as_str()], before)?;
                if !new.is_disjoint(&work) {
                    hold.insert(value.clone());
                }
            }
            let seen =
                Remote { name: &remote.name, before, after, known: &known, hold: &hold, refs: self.refs };
            found.findings.extend(guard::judge_remote(
                &self.agent.spec.guards,
                &self.agent.spec.branch,
                &seen,
            ));
        }
        Ok(())
    }
}

/// The refs that were refused to the agent during attempt `n`.
fn refused(record: &Record, n: u32) -> BTreeSet<String> {
    let text = file::read(&record.attempt(n).refused()).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// Those of `values` that a run of merges of ours moved its target to.
fn merged(house: &House, agent: &Agent, values: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let dir = house.settings.places.merges(&agent.spec.project);
    let mut merged = BTreeSet::new();
    for name in file::names(&dir)?.unwrap_or_default() {
        let journal = file::read(&dir.join(name)).ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&journal);
        merged.extend(values.iter().filter(|value| text.contains(value.as_str())).cloned());
    }
    Ok(merged)
}

/// Puts back what of `findings` is to be put back, each only if it is still as it was found; what it was moved to is kept first. Doing
/// it again is fine. Never fails: what could not be put back stays, and is told so.
pub fn put_back(house: &House, agent: &Agent, n: u32, findings: &[Finding]) -> Vec<Finding> {
    let (Some(own), Ok(env)) = (worktree(agent), house.git()) else { return findings.to_vec() };
    let done = |(at, finding): (usize, &Finding)| {
        let mut finding = finding.clone();
        if guard::is_ours_to_undo(&finding)
            && let Err(error) = put_one_back(&env, agent, &own, &format!("{n}-{at}"), &mut finding)
        {
            tracing::warn!(%error, name = finding.name, "could not be put back");
        }
        finding
    };
    findings.iter().enumerate().map(done).collect()
}

fn put_one_back(
    env: &GitEnv,
    agent: &Agent,
    own: &Worktree,
    under: &str,
    finding: &mut Finding,
) -> Result<()> {
    let commit = finding.to.as_deref().and_then(CommitId::parse);
    if let Some(commit) = &commit {
        let kept = format!("{}/guard/{under}", super::clean::rescues_of(agent));
        rescue::keep(env, &own.common_dir, &kept, commit)?;
        finding.kept = Some(kept);
    }
    if finding.deed == Deed::Made
        && let Some(commit) = &commit
    {
        let at = git::worktree::head(env, own)?;
        if !agent.spec.place.has_own_worktree() && at.branch() == Some(guard::short(&finding.name)) {
            // The person's checkout stands on it: where it goes from there is theirs to say.
            return Ok(());
        }
        census::leave_branch(env, own, &finding.name, commit)?;
    }
    if census::put_back(env, &own.common_dir, &finding.name, finding.from.as_deref(), finding.to.as_deref())?
    {
        finding.fate = Fate::PutBack;
        finding.command = None;
    }
    Ok(())
}
