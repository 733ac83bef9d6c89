//! What an attempt did that it may not do, from what the refs were before and are after it; and who did it. People commit, pull and
//! make branches in their checkouts while agents work, and nothing of that is an agent's.
//!
//! What tells them apart: git moves a branch that is checked out together with the log of that checkout's HEAD, and an agent has a
//! checkout of its own. Only proof of who did it lets anything be undone. That a branch holds the agent's commits is none, because
//! people take those as well: it fails the task, and is told with what undoes it. All else is nobody's for certain, and told.

use super::{glob, shell};
use crate::model::glob::Glob;
use crate::model::guard::{Deed, Fate, Finding, Guards, Refs, Whose};
use std::collections::{BTreeMap, BTreeSet};

/// How long making a branch and going there takes at most where it is one command, in seconds.
const MOMENT: i64 = 2;

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
    /// Where HEAD was.
    pub from: String,
    /// Where HEAD went.
    pub to: String,
    /// Why.
    pub message: String,
    /// When, in seconds since 1970.
    pub at: Option<i64>,
}

impl LogLine {
    /// Whether a commit was made by what this line tells of; coming to one that was there is not making it.
    pub fn makes(&self) -> bool {
        let (what, rest) = self.message.split_once(':').unwrap_or((&self.message, ""));
        let goes_on = rest.trim().eq_ignore_ascii_case("fast-forward");
        match what.split(' ').next().unwrap_or_default() {
            "commit" => true,
            "cherry-pick" | "revert" | "am" => !goes_on,
            "merge" | "pull" => rest.contains("Merge made by"),
            "rebase" => ["pick", "reword", "edit", "squash", "fixup", "continue"]
                .iter()
                .any(|step| what.ends_with(&format!("({step})")) && !goes_on),
            _ => false,
        }
    }

    /// Whether a branch whose log ends so came to where it is with a checkout that it was checked out in.
    pub fn is_of_a_checkout(&self) -> bool {
        let what = self.message.split([':', ' ']).next().unwrap_or_default();
        ["commit", "merge", "pull", "rebase", "reset", "cherry-pick", "revert", "am"].contains(&what)
    }

    /// Whether this is the beginning of the log of a branch that was made, and not fetched or pushed to.
    pub fn makes_a_branch(&self) -> bool {
        self.message.starts_with("branch: Created from")
    }

    /// The branch or commit that HEAD was switched to, in the words of who did so.
    fn goes(&self) -> Option<&str> {
        let words = self.message.strip_prefix("checkout: moving from ")?;
        words.rsplit_once(" to ").map(|(_, to)| to)
    }

    /// The branch that was renamed, and to which, both by their full names.
    fn renames(&self) -> Option<(&str, &str)> {
        self.message.strip_prefix("Branch: renamed ")?.split_once(" to ")
    }

    /// Whether HEAD went to the branch `name`, a full name, or that was renamed from or to it.
    fn names(&self, name: &str) -> bool {
        self.goes() == Some(short(name))
            || self.renames().is_some_and(|(from, to)| from == name || to == name)
    }
}

/// Who works in a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The agent.
    Agent,
    /// Another agent.
    Fellow,
    /// A person: it was there before.
    Person,
    /// It came while the agent worked, and anybody may have made it.
    Anybody,
}

/// What happened in a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Who works there.
    pub by: By,
    /// The full name of the ref that its HEAD was at when the attempt began.
    pub began: Option<String>,
    /// The full name of the ref that its HEAD is at.
    pub at: Option<String>,
    /// What its log tells since the attempt began; `None`: there is none to be read.
    pub log: Option<Vec<LogLine>>,
    /// Whether that is all: git has not forgotten lines of that log since.
    pub whole: bool,
    /// All that its HEAD is known to have been at since then.
    pub been: BTreeSet<String>,
}

impl Walked {
    fn says(&self, what: impl Fn(&LogLine) -> bool) -> bool {
        self.log.iter().flatten().any(what)
    }

