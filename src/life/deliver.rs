//! Bringing a result to where it was asked for: pushed, and in a pull request. Each step looks first, so it can be done twice.

use super::pull::Roads;
use super::{House, Result, work, worktree};
use crate::git::reach::{self, NotPushed, Over};
use crate::git::{self, CommitId, GitEnv};
use crate::github::{self, Gh};
use crate::model::agent::Agent;
use crate::model::delivery::{Delivery, Home, Opening, PullRequest};
use crate::model::entry::{Ending, Entry};
use crate::model::places::Record;
use crate::rules::delivery::{self, ByHand, Push, Seen, Stage, Whose};
use crate::rules::pull_text::{self, Facts, PullText};
use crate::rules::{forge, naming};
use crate::settings::environment::Environment;
use crate::tools::file;

/// How many commits a pull request names.
const NAMED: usize = 100;

/// The delivery of one result, with all that it needs.
#[derive(Debug, Clone)]
pub struct Job {
    house: House,
    agent: Agent,
    record: Record,
    delivery: Delivery,
    /// `None`: what is on record of them is not as it was.
    roads: Option<Roads>,
    env: GitEnv,
    gh: Gh,
    n: u32,
}

/// What is to be done first.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    /// Nothing: this is how it ended.
    Ended(Entry),
    /// It is pushed.
    Push(Pushing),
    /// It is there: the pull request comes next.
    There(CommitId),
}

/// What is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushing {
    /// The commit.
    pub commit: CommitId,
    /// The branch of the remote.
    pub branch: String,
    /// What is there now.
    pub over: Over,
}

impl Job {
    /// The delivery of what `agent` has done by its attempt `n`, with the user's `environment`; `None` if none was asked for.
    ///
    /// # Errors
    /// If the private file cannot be read that tells how the remote is reached.
    pub fn of(
        house: &House,
        agent: &Agent,
        record: &Record,
        environment: &Environment,
        n: u32,
    ) -> Result<Option<Self>> {
        let Some(delivery) = agent.spec.deliver.clone() else { return Ok(None) };
        let bytes = file::read(&record.reach())?.unwrap_or_default();
        // What is not as it was put there says where to push, and by which program.
        let sealed = naming::checksum(&bytes) == delivery.seal;
        let roads = if sealed { serde_json::from_slice(&bytes).ok() } else { None };
        Ok(Some(Self {
            env: house.git_of(environment)?,
            gh: house.gh(environment),
            house: house.clone(),
            agent: agent.clone(),
            record: record.clone(),
            delivery,
            roads,
            n,
        }))
    }

    /// Looks what is to be done first. Changes nothing.
    ///
    /// # Errors
    /// If the repository could not be looked at. That a remote does not answer is an end.
    pub fn first(&self) -> Result<First> {
        let common_dir = &self.agent.spec.common_dir;
        let refused = |why: &str| Ok(First::Ended(self.undelivered(why, None, Stage::Refused, None)));
        let Some(roads) = &self.roads else {
            return refused("the record of how the remote is reached is not as it was made");
        };
        let Some(commit) = reach::tip(&self.env, common_dir, &self.agent.spec.branch)? else {
            return refused("the branch of the agent is gone");
        };
        if let Some(why) = self.elsewhere(&commit)? {
            return refused(&why);
        }
        if self.agent.delivered.pushed.is_none() && commit.as_str() == self.agent.spec.base {
            let (n, pull) = (self.n, self.agent.spec.pull.clone());
            return Ok(First::Ended(Entry::Delivered { n, pull, nothing: true, note: None }));
        }
        let branch = self.branch();
        let there = match reach::look(&self.env, common_dir, &roads.to, &[branch]) {
            Ok(there) => there,
            Err(git::Error::Remote { why }) => {
                return Ok(First::Ended(self.undelivered(&why, None, Stage::Kept, None)));
            }
            Err(error) => return Err(error.into()),
        };
        let head = there.heads.get(branch);
        let contained = match head {
            Some(head) => reach::contains(&self.env, common_dir, &roads.to, &commit, head)?,
            None => false,
        };
        let known = &self.agent.delivered;
        let ours = |head: &CommitId| {
            [&known.pushed, &known.sent].into_iter().flatten().any(|known| known == head.as_str())
        };
        let opening = self.delivery.open.as_ref();
        let own = self.delivery.branch.is_none() && self.agent.spec.place.has_own_branch();
        let seen = Seen {
            branch,
            there: head.map(CommitId::as_str),
            ours: head.is_some_and(ours),
            contained,
            whose: if own { Whose::Agents } else { Whose::Others },
            commit: commit.as_str(),
            default: there.default.as_deref(),
            into: opening.and_then(|opening| opening.into.as_deref()),
            opens: opening.is_some(),
        };
        let over = match (delivery::push(&seen), head.cloned()) {
            (Push::Done, _) => return Ok(First::There(commit)),
            (Push::Refused(why), _) => return refused(&why),
            (Push::New, _) | (Push::OnTop | Push::InPlace, None) => Over::Nothing,
            (Push::OnTop, Some(head)) => Over::Contained(head),
            (Push::InPlace, Some(head)) => Over::This(head),
        };
        Ok(First::Push(Pushing { commit, branch: branch.to_owned(), over }))
    }

