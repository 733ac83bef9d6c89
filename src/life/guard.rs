//! Guardrails, the last layer: what the refs were before an attempt, what they are after it, and what of that is put back.
//!
//! The refs are put on record in a file of the attempt, whose checksum is in the journal with the start of the attempt. Afterwards
//! what was found is in the journal before anything is put back, because what is put back is not found again.

use super::{House, Result, rails, worktree};
use crate::a2a::record::Pen;
use crate::a2a::{names, record};
use crate::git::census::{self, Configured};
use crate::git::{CommitId, GitEnv, Worktree, rescue};
use crate::model::agent::Agent;
use crate::model::entry::Entry;
use crate::model::guard::{Census, Checkout, Deed, Fate, Finding, Index, Refs, RemoteAt};
use crate::model::ids::Moment;
use crate::model::merge;
use crate::model::places::Record;
use crate::rules::guard::{self, BRANCHES, By, Facts, Remote, Walked};
use crate::rules::naming;
use crate::tools::{file, journal};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;

/// What the refs are before an attempt of `agent`, or `None` if nothing of them is guarded.
pub fn census(house: &House, agent: &Agent) -> Result<Option<Census>> {
    let guards = &agent.spec.guards;
    let Some(own) = worktree(agent).filter(|_| guards.over_branches() || guards.without_login()) else {
        return Ok(None);
    };
    let env = house.git()?;
    let remotes = if guards.without_login() { remotes(&env, agent, &own)? } else { Vec::new() };
    Ok(Some(Census {
        refs: census::refs_of(&env, &own.common_dir)?,
        checkouts_changed_ns: census::checkouts_changed_ns(&own.common_dir)?,
        checkouts: census::checkouts(&own.common_dir)?,
        remotes,
        rules: None,
    }))
}

/// Puts on record what the refs are before attempt `n`, for which the guardrails are laid; the checksum of that.
pub fn put_on_record(record: &Record, n: u32, census: Census) -> Result<String> {
    let census = Census { rules: rails::laid(record)?, ..census };
    let bytes = serde_json::to_vec(&census).map_err(crate::a2a::Error::Json)?;
    file::post(&record.attempt(n).refs(), &bytes)?;
    Ok(naming::checksum(&bytes))
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

/// Whether whoever looks saw the attempt end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It did: nobody had the time to do anything since then.
    ToItsEnd,
    /// It did not: a person may have gone on with what the attempt left.
    TakenOver,
}

/// What attempt `n` of `agent` did that it may not do. If that was found before, it is what was found then: part of it may be put back by
/// now. Changes nothing.
pub fn look(house: &House, agent: &Agent, record: &Record, n: u32, seen: Seen) -> Found {
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
    if let Err(error) = compare(house, agent, (n, seen), &before, &mut found) {
        tracing::warn!(%error, n, "the refs could not be compared");
        found.findings.push(guard::not_compared(&error.to_string()));
    }
    found
}