    fn stands_on(&self, name: &str) -> bool {
        self.at.as_deref() == Some(name)
    }

    /// Whether something that was done at the branch `name` took its HEAD to `to`. Going there is not doing.
    fn took(&self, name: &str, to: &str) -> bool {
        let mut there = self.began.as_deref() == Some(name);
        // HEAD can be led to a branch without a word in its log.
        let unseen = self.stands_on(name) && !self.says(|line| line.names(name));
        for line in self.log.iter().flatten() {
            if let Some(goes) = line.goes() {
                there = goes == short(name);
            } else if let Some((from, renamed)) = line.renames() {
                there = renamed == name || (there && from != name);
            } else if line.to == to && (there || unseen) {
                return true;
            }
        }
        false
    }
}

/// What is known beside the refs. Values are those that a suspect holds after the attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The checkouts.
    pub walked: Vec<Walked>,
    /// The values that hold commits which the log of the agent's own HEAD tells to be made there.
    pub holds: BTreeSet<String>,
    /// Those of them whose commits came to nobody else in a way that is known: not by a fetch, a merge of ours, or a person's HEAD.
    pub hold_made: BTreeSet<String>,
    /// The branches that were moved on to what was fetched of them.
    pub fetched: BTreeSet<String>,
    /// The branches that a run of merges moved, with where it moved them to.
    pub merged: BTreeSet<(String, String)>,
    /// The branches whose own logs end with what was done in a checkout of theirs.
    pub by_checkout: BTreeSet<String>,
    /// The branches that were made, by their own logs, and when: in seconds since 1970.
    pub created: BTreeMap<String, i64>,
    /// A checkout may have been there during the attempt that is gone, with all that it would tell.
    pub left: bool,
    /// The branches whose own logs end with that they were made at, or reset to, what is called HEAD where it was done.
    pub from_head: BTreeSet<String>,
    /// The branches at which a checkout stands whose index is what the branch was, and so was not used to move it.
    pub unused: BTreeSet<String>,
    /// Other agents were at work in the repository.
    pub company: bool,
    /// Whoever compares did not see the attempt end: what was done since may be a person's.
    pub taken_over: bool,
    /// The agent has no checkout of its own: what its log tells may be a person's.
    pub shared: bool,
}

impl Facts {
    fn of(&self, by: By) -> impl Iterator<Item = &Walked> {
        self.walked.iter().filter(move |walked| walked.by == by)
    }

    /// Whether somebody else stands on the branch.
    fn is_stood_on(&self, name: &str) -> bool {
        self.walked.iter().any(|w| w.by != By::Agent && w.stands_on(name))
    }

    /// Whether somebody else stood on the branch all the time, in a checkout that would tell of what was done there, and does not.
    fn behind_a_back(&self, name: &str) -> bool {
        let silent = |w: &Walked| w.whole && w.log.as_ref().is_some_and(Vec::is_empty);
        let mut standing = self.walked.iter().filter(|w| w.by != By::Agent && w.stands_on(name)).peekable();
        standing.peek().is_some()
            && standing.all(|w| w.began.as_deref() == Some(name) && silent(w))
            && self.unused.contains(name)
            && !self.by_checkout.contains(name)
            && !self.left
            && !self.taken_over
    }

    /// An agent did it: this one, unless others were at work and nothing tells which.
    fn an_agent(&self, holds: bool) -> Whose {
        if self.company && !holds { Whose::SomeAgent } else { Whose::Agent }
    }

    /// The agent did it, which is undone unless others could be in the way of that.
    fn the_agent(&self, name: &str) -> Whose {
        if self.shared || self.is_stood_on(name) { Whose::Likely } else { Whose::Agent }
    }

    /// Whether the branch was made or reset by somebody whose HEAD was at `to`, and only the agent's was.
    fn is_from_own_head(&self, name: &str, to: &str) -> bool {
        let others = |w: &Walked| w.by == By::Agent || (w.whole && w.log.is_some() && !w.been.contains(to));
        self.from_head.contains(name)
            && self.of(By::Agent).any(|w| w.been.contains(to))
            && self.walked.iter().all(others)
            && !self.left
            && !self.taken_over
    }

