//! What an attempt did that it may not do, from what the refs were before and are after it; and who did it. People commit, pull and
//! make branches in their checkouts while agents work, and nothing of that is an agent's.
//!
//! What tells them apart: git moves a branch that is checked out together with the log of that checkout's HEAD, and an agent has a
//! checkout of its own. What is in no such log, and cannot be told to be the agent's by its commits or by what the agent tried before,
//! is nobody's for certain: it is told, and nothing is touched.

use super::glob;
use crate::model::glob::Glob;
use crate::model::guard::{Deed, Fate, Finding, Guards, Refs, Whose};
use std::collections::BTreeSet;

/// All branches begin so.
pub const BRANCHES: &str = "refs/heads/";

/// The name of a branch without what all begin with.
pub fn short(name: &str) -> &str {
    name.strip_prefix(BRANCHES).unwrap_or(name)
}

/// Whether the ref `name` is a branch that is protected from an agent whose own branch is `own`.
pub fn is_protected(guards: &Guards, own: &str, name: &str) -> bool {
    let Some(branch) = name.strip_prefix(BRANCHES).filter(|branch| *branch != own) else { return false };
    guards.protected.iter().any(|glob| glob::matches(glob, branch))
}

/// A ref that is not what it was; not both are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its full name.
    pub name: String,
    /// What it held; `None`: it was not there.
    pub from: Option<String>,
    /// What it holds; `None`: it is gone.
    pub to: Option<String>,
}

/// All that differs between two moments.
pub fn changes<'r>(before: &'r Refs, after: &'r Refs) -> impl Iterator<Item = Change> + 'r {
    let change = |name: &String, from: Option<&String>, to: Option<&String>| Change {
        name: name.clone(),
        from: from.cloned(),
        to: to.cloned(),
    };
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let gone = gone.map(move |(name, from)| change(name, Some(from), None));
    let others = after.iter().filter(|(name, to)| before.get(*name) != Some(to));
    gone.chain(others.map(move |(name, to)| change(name, before.get(name), Some(to))))
}

/// The changes of branches that the agent may not have made. `theirs` are the branches of other agents, by their full names.
pub fn suspects(
    guards: &Guards,
    own: &str,
    theirs: &BTreeSet<String>,
    before: &Refs,
    after: &Refs,
) -> Vec<Change> {
    let may_not = |change: &Change| {
        if !change.name.starts_with(BRANCHES) || theirs.contains(&change.name) {
            return false;
        }
        let moved = change.from.is_some() && change.to.is_some();
        is_protected(guards, own, &change.name) || (guards.no_new_branch && !moved)
    };
    changes(before, after).filter(may_not).collect()
}

/// A line of the log of a HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where HEAD went.
    pub to: String,
    /// Why.
    pub message: String,
}

impl LogLine {
    /// Whether a commit was made by what this line tells of.
    pub fn makes(&self) -> bool {
        let made = ["commit", "rebase", "cherry-pick", "revert", "am", "merge"];
        let verb = self.message.split([':', ' ']).next().unwrap_or_default();
        made.contains(&verb) && !self.message.ends_with(": Fast-forward")
    }

    /// Whether HEAD went to the branch `name`, a full name, or that was renamed from or to it.
    fn names(&self, name: &str) -> bool {
        let goes = self.message.strip_prefix("checkout: moving from ").and_then(|m| m.rsplit_once(" to "));
        let renames = self.message.strip_prefix("Branch: renamed ").and_then(|m| m.split_once(" to "));
        goes.is_some_and(|(_, to)| to == short(name))
            || renames.is_some_and(|(from, to)| from == name || to == name)
    }
}

/// Who works in a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The agent.
    Agent,
    /// Somebody else: it was there before, or another agent has it.
    Other,
    /// It came while the agent worked, and anybody may have made it.
    Anybody,
}

/// What happened in a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Who works there.
    pub by: By,
    /// The full name of the ref that its HEAD was at all the time; `None`: it is at another one now, or at none.
    pub stood_on: Option<String>,
    /// The full name of the ref that its HEAD is at.
    pub at: Option<String>,
    /// What its log tells since the attempt began; `None`: there is none to be read.
    pub log: Option<Vec<LogLine>>,
}