    /// Why what is on the agent's branch is not all that it did; `None`: it is.
    fn elsewhere(&self, tip: &CommitId) -> Result<Option<String>> {
        let left = self.agent.commits.iter().rev().find(|committed| committed.n == self.n);
        if let Some(why) = left.and_then(|committed| committed.skipped.clone()) {
            return Ok(Some(format!("its work is not all on its branch: {why}")));
        }
        let Some(worktree) = worktree(&self.agent) else { return Ok(None) };
        let head = git::worktree::head(&self.env, &worktree)?;
        Ok((head.commit() != Some(tip)).then(|| {
            let at =
                head.branch().map_or_else(|| "no branch".to_owned(), |branch| format!("the branch {branch}"));
            format!("the agent left its worktree on {at}, and its work is there")
        }))
    }

    /// Pushes; how it ended, if it was not taken.
    ///
    /// # Errors
    /// If git could not be run.
    pub fn push(&self, pushing: &Pushing) -> Result<Option<Entry>> {
        let Pushing { commit, branch, over } = pushing;
        let common_dir = &self.agent.spec.common_dir;
        let Some(roads) = &self.roads else { return Ok(None) };
        let Some(NotPushed(why)) = reach::push(&self.env, common_dir, &roads.to, commit, branch, over)?
        else {
            return Ok(None);
        };
        // A push of a keeper that died in the middle of it may have arrived in this very moment.
        let there = reach::look(&self.env, common_dir, &roads.to, &[branch]);
        if there.is_ok_and(|there| there.heads.get(branch) == Some(commit)) {
            return Ok(None);
        }
        Ok(Some(self.undelivered(&why, None, Stage::Kept, None)))
    }

    /// Sees to the pull request, once the branch is at the remote; how that ended.
    ///
    /// # Errors
    /// If a file of our own could not be read or written.
    pub fn pull_request(&self) -> Result<Entry> {
        let text = match self.text() {
            Ok(text) => text,
            Err(why) => return Ok(self.undelivered(&why, None, Stage::Pushed, None)),
        };
        file::replace(&self.record.pull_text(), text.body.as_bytes())?;
        let done = match (&self.delivery.open, &self.agent.spec.pull) {
            (Some(opening), _) => self.open(opening, &text),
            (None, Some(pull)) => self.label(pull).map(|()| (pull.clone(), None)),
            (None, None) => {
                return Ok(Entry::Delivered { n: self.n, pull: None, nothing: false, note: None });
            }
        };
        Ok(match done {
            Ok((pull, note)) => Entry::Delivered { n: self.n, pull: Some(pull), nothing: false, note },
            Err(error) => {
                let home = self.delivery.open.as_ref().map(|opening| &opening.at);
                let login = home.filter(|_| matches!(error, github::Error::NoLogin { .. }));
                self.undelivered(&error.to_string(), Some(&text), Stage::Pushed, login)
            }
        })
    }