    /// Whether the agent's HEAD went to the branch in the moment in which that was made, or it gave it its name. Going to one that is
    /// there is not making it.
    fn is_made_in_going(&self, name: &str) -> bool {
        let then = |at: i64| self.created.get(name).is_some_and(|made| (made - at).abs() <= MOMENT);
        let did = |line: &LogLine| {
            line.renames().is_some_and(|(_, to)| to == name)
                || (line.goes() == Some(short(name)) && line.at.is_some_and(then))
        };
        self.of(By::Agent).any(|w| w.says(did))
    }

    /// Who made this change; `None`: somebody who may, or nobody has done what may not be done.
    fn whose(&self, guards: &Guards, own: &str, change: &Change) -> Option<Whose> {
        let name = change.name.as_str();
        if let Some(to) = &change.to
            && self.merged.contains(&(name.to_owned(), to.clone()))
        {
            return None;
        }
        match (&change.from, &change.to) {
            (Some(_), Some(to)) => self.who_moved(name, to),
            (None, Some(to)) => self.who_made(name, to),
            (Some(_), None) => self.who_deleted(name, is_protected(guards, own, name)),
            (None, None) => None,
        }
    }

    fn who_moved(&self, name: &str, to: &str) -> Option<Whose> {
        let made = self.hold_made.contains(to);
        if self.of(By::Agent).any(|w| w.took(name, to)) {
            return Some(self.the_agent(name));
        }
        let went = |w: &Walked| match w.by {
            By::Agent => false,
            // A child begins at the commit of its parent.
            By::Fellow => w.took(name, to),
            By::Person | By::Anybody => w.says(|line| line.to == to),
        };
        if self.walked.iter().any(went) {
            return self.holds.contains(to).then_some(Whose::Unclear);
        }
        let unread = |w: &Walked| w.by != By::Agent && w.stands_on(name) && w.log.is_none();
        Some(match () {
            () if self.is_from_own_head(name, to) => self.the_agent(name),
            () if self.fetched.contains(name) => return None,
            () if self.behind_a_back(name) => self.an_agent(made),
            () if self.walked.iter().any(unread) => Whose::Unclear,
            () if made => Whose::Likely,
            () => Whose::Unclear,
        })
    }

    fn who_made(&self, name: &str, to: &str) -> Option<Whose> {
        let made = self.hold_made.contains(to);
        let named = |w: &Walked| w.stands_on(name) || w.says(|line| line.names(name));
        let own = self.is_made_in_going(name);
        if self.of(By::Person).chain(self.of(By::Fellow)).any(named) {
            return own.then_some(Whose::Unclear);
        }
        Some(match () {
            () if own || self.is_from_own_head(name, to) => self.the_agent(name),
            () if made => Whose::Likely,
            () if self.of(By::Anybody).any(named) => return None,
            () => Whose::Unclear,
        })
    }

    fn who_deleted(&self, name: &str, protected: bool) -> Option<Whose> {
        let renamed = |w: &Walked| w.says(|line| line.renames().is_some_and(|(from, _)| from == name));
        if self.of(By::Agent).any(renamed) {
            return Some(if self.shared { Whose::Likely } else { Whose::Agent });
        }
        // Deleting one that is not protected is nothing; only renaming makes one.
        let theirs = |w: &Walked| w.by != By::Agent && w.says(|line| line.names(name));
        if !protected || self.walked.iter().any(theirs) {
            return None;
        }
        Some(if self.behind_a_back(name) { self.an_agent(false) } else { Whose::Unclear })
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
    /// The values that hold commits which the agent made.
    pub hold: &'f BTreeSet<String>,
    /// The refs that were taken back to what they held some time before.
    pub rewound: &'f BTreeSet<String>,
    /// The refs of our repository.
    pub refs: &'f Refs,
    /// Those of them that hold what was fetched, by their full names.
    pub fetched: &'f BTreeSet<String>,
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
            Some(to) if !remote.known.contains(to) => return None,
            Some(to) if !remote.rewound.contains(&change.name) && has_it(remote, own, &change.name, to) => {
                return None;
            }
            Some(_) | None => Whose::Unclear,
        };
        Some(found(Deed::Pushed, Some(remote.name), &change, whose))
    };
    changes(remote.before.unwrap_or(&nothing), remote.after).filter_map(finding).collect()
}