/// What is known beside the refs. Values are those that a suspect holds after the attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The checkouts.
    pub walked: Vec<Walked>,
    /// The values that hold commits which only the agent's work holds otherwise.
    pub hold: BTreeSet<String>,
    /// The values that hold commits which the log of the agent's own HEAD tells to be made there.
    pub hold_made: BTreeSet<String>,
    /// The branches that were moved on to what a remote-tracking ref of their name holds.
    pub fetched: BTreeSet<String>,
    /// The values that a run of merges moved its target to.
    pub merged: BTreeSet<String>,
    /// The refs that were refused to the agent in this attempt.
    pub refused: BTreeSet<String>,
    /// The branches without a log of their own, in a repository that keeps logs: no git made them.
    pub unlogged: BTreeSet<String>,
    /// Other agents were at work in the repository.
    pub company: bool,
}

impl Facts {
    fn others(&self) -> impl Iterator<Item = &Walked> {
        self.walked.iter().filter(|walked| walked.by == By::Other)
    }

    fn says(walked: &Walked, what: impl Fn(&LogLine) -> bool) -> bool {
        walked.log.as_ref().is_some_and(|log| log.iter().any(what))
    }

    /// Whether somebody else stood on the branch all the time, in a checkout that would tell of what was done there.
    fn behind_a_back(&self, name: &str) -> bool {
        self.others().any(|w| w.stood_on.as_deref() == Some(name) && w.log.is_some())
    }

    /// An agent did it: this one, unless others were at work.
    fn an_agent(&self) -> Whose {
        if self.company { Whose::SomeAgent } else { Whose::Agent }
    }

    /// Who made this change; `None`: somebody who may, or nobody has done what may not be done.
    fn whose(&self, guards: &Guards, own: &str, change: &Change) -> Option<Whose> {
        let name = change.name.as_str();
        let by_own = |w: &Walked| w.by == By::Agent && Self::says(w, |line| line.names(name));
        match (&change.from, &change.to) {
            (Some(_), Some(to)) => {
                if self.merged.contains(to) {
                    return None;
                }
                if self.others().any(|w| Self::says(w, |line| line.to == *to)) {
                    return self.hold_made.contains(to).then_some(Whose::Unclear);
                }
                if self.hold.contains(to) || self.hold_made.contains(to) {
                    return Some(Whose::Agent);
                }
                if self.fetched.contains(name) {
                    return None;
                }
                Some(match () {
                    () if self.refused.contains(name) => Whose::Agent,
                    () if self.behind_a_back(name) => self.an_agent(),
                    () => Whose::Unclear,
                })
            }
            (None, Some(to)) => {
                let theirs = self
                    .others()
                    .any(|w| w.at.as_deref() == Some(name) || Self::says(w, |line| line.names(name)));
                if theirs || self.merged.contains(to) {
                    return None;
                }
                let at = self
                    .walked
                    .iter()
                    .any(|w| by_own(w) || (w.by == By::Agent && w.at.as_deref() == Some(name)));
                let holds = self.hold.contains(to) || self.hold_made.contains(to);
                Some(match () {
                    () if at || holds || self.refused.contains(name) => Whose::Agent,
                    () if self.unlogged.contains(name) => self.an_agent(),
                    () => Whose::Unclear,
                })
            }
            (Some(_), None) => {
                if self.walked.iter().any(by_own) {
                    return Some(Whose::Agent);
                }
                // Deleting one that is not protected is nothing; only renaming makes one.
                if !is_protected(guards, own, name)
                    || self.others().any(|w| Self::says(w, |line| line.names(name)))
                {
                    return None;
                }
                Some(match () {
                    () if self.refused.contains(name) => Whose::Agent,
                    () if self.behind_a_back(name) => self.an_agent(),
                    () => Whose::Unclear,
                })
            }
            (None, None) => None,
        }
    }
}

/// What is to be said of the suspects.
pub fn judge(guards: &Guards, own: &str, suspects: &[Change], facts: &Facts) -> Vec<Finding> {
    let finding = |change: &Change| {
        let whose = facts.whose(guards, own, change)?;
        let deed = match (&change.from, &change.to) {
            (None, _) => Deed::Made,
            (_, None) => Deed::Deleted,
            (Some(_), Some(_)) => Deed::Moved,
        };
        Some(found(deed, None, change, whose))
    };
    suspects.iter().filter_map(finding).collect()
}