/// Finds out what attempt `n` of the agent did that it may not do, and puts back what can be: for whoever ends an agent that nobody keeps.
pub fn settle(house: &House, pen: &mut Pen, record: &Record, n: u32) -> Result<()> {
    let found = look(house, &pen.agent, record, n, Seen::TakenOver);
    if let Some(intent) = found.intent(n) {
        pen.write(intent)?;
    }
    let findings = put_back(house, &pen.agent, record, n, &found.findings);
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
    (n, seen): (u32, Seen),
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
    let began = agent.attempts.iter().find(|a| a.n == n).map(|a| a.started);
    let scene = Scene {
        env: &env,
        own: &own,
        agent,
        before,
        refs: &refs,
        others: &others,
        began,
        fetched: census::fetched(&own.common_dir, refs.keys().filter(|name| name.starts_with(REMOTES))),
        merged: merged(house, agent, began)?,
    };
    let walked = scene.walked()?;
    if !suspects.is_empty() {
        let facts = Facts { taken_over: seen == Seen::TakenOver, ..scene.facts(walked.clone(), &suspects)? };
        found.findings.extend(guard::judge(guards, branch, &suspects, &facts));
    }
    if guards.without_login() {
        scene.compare_remotes(&walked, found)?;
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

/// All refs that tell what was last seen of remotes begin so.
const REMOTES: &str = "refs/remotes/";

/// What the facts are read from.
struct Scene<'s> {
    env: &'s GitEnv,
    own: &'s Worktree,
    agent: &'s Agent,
    before: &'s Census,
    refs: &'s Refs,
    others: &'s Others,
    /// When the attempt began.
    began: Option<Moment>,
    /// The remote-tracking refs that hold what was fetched.
    fetched: BTreeSet<String>,
    /// The branches that runs of merges moved since the attempt began, with where to.
    merged: BTreeSet<(String, String)>,
}

impl Scene<'_> {
    fn facts(&self, walked: Vec<Walked>, suspects: &[guard::Change]) -> Result<Facts> {
        let (made, not_taken) = (self.made(&walked)?, self.not_taken(&walked)?);
        let fetched: BTreeSet<String> =
            self.fetched.iter().filter_map(|name| self.refs.get(name)).cloned().collect();
        let only_its = self.without(not_taken, &fetched)?;
        let mut facts = Facts {
            company: self.others.at_work,
            merged: self.merged.clone(),
            left: {
                let (before, changed) = (&self.before.checkouts, self.before.checkouts_changed_ns);
                census::has_left(&self.own.common_dir, before, changed)?
            },
            shared: !self.agent.spec.place.has_own_worktree(),
            walked,
            ..Facts::default()
        };
        let values: BTreeSet<String> = suspects.iter().filter_map(|change| change.to.clone()).collect();
        for value in &values {
            let new = self.new_in(value)?;
            if !new.is_disjoint(&made) {
                facts.holds.insert(value.clone());
            }
            if !new.is_disjoint(&only_its) {
                facts.hold_made.insert(value.clone());
            }
        }
        let now = census::checkouts(&self.own.common_dir)?;
        for change in suspects {
            if self.is_fetched(change)? {
                facts.fetched.insert(change.name.clone());
            }
            if let Some(line) = census::newest(&self.own.common_dir, &change.name)
                && change.to.as_ref() == Some(&line.to)
            {
                if matches!(line.message.as_str(), "branch: Created from HEAD" | "branch: Reset to HEAD") {
                    facts.from_head.insert(change.name.clone());
                }
                if line.is_of_a_checkout() {
                    facts.by_checkout.insert(change.name.clone());
                }
                if let Some(at) = line.at.filter(|_| line.makes_a_branch()) {
                    facts.created.insert(change.name.clone(), at);
                }
            }
            let stands =
                |c: &&Checkout| c.admin_dir != self.own.admin_dir && c.branch.as_ref() == Some(&change.name);
            if let Some(from) = &change.from
                && now.iter().any(|c| stands(&c))
                && now.iter().filter(stands).all(|c| {
                    let index = index(&self.before.checkouts, c);
                    census::is_unused(self.env, &self.own.common_dir, c, index, (from, change.to.as_deref()))
                })
            {
                facts.unused.insert(change.name.clone());
            }
        }
        Ok(facts)
    }

    /// What happened in the checkouts since the attempt began.
    fn walked(&self) -> Result<Vec<Walked>> {
        let mut walked = Vec::new();
        let since = self.began.map_or(i64::MAX, |began| began.as_millis() / 1000);
        for now in census::checkouts(&self.own.common_dir)? {
            let before = self.before.checkouts.iter().find(|c| c.admin_dir == now.admin_dir);
            let log = census::walked(&now, before.and_then(|c| c.log), since);
            let began = before.and_then(|b| b.branch.clone());
            let held = |refs: &Refs, at: &Option<String>| at.as_ref().and_then(|at| refs.get(at)).cloned();
            let mut been: BTreeSet<String> =
                log.iter().flatten().flat_map(|line| [line.from.clone(), line.to.clone()]).collect();
            been.extend(held(&self.before.refs, &began));
            // Where it stood all the time, the branch may have been moved without it.
            if now.branch != began {
                been.extend(held(self.refs, &now.branch));
            }
            been.extend(census::detached(&now.admin_dir));
            walked.push(Walked {
                by: match () {
                    () if now.admin_dir == self.own.admin_dir => By::Agent,
                    () if self.others.admin_dirs.contains(&now.admin_dir) => By::Fellow,
                    () if before.is_some() => By::Person,
                    () => By::Anybody,
                },
                began,
                whole: census::is_whole(now.log, before.and_then(|c| c.log)),
                at: now.branch,
                log,
                been,
            });
        }
        Ok(walked)
    }

    /// The commits that `value` has and nothing had when the attempt began.
    fn new_in(&self, value: &str) -> Result<BTreeSet<String>> {
        let before = self.before.refs.values().map(String::as_str);
        Ok(census::reached(self.env, &self.own.common_dir, [value], before)?)
    }

    /// The commits that the log of the agent's own HEAD tells to be made there. If that log is gone, which the agent itself must have done, they
    /// are what its HEAD and branch lead to and no fetch brought.
    fn made(&self, walked: &[Walked]) -> Result<BTreeSet<String>> {
        let own = || walked.iter().filter(|w| w.by == By::Agent);
        let mut lines = own().flat_map(|w| w.log.iter().flatten()).peekable();
        let had = self.before.checkouts.iter().any(|c| c.admin_dir == self.own.admin_dir && c.log.is_some());
        if !had || lines.peek().is_some() {
            return Ok(lines.filter(|line| line.makes()).map(|line| line.to.clone()).collect());
        }
        let branch = format!("{BRANCHES}{}", self.agent.spec.branch);
        let from = own().flat_map(|w| &w.been).chain(self.refs.get(&branch)).map(String::as_str);
        let fetched = self.fetched.iter().filter_map(|name| self.refs.get(name));
        let without = self.before.refs.values().chain(fetched).map(String::as_str);
        Ok(census::reached(self.env, &self.own.common_dir, from, without)?)
    }

    /// What the agent made, but for what persons have taken into their checkouts, and merges of ours into branches. Not what other
    /// agents have: a child begins with the commits of its parent.
    fn not_taken(&self, walked: &[Walked]) -> Result<BTreeSet<String>> {
        let logs = walked.iter().filter(|w| w.by == By::Person).flat_map(|w| w.log.iter().flatten());
        let mut taken: BTreeSet<String> = logs.map(|line| line.to.clone()).collect();
        taken.extend(self.merged.iter().map(|(_, to)| to.clone()));
        self.without(self.made(walked)?, &taken)
    }

    /// Those of `commits` that `values` do not lead to.
    fn without(&self, commits: BTreeSet<String>, values: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        if commits.is_empty() {
            return Ok(commits);
        }
        let before = self.before.refs.values().map(String::as_str);
        let values = values.iter().map(String::as_str);
        let taken = census::reached(self.env, &self.own.common_dir, values, before)?;
        Ok(commits.difference(&taken).cloned().collect())
    }

    /// Whether a branch was moved on to what was fetched of it from a remote.
    fn is_fetched(&self, change: &guard::Change) -> Result<bool> {
        let (Some(from), Some(to)) = (&change.from, &change.to) else { return Ok(false) };
        let seen = format!("/{}", guard::short(&change.name));
        let seen = self.fetched.iter().any(|name| name.ends_with(&seen) && self.refs.get(name) == Some(to));
        Ok(seen && census::goes_on(self.env, &self.own.common_dir, from, to)?)
    }

    fn compare_remotes(&self, walked: &[Walked], found: &mut Found) -> Result<()> {
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
        let made = self.not_taken(walked)?;
        for remote in asked(self.env, all) {
            let Some(after) = &remote.refs else {
                // By its name: a URL may hold a password.
                found.unknown.push(format!(
                    "{0} did not say what it has; look: git ls-remote {0}",
                    crate::rules::shell::word(&remote.name)
                ));
                continue;
            };
            let before =
                self.before.remotes.iter().find(|r| r.url == remote.url).and_then(|r| r.refs.as_ref());
            let values: BTreeSet<String> = guard::values(before, after, &nothing).collect();
            let known = census::known(self.env, &self.own.common_dir, &values)?;
            let mut hold = BTreeSet::new();
            for value in &known {
                if !self.new_in(value)?.is_disjoint(&made) {
                    hold.insert(value.clone());
                }
            }
            let mut rewound = BTreeSet::new();
            for change in guard::changes(before.unwrap_or(&nothing), after) {
                if let (Some(from), Some(to)) = (&change.from, &change.to)
                    && known.contains(to)
                    && census::goes_on(self.env, &self.own.common_dir, to, from)?
                {
                    rewound.insert(change.name);
                }
            }
            let seen = Remote {
                name: &remote.name,
                before,
                after,
                known: &known,
                hold: &hold,
                rewound: &rewound,
                refs: self.refs,
                fetched: &self.fetched,
            };
            found.findings.extend(guard::judge_remote(
                &self.agent.spec.guards,
                &self.agent.spec.branch,
                &seen,
            ));
        }
        Ok(())
    }
}

