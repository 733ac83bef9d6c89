//! Pull requests: the one that an agent begins at, and the one that its result is to be in.

use super::ground::{Ground, On};
use super::{House, Result};
use crate::git::reach::{self, Reach, Remotes};
use crate::git::{CommitId, Repository};
use crate::model::delivery::{Delivery, Home, Opening, PullRequest};
use crate::model::glob::Glob;
use crate::model::text::Shown;
use crate::rules::{delivery, forge, glob, naming};
use crate::settings::environment::Environment;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Why a pull request is none to begin at, or to end in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not named.
    #[error("--pr '{}' names no pull request", Shown(.0))]
    NotNamed(String),
    /// No remote leads to its repository.
    #[error("no remote of this repository leads to {0}")]
    NoRemoteTo(Home),
    /// There is nothing to deliver to.
    #[error("this repository has no remote to push to")]
    NoRemote,
    /// Which one is not clear.
    #[error("this repository has several remotes, and none is called origin: {}", .0.join(", "))]
    WhichRemote(Vec<String>),
    /// The remote is at no host of pull requests.
    #[error("the remote {0} leads to no host of pull requests")]
    NoHost(String),
    /// It is not open any more.
    #[error("pull request {number} is not open")]
    NotOpen {
        /// Its number.
        number: u64,
        /// Its address.
        url: String,
        /// The commit at its head.
        commit: String,
    },
    /// Its branch is gone.
    #[error("the branch of pull request {number} was deleted, so nothing can be pushed to it")]
    NoBranch {
        /// Its number.
        number: u64,
    },
    /// A pull request from a branch into itself.
    #[error("{branch} is the branch that a pull request would be merged into")]
    IntoItself {
        /// The branch.
        branch: String,
    },
    /// It is several places.
    #[error("the remote {0} is several places, and a result is delivered to one")]
    Several(String),
    /// The result would be pushed to a branch that no agent may move.
    #[error("the result would be pushed to {} of the remote, which is protected", Shown(.branch))]
    Protected {
        /// The branch.
        branch: String,
    },
    /// HEAD is on no branch.
    #[error("the checkout is on no branch, and a pull request is from one")]
    Detached,
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotNamed(_) => "usage",
            Self::NoRemote
            | Self::WhichRemote(_)
            | Self::NoHost(_)
            | Self::NoRemoteTo(_)
            | Self::Several(_) => "no_remote",
            Self::Protected { .. } => "protected",
            Self::NotOpen { .. } | Self::NoBranch { .. } => "no_pull_request",
            Self::IntoItself { .. } | Self::Detached => "no_branch_of_its_own",
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotNamed(_) => "its number or its address: --pr 12".to_owned(),
            Self::NoRemoteTo(home) => format!("git remote add upstream https://{home}"),
            Self::NoRemote => "git remote add origin URL".to_owned(),
            Self::WhichRemote(names) => {
                let name = names.first().map_or("NAME", String::as_str);
                format!("say which: git config remote.pushDefault '{}'", Shown(name))
            }
            Self::Several(_) => "leave it out, and push the branch when it is done".to_owned(),
            Self::Protected { .. } => {
                "with --pr add --no-push; or take it out of protected_branches in config.toml".to_owned()
            }
            Self::NoHost(_) => "leave --open-pr out, and push the branch when it is done".to_owned(),
            Self::NotOpen { commit, .. } => {
                format!(
                    "begin a new branch at it: git fetch origin {commit}, then ai_orch run --base {commit}"
                )
            }
            Self::NoBranch { .. } => "add --no-push: the result stays on a branch here".to_owned(),
            Self::IntoItself { .. } | Self::Detached => {
                "leave it out: the agent then gets a branch of its own".to_owned()
            }
        })
    }
}

/// A pull request that an agent can begin at.
#[derive(Debug)]
pub struct Pulled {
    /// Its head.
    pub ground: Ground,
    /// It.
    pub pull: PullRequest,
    /// How the result comes back into it, if it is to.
    pub back: Option<Way>,
}

/// Where a result goes, and how that is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// For the journal.
    pub delivery: Delivery,
    /// [`Roads`] as JSON, for a private file.
    pub roads: Vec<u8>,
}

/// How the repositories are reached that a result goes to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Roads {
    /// The one that it is pushed to.
    pub to: Reach,
    /// The one that the pull request is in, if that is another one.
    #[serde(default)]
    pub into: Option<Reach>,
}

impl Way {
    fn new(delivery: Delivery, roads: &Roads) -> Result<Self> {
        let roads = serde_json::to_vec(roads).map_err(crate::a2a::Error::Json)?;
        let seal = naming::checksum(&roads);
        Ok(Self { delivery: Delivery { seal, ..delivery }, roads })
    }
}