/// Whether a branch of somebody else, or what was last fetched from the remote, has what the remote has: then it came the usual way.
/// What was seen of it at a push tells nothing: the agent's own one leaves that as well.
fn has_it(remote: &Remote<'_>, own: &str, name: &str, to: &str) -> bool {
    let branch = short(name);
    let seen = format!("refs/remotes/{}/{branch}", remote.name);
    let holds = |name: &str| remote.refs.get(name).is_some_and(|value| value == to);
    (branch != own && holds(name)) || (holds(&seen) && remote.fetched.contains(&seen))
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

/// That nobody can tell what was done, and why.
pub fn not_compared(why: &str) -> Finding {
    Finding { deed: Deed::NotCompared, whose: Whose::Likely, ..tampered(why) }
}

/// What undoes a change, and nothing that was done after it.
fn command(remote: Option<&str>, change: &Change) -> String {
    let name = shell::word(&change.name);
    let (from, to) = (change.from.as_deref(), change.to.as_deref());
    match (remote.map(shell::word), from, to) {
        (Some(remote), from, Some(to)) => format!(
            "git push --force-with-lease={} {remote} {}",
            shell::word(&format!("{}:{to}", change.name)),
            shell::word(&format!("{}:{}", from.unwrap_or_default(), change.name))
        ),
        (Some(remote), from, None) => {
            format!(
                "git push {remote} {}",
                shell::word(&format!("{}:{}", from.unwrap_or_default(), change.name))
            )
        }
        (None, from, to) if [from, to].iter().flatten().any(|value| stands_for(value).is_some()) => {
            match from.map(|from| stands_for(from).ok_or(from)) {
                Some(Ok(target)) => format!("git symbolic-ref {name} {}", shell::word(target)),
                Some(Err(from)) => format!("git update-ref --no-deref {name} {from}"),
                None => format!("git symbolic-ref -d {name}"),
            }
        }
        (None, Some(from), Some(to)) => format!("git update-ref {name} {from} {to}"),
        (None, None, Some(to)) => format!("git update-ref -d {name} {to}"),
        (None, from, None) => {
            let from = from.unwrap_or_default();
            format!("git update-ref {name} {from} {}", "0".repeat(from.len()))
        }
    }
}

/// The ref that a value stands for, if it is that of a symbolic one.
fn stands_for(value: &str) -> Option<&str> {
    value.strip_prefix("ref:")
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
    matches!(finding.deed, Deed::Moved | Deed::Made | Deed::Deleted)
        && matches!(finding.whose, Whose::Agent | Whose::SomeAgent)
}

/// A finding in one line. Untrusted text: print it through [`crate::model::text::Shown`].
pub fn told(finding: &Finding) -> String {
    let id = |id: &Option<String>| {
        let id = id.as_deref()?;
        Some(stands_for(id).map_or_else(|| id.get(..10).unwrap_or(id), short).to_owned())
    };
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
        Deed::Pushed if finding.to.is_none() => (
            format!("deleted {name} of {remote}"),
            format!("{name} of {remote}, which was at {from}, is gone"),
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
        Deed::NotCompared => {
            return format!("what it did could not be compared with what it may not do: {}", finding.name);
        }
    };
    let what = match finding.whose {
        Whose::Agent => format!("it {did}"),
        Whose::SomeAgent => format!("an agent {did}, and more than one was at work"),
        Whose::Likely => format!("{done}, with what the agent made, and so most likely by it"),
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