/// What a remote had before and has after an attempt, and what is known of that.
#[derive(Debug, Clone, Copy)]
pub struct Remote<'f> {
    /// Its name, or where it is if the repository did not know it.
    pub name: &'f str,
    /// What it had; `None`: it could not be asked, or nobody knew of it.
    pub before: Option<&'f Refs>,
    /// What it has.
    pub after: &'f Refs,
    /// The values that are in our repository at all: nobody pushes others from here.
    pub known: &'f BTreeSet<String>,
    /// The values that hold commits of the agent's.
    pub hold: &'f BTreeSet<String>,
    /// The refs of our repository.
    pub refs: &'f Refs,
}

/// What is to be said of what came to a remote.
pub fn judge_remote(guards: &Guards, own: &str, remote: &Remote<'_>) -> Vec<Finding> {
    let nothing = Refs::new();
    let finding = |change: Change| {
        let holds = change.to.as_ref().is_some_and(|to| remote.hold.contains(to));
        if let Some(number) = pull_request(&change.name) {
            let opened = holds && change.from.is_none() && guards.without_login();
            let mut finding = found(Deed::OpenedPr, Some(remote.name), &change, Whose::Agent);
            finding.command = Some(format!("gh pr close {number}"));
            return opened.then_some(finding);
        }
        if !guards.no_push {
            return None;
        }
        let whose = match &change.to {
            Some(_) if holds => Whose::Agent,
            // Nobody knows what was there, and nothing of it is the agent's.
            _ if remote.before.is_none() => return None,
            Some(to) if !remote.known.contains(to) || has_it(remote, own, &change.name, to) => return None,
            Some(_) | None => Whose::Unclear,
        };
        Some(found(Deed::Pushed, Some(remote.name), &change, whose))
    };
    changes(remote.before.unwrap_or(&nothing), remote.after).filter_map(finding).collect()
}

/// Whether a branch of somebody else, or what was last seen of the remote, has what the remote has: then it came the usual way.
fn has_it(remote: &Remote<'_>, own: &str, name: &str, to: &str) -> bool {
    let branch = short(name);
    let seen = format!("refs/remotes/{}/{branch}", remote.name);
    let holds = |name: &str| remote.refs.get(name).is_some_and(|value| value == to);
    (branch != own && holds(name)) || holds(&seen)
}

/// The number of the pull request whose head the ref `name` of a forge is.
fn pull_request(name: &str) -> Option<&str> {
    let rest = ["refs/pull/", "refs/merge-requests/", "refs/pull-requests/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let (number, what) = rest.split_once('/')?;
    matches!(what, "head" | "from").then_some(number)
}

/// The values of remotes that are to be looked for in our repository.
pub fn values<'r>(
    before: Option<&'r Refs>,
    after: &'r Refs,
    nothing: &'r Refs,
) -> impl Iterator<Item = String> + 'r {
    changes(before.unwrap_or(nothing), after).filter_map(|change| change.to)
}

fn found(deed: Deed, remote: Option<&str>, change: &Change, whose: Whose) -> Finding {
    Finding {
        deed,
        name: change.name.clone(),
        remote: remote.map(str::to_owned),
        from: change.from.clone(),
        to: change.to.clone(),
        whose,
        fate: Fate::Stays,
        kept: None,
        command: Some(command(remote, change)),
    }
}

/// That the guardrails themselves are not as they were made.
pub fn tampered(what: &str) -> Finding {
    Finding {
        deed: Deed::Tampered,
        name: what.to_owned(),
        remote: None,
        from: None,
        to: None,
        whose: Whose::Agent,
        fate: Fate::Stays,
        kept: None,
        command: None,
    }
}