    fn open(&self, opening: &Opening, text: &PullText) -> github::Result<(PullRequest, Option<String>)> {
        let branch = self.branch();
        if let Some(pull) = self.gh.find(opening, branch)? {
            // Opened by us before, or by somebody else: then its text is theirs.
            self.label(&pull)?;
            return Ok((pull, None));
        }
        let asked = opening.into.as_deref();
        let has = |name: &str| {
            let Some(roads) = &self.roads else { return true };
            let reach = roads.into.as_ref().unwrap_or(&roads.to);
            let there = reach::look(&self.env, &self.agent.spec.common_dir, reach, &[name]);
            // If it does not answer now, the host says what it thinks of the branch.
            there.map_or(true, |there| there.heads.contains_key(name))
        };
        let (into, note) = delivery::into(asked, has);
        let opening = Opening { into, ..opening.clone() };
        let (body, labels) = (self.record.pull_text(), &self.delivery.labels);
        Ok((self.gh.create(&opening, branch, &text.title, &body, labels)?, note))
    }

    fn label(&self, pull: &PullRequest) -> github::Result<()> {
        let home = forge::pull_request(&pull.url).and_then(|named| named.home);
        match home.filter(|_| !self.delivery.labels.is_empty()) {
            Some(home) => self.gh.label(&home, pull.number, &self.delivery.labels),
            None => Ok(()),
        }
    }

    /// The branch at the remote.
    fn branch(&self) -> &str {
        self.delivery.branch.as_deref().unwrap_or(&self.agent.spec.branch)
    }

    fn text(&self) -> std::result::Result<PullText, String> {
        let spec = &self.agent.spec;
        let task = file::read(&self.record.task(self.agent.task_round)).ok().flatten().unwrap_or_default();
        let mut facts = Facts {
            title: spec.title.clone(),
            task: String::from_utf8_lossy(&task).trim().to_owned(),
            answer: self.answer().trim().to_owned(),
            agent: spec.session.to_string(),
            branch: spec.branch.clone(),
            base: spec.base_name.clone(),
            validation: spec.validate.clone().unwrap_or_default(),
            ..Facts::default()
        };
        for attempt in self.agent.attempts.iter().filter(|attempt| attempt.process.is_some()) {
            let cli = spec.chain.get(attempt.link).map_or("?", |link| link.cli.as_str()).to_owned();
            if !facts.clis.contains(&cli) {
                facts.clis.push(cli);
            }
        }
        // What cannot be counted is not worth an end without a pull request.
        if let Ok(Some(changes)) = work::changes(&self.house, &self.agent) {
            (facts.files, facts.insertions, facts.deletions) =
                (changes.files, changes.insertions, changes.deletions);
        }
        if let (Some(worktree), Some(base)) = (worktree(&self.agent), CommitId::parse(&spec.base)) {
            let commits = git::history::commits(&self.env, &worktree, &base, NAMED).unwrap_or_default();
            facts.commits = commits.into_iter().rev().map(|commit| commit.subject).collect();
        }
        let template = self.house.settings.pull_template().map_err(|e| e.to_string())?;
        pull_text::render(&template, &facts).map_err(|why| format!("the template of pull requests: {why}"))
    }

    /// The end of what the agent said when it was done.
    fn answer(&self) -> String {
        let ended = self.agent.attempts.iter().rev().filter_map(|attempt| attempt.ended.as_ref());
        let mut done = ended.filter(|ended| ended.ending == Ending::Done);
        done.next().map(|ended| ended.answer.clone()).unwrap_or_default()
    }

    fn undelivered(&self, why: &str, text: Option<&PullText>, stage: Stage, login: Option<&Home>) -> Entry {
        let body = self.record.pull_text();
        let by_hand = ByHand {
            session: &self.agent.spec.session,
            branch: &self.agent.spec.branch,
            delivery: &self.delivery,
            pull: self.agent.spec.pull.as_ref(),
            title: text.map_or(&self.agent.spec.title, |text| &text.title),
            body: &body,
            stage,
            login,
        };
        Entry::NotDelivered { n: self.n, undelivered: delivery::undelivered(why, &by_hand) }
    }
}