/// The branches that runs of merges of ours moved `since` then, or were about to, with where to.
fn merged(house: &House, agent: &Agent, since: Option<Moment>) -> Result<BTreeSet<(String, String)>> {
    let dir = house.settings.places.merges(&agent.spec.project);
    let mut merged = BTreeSet::new();
    for name in file::names(&dir)?.unwrap_or_default() {
        // One that is damaged excuses nothing.
        let records = journal::read::<merge::Record>(&dir.join(name)).ok().flatten();
        merged.extend(records.into_iter().flat_map(|contents| moves(&contents.records, since)));
    }
    Ok(merged)
}

/// The branch of a run, with where it was moved.
fn moves(records: &[merge::Record], since: Option<Moment>) -> Vec<(String, String)> {
    let mut into = String::new();
    let mut all: Vec<(usize, String)> = Vec::new();
    for record in records {
        let counts = since.is_none_or(|since| record.at >= since);
        match &record.entry {
            merge::Entry::Begun { spec, .. } => into = format!("{BRANCHES}{}", spec.into),
            merge::Entry::Moving { item, to, .. } | merge::Entry::Moved { item, to } if counts => {
                all.push((*item, to.clone()));
            }
            merge::Entry::NotMoved { item } => all.retain(|(known, _)| known != item),
            _ => {}
        }
    }
    all.into_iter().map(|(_, to)| (into.clone(), to)).collect()
}