/// The pull request that `said` names, with its head among the objects of the repository around `dir`; with `pushes`, and the way back.
pub fn begin_at(
    house: &House,
    dir: &Path,
    said: &str,
    environment: &Environment,
    pushes: bool,
) -> Result<Pulled> {
    let named = forge::pull_request(said).ok_or_else(|| Error::NotNamed(said.to_owned()))?;
    let repository = Repository::require(&house.git()?, dir)?;
    let remotes = Remotes::of(&repository)?;
    let remote = match &named.home {
        Some(home) => {
            let leads = |remote: &&forge::Remote| remote.home().is_some_and(|h| forge::is_same(&h, home));
            remotes.all.iter().find(leads).ok_or_else(|| Error::NoRemoteTo(home.clone()))?
        }
        None => forge::base(&remotes.all, remotes.push_default.as_deref()).ok_or_else(|| which(&remotes))?,
    };
    let at = remote.home().ok_or_else(|| Error::NoHost(remote.name.clone()))?;
    let found = house.gh(environment).view(&at, named.number)?;
    let number = found.pull.number;
    if !found.open {
        let (url, commit) = (found.pull.url, found.commit);
        return Err(Error::NotOpen { number, url, commit }.into());
    }
    let unreadable = || crate::github::Error::Failed {
        doing: "tell of the pull request",
        said: "its head is no commit".to_owned(),
    };
    let commit = CommitId::parse(&found.commit).ok_or_else(unreadable)?;
    reach::fetch_pull(&repository, &remotes, remote, number, &commit)?;
    let (pull, from, branch) = (found.pull, found.from, found.branch);
    let back = if pushes { Some(back(&remotes, remote, number, from, branch)?) } else { None };
    let base_name = format!("pull request {number}");
    let ground =
        Ground::Repository { repository: Box::new(repository), commit, base_name, on: On::NewBranch };
    Ok(Pulled { ground, pull, back })
}

/// The way of a result back into the pull request `number` of `remote`, which is from the branch `branch` of `from`.
fn back(
    remotes: &Remotes,
    remote: &forge::Remote,
    number: u64,
    from: Option<Home>,
    branch: String,
) -> Result<Way> {
    let from = from.ok_or(Error::NoBranch { number })?;
    // A fork is reached as its origin is, unless it is a remote itself.
    let own = remotes.all.iter().find(|r| r.push_home().is_some_and(|home| forge::is_same(&home, &from)));
    let (name, to) = if let Some(own) = own {
        one_place(remotes, own)?;
        (own.name.clone(), remotes.reach(own))
    } else {
        let url = forge::sibling(&remote.url, &from).ok_or_else(|| Error::NoRemoteTo(from.clone()))?;
        (format!("https://{from}"), remotes.reach_url(&url))
    };
    let branch = Some(branch);
    let delivery = Delivery { remote: name, branch, open: None, labels: Vec::new(), seal: String::new() };
    Way::new(delivery, &Roads { to, into: None })
}

/// The way of a result from `ground` into a pull request that is opened for it.
pub fn to_open(ground: &Ground, draft: bool) -> Result<Way> {
    let Ground::Repository { repository, base_name, on, .. } = ground else {
        return Err(Error::NoRemote.into());
    };
    let remotes = Remotes::of(repository)?;
    let default = remotes.push_default.as_deref();
    let remote = forge::to_push(&remotes.all, default).ok_or_else(|| which(&remotes))?;
    one_place(&remotes, remote)?;
    let base = forge::base(&remotes.all, default).unwrap_or(remote);
    let home = |remote: &forge::Remote| remote.home().ok_or_else(|| Error::NoHost(remote.name.clone()));
    let (at, own) = (home(base)?, remote.push_home().ok_or_else(|| Error::NoHost(remote.name.clone()))?);
    let into = match on {
        On::NewBranch => delivery::base_branch(base_name, &[&remote.name, &base.name]).map(str::to_owned),
        On::Branch(branch) | On::Checkout(Some(branch)) => {
            let default = reach::default_branch(repository, &remote.name)?;
            if default.as_deref() == Some(branch) || matches!(branch.as_str(), "main" | "master") {
                return Err(Error::IntoItself { branch: branch.clone() }.into());
            }
            None
        }
        On::Checkout(None) => return Err(Error::Detached.into()),
    };
    let from = (!forge::is_same(&at, &own)).then_some(own.owner);
    let open = Some(Opening { at, from, into, draft });
    let name = remote.name.clone();
    let delivery = Delivery { remote: name, branch: None, open, labels: Vec::new(), seal: String::new() };
    let into = (base.name != remote.name).then(|| remotes.reach(base));
    Way::new(delivery, &Roads { to: remotes.reach(remote), into })
}

/// Fails if nobody could tell afterwards whether a remote has what was pushed to it.
fn one_place(remotes: &Remotes, remote: &forge::Remote) -> Result<()> {
    if remotes.is_several(remote) { Err(Error::Several(remote.name.clone()).into()) } else { Ok(()) }
}

/// Fails if the branch of the remote that a result would be pushed to is protected.
pub fn require_unprotected(delivery: &Delivery, ground: &Ground, protected: &[Glob]) -> Result<()> {
    let own = match ground {
        Ground::Repository { on: On::Branch(branch) | On::Checkout(Some(branch)), .. } => Some(branch),
        _ => None,
    };
    let Some(branch) = delivery.branch.as_ref().or(own) else { return Ok(()) };
    if protected.iter().any(|glob| glob::matches(glob, branch)) {
        return Err(Error::Protected { branch: branch.clone() }.into());
    }
    Ok(())
}

fn which(remotes: &Remotes) -> Error {
    if remotes.all.is_empty() {
        Error::NoRemote
    } else {
        Error::WhichRemote(remotes.all.iter().map(|remote| remote.name.clone()).collect())
    }
}