/// What undoes a change, and nothing that was done after it.
fn command(remote: Option<&str>, change: &Change) -> String {
    let name = quoted(&change.name);
    let (from, to) = (change.from.as_deref(), change.to.as_deref());
    match (remote.map(quoted), from, to) {
        (Some(remote), from, Some(to)) => format!(
            "git push --force-with-lease={} {remote} {}",
            quoted(&format!("{}:{to}", change.name)),
            quoted(&format!("{}:{}", from.unwrap_or_default(), change.name))
        ),
        (Some(remote), from, None) => {
            format!("git push {remote} {}", quoted(&format!("{}:{}", from.unwrap_or_default(), change.name)))
        }
        (None, Some(from), Some(to)) => format!("git update-ref {name} {from} {to}"),
        (None, None, Some(to)) => format!("git update-ref -d {name} {to}"),
        (None, from, None) => {
            let from = from.unwrap_or_default();
            format!("git update-ref {name} {from} {}", "0".repeat(from.len()))
        }
    }
}

/// `text` as one word for a shell.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What an agent may not do, in words that stand behind "may not"; which branches are protected only if `all` is wanted.
pub fn may_not(guards: &Guards, all: bool) -> Vec<String> {
    let mut words = Vec::new();
    let said = [
        (guards.no_push, "push"),
        (guards.no_new_pr, "open a pull request"),
        (guards.no_new_branch, "make, rename or delete a branch"),
    ];
    words.extend(said.into_iter().filter(|(said, _)| *said).map(|(_, what)| what.to_owned()));
    if all && !guards.protected.is_empty() {
        let names: Vec<&str> = guards.protected.iter().map(Glob::as_str).collect();
        words.push(format!("move, make or delete {}", names.join(", ")));
    }
    words
}

/// The refs that the guardrails let be put back, for whoever does it.
pub fn is_ours_to_undo(finding: &Finding) -> bool {
    matches!(finding.deed, Deed::Moved | Deed::Made | Deed::Deleted) && finding.whose != Whose::Unclear
}

/// A finding in one line. Untrusted text: print it through [`crate::model::text::Shown`].
pub fn told(finding: &Finding) -> String {
    let id = |id: &Option<String>| id.as_deref().map(|id| id.get(..10).unwrap_or(id).to_owned());
    let (from, to) =
        (id(&finding.from).unwrap_or_default(), id(&finding.to).unwrap_or_else(|| "nothing".to_owned()));
    let name = short(&finding.name);
    let remote = finding.remote.as_deref().unwrap_or_default();
    let (did, done) = match finding.deed {
        Deed::Moved => {
            let what = format!("{name}, which is protected, from {from} to {to}");
            (format!("moved {what}"), format!("{name}, which is protected, was moved from {from} to {to}"))
        }
        Deed::Made => {
            (format!("made the branch {name} at {to}"), format!("the branch {name} was made at {to}"))
        }
        Deed::Deleted => (
            format!("deleted {name}, which was at {from}"),
            format!("{name} was deleted, which was at {from}"),
        ),
        Deed::Pushed => (
            format!("pushed {to} to {name} of {remote}"),
            format!("{name} of {remote} is at {to} and was not"),
        ),
        Deed::OpenedPr => {
            let number = pull_request(&finding.name).unwrap_or_default();
            (format!("opened pull request {number} of {remote}"), String::new())
        }
        Deed::Tampered => (format!("changed the guardrails: {name}"), String::new()),
    };
    let what = match finding.whose {
        Whose::Agent => format!("it {did}"),
        Whose::SomeAgent => format!("an agent {did}, and more than one was at work"),
        Whose::Unclear => format!("{done}; it is not certain by whom"),
    };
    match (finding.fate, &finding.kept, &finding.command) {
        (Fate::PutBack, Some(kept), _) => format!("{what}; that is undone, and kept as {kept}"),
        (Fate::PutBack, None, _) => format!("{what}; that is undone"),
        (Fate::Stays, _, Some(command)) => format!("{what}; to undo it: {command}"),
        (Fate::Stays, _, None) => what,
    }
}

/// What the agent did, as the reason why its task has failed; `None` if it did nothing.
pub fn reason<'f>(findings: impl Iterator<Item = &'f Finding>) -> Option<String> {
    let all: Vec<String> = findings.map(told).collect();
    let (first, rest) = all.split_first()?;
    Some(match rest.len() {
        0 => first.clone(),
        more => format!("{first} (and {more} more: see ai_orch show)"),
    })
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