/// The index that the checkout `now` had `before`.
fn index(before: &[Checkout], now: &Checkout) -> Option<Index> {
    before.iter().find(|b| b.admin_dir == now.admin_dir)?.index
}

/// Puts back what of `findings` is to be put back, each only if it is still as it was found; what it was moved to is kept first. Doing
/// it again is fine. Never fails: what could not be put back stays, and is told so.
pub fn put_back(house: &House, agent: &Agent, record: &Record, n: u32, findings: &[Finding]) -> Vec<Finding> {
    let (Some(own), Ok(env)) = (worktree(agent), house.git()) else { return findings.to_vec() };
    let expected = agent.attempts.iter().find(|a| a.n == n).and_then(|a| a.refs.clone());
    let before = read(record, n, expected.as_deref()).map(|census| census.checkouts).unwrap_or_default();
    let done = |(at, finding): (usize, &Finding)| {
        let mut finding = finding.clone();
        if guard::is_ours_to_undo(&finding)
            && let Err(error) = put_one_back(&env, agent, &own, (&before, &format!("{n}-{at}")), &mut finding)
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
    (before, under): (&[Checkout], &str),
    finding: &mut Finding,
) -> Result<()> {
    let commit = finding.to.as_deref().and_then(CommitId::parse);
    if let Some(commit) = &commit {
        let kept = format!("{}/guard/{under}", super::clean::rescues_of(agent));
        rescue::keep(env, &own.common_dir, &kept, commit)?;
        finding.kept = Some(kept);
    }
    // Somebody may have gone there since it was found. Where index and files are what the branch goes back to, that does no harm.
    let in_the_way = |c: &Checkout| {
        let goes_back = finding.from.as_deref().is_some_and(|from| {
            let index = index(before, c);
            census::is_unused(env, &own.common_dir, c, index, (from, finding.to.as_deref()))
        });
        c.admin_dir != own.admin_dir && c.branch.as_ref() == Some(&finding.name) && !goes_back
    };
    if finding.to.is_some() && census::checkouts(&own.common_dir)?.iter().any(in_the_way) {
        return Ok(());
    }
    if finding.deed == Deed::Made
        && let Some(commit) = &commit
    {
        census::leave_branch(env, own, &finding.name, commit)?;
    }
    if census::put_back(env, &own.common_dir, &finding.name, finding.from.as_deref(), finding.to.as_deref())?
    {
        finding.fate = Fate::PutBack;
        finding.command = None;
    }
    Ok(())
}
