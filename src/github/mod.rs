//! Pull requests, by the program `gh`. It is given explicit words only, and texts in files; it never asks, and it is never run in a
//! checkout, whose configuration an agent can have written.

use crate::model::delivery::{Home, Opening, PullRequest};
use crate::rules::delivery::{self, Trouble};
use crate::rules::forge;
use crate::tools::file;
use crate::tools::program::{self, Program};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one call may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Why `gh` did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("gh is not installed")]
    Missing,
    /// Nobody is logged in.
    #[error("gh is not logged in to {host}")]
    NoLogin {
        /// Where.
        host: String,
    },
    /// Too many requests.
    #[error("{host} takes no more requests from this login for now: {said}")]
    RateLimit {
        /// Where.
        host: String,
        /// What it said.
        said: String,
    },
    /// There is no such pull request.
    #[error("there is no pull request {number} at {at}, or this login may not see it")]
    NoPullRequest {
        /// The number.
        number: u64,
        /// The repository.
        at: Home,
    },
    /// It failed otherwise.
    #[error("gh could not {doing}: {said}")]
    Failed {
        /// What it was to do.
        doing: &'static str,
        /// What it said.
        said: String,
    },
    /// It could not be run, or did not end.
    #[error(transparent)]
    Program(#[from] program::Error),
    /// A file for it could not be written.
    #[error(transparent)]
    File(#[from] file::Error),
}

impl Error {
    /// A word that does not change, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "gh_missing",
            Self::NoLogin { .. } => "gh_login",
            Self::RateLimit { .. } => "gh_rate_limit",
            Self::NoPullRequest { .. } => "no_pull_request",
            Self::Failed { .. } => "gh_failed",
            Self::Program(error) => error.code(),
            Self::File(error) => error.code(),
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing => Some("install it: https://cli.github.com".to_owned()),
            Self::NoLogin { host } => Some(format!("gh auth login --hostname {host}")),
            Self::RateLimit { host, .. } => {
                Some(format!("see when that ends: gh api rate_limit --hostname {host}"))
            }
            Self::NoPullRequest { at, .. } => Some(format!("gh pr list --repo {at}")),
            Self::Failed { .. } => None,
            Self::Program(error) => error.hint(),
            Self::File(error) => error.hint(),
        }
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A pull request, as it is at the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// It.
    pub pull: PullRequest,
    /// Where it is.
    pub at: Home,
    /// The commit at its head.
    pub commit: String,
    /// The branch that it is from.
    pub branch: String,
    /// The repository of that branch; `None`: it was deleted.
    pub from: Option<Home>,
    /// Whether it is open.
    pub open: bool,
}

/// The program `gh`, and what it is run with.
#[derive(Debug, Clone)]
pub struct Gh {
    program: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewed {
    number: u64,
    url: String,
    state: String,
    head_ref_name: String,
    head_ref_oid: String,
    head_repository: Option<Called>,
    head_repository_owner: Option<Login>,
}

#[derive(Deserialize)]
struct Called {
    name: String,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    number: u64,
    url: String,
    head_repository_owner: Option<Login>,
}

impl Gh {
    /// The one at `program` (absolute), if it is installed, with `environment`, in `dir`, which is a directory of our own.
    pub fn new(
        program: Option<PathBuf>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        dir: impl Into<PathBuf>,
    ) -> Self {
        let environment = environment.into_iter().collect();
        Self { program, environment, dir: dir.into() }
    }

    /// Whether there is one.
    pub const fn is_installed(&self) -> bool {
        self.program.is_some()
    }

    /// The pull request `number` of `at`.
    pub fn view(&self, at: &Home, number: u64) -> Result<Found> {
        const FIELDS: &str = "number,url,state,headRefName,headRefOid,headRepository,headRepositoryOwner";
        let doing = "tell of the pull request";
        let words =
            ["pr", "view", &number.to_string(), &format!("--repo={at}"), "--json", FIELDS].map(String::from);
        let told = self.run(doing, at, &words).map_err(|error| match error {
            Refusal::Trouble(Trouble::NotFound, _) => Error::NoPullRequest { number, at: at.clone() },
            other => other.into_error(doing, at),
        })?;
        let viewed: Viewed = parsed(doing, &told)?;
        let from = viewed.head_repository_owner.zip(viewed.head_repository).map(|(owner, repository)| Home {
            host: at.host.clone(),
            owner: owner.login,
            name: repository.name,
        });
        Ok(Found {
            pull: PullRequest { number: viewed.number, url: viewed.url },
            at: at.clone(),
            commit: viewed.head_ref_oid,
            branch: viewed.head_ref_name,
            from,
            open: viewed.state == "OPEN",
        })
    }

    /// The open pull request for `branch` that `opening` would open, if there is one.
    pub fn find(&self, opening: &Opening, branch: &str) -> Result<Option<PullRequest>> {
        let doing = "look for the pull request";
        let at = &opening.at;
        let words = [
            "pr".to_owned(),
            "list".to_owned(),
            format!("--repo={at}"),
            format!("--head={branch}"),
            "--state=open".to_owned(),
            "--limit=50".to_owned(),
            "--json=number,url,headRepositoryOwner".to_owned(),
        ];
        let told = self.run(doing, at, &words).map_err(|refusal| refusal.into_error(doing, at))?;
        let all: Vec<Listed> = parsed(doing, &told)?;
        // Forks may have branches of this name, too.
        let owner = opening.from.as_ref().unwrap_or(&at.owner);
        let ours = all.into_iter().find(|listed| {
            listed.head_repository_owner.as_ref().is_some_and(|o| o.login.eq_ignore_ascii_case(owner))
        });
        Ok(ours.map(|listed| PullRequest { number: listed.number, url: listed.url }))
    }

    /// Opens a pull request for `branch`, with the text that is in the file `body`; one that is there by now is fine.
    pub fn create(
        &self,
        opening: &Opening,
        branch: &str,
        title: &str,
        body: &Path,
        labels: &[String],
    ) -> Result<PullRequest> {
        let doing = "open the pull request";
        let at = &opening.at;
        let words = delivery::create_args(opening, branch, title, &body.to_string_lossy(), labels);
        let said = match self.run(doing, at, &words) {
            Ok(said) | Err(Refusal::Trouble(Trouble::Exists, said)) => said,
            Err(other) => return Err(other.into_error(doing, at)),
        };
        if let Some(pull) = self.find(opening, branch)? {
            return Ok(pull);
        }
        // The list of a host may be a moment behind; then the address that it said counts.
        let url =
            said.split_whitespace().rev().find_map(|word| Some((forge::pull_request(word)?.number, word)));
        let (number, url) = url.ok_or_else(|| Error::Failed { doing, said: delivery::reason(&said) })?;
        Ok(PullRequest { number, url: url.to_owned() })
    }

    /// Gives the pull request labels.
    pub fn label(&self, at: &Home, number: u64, labels: &[String]) -> Result<()> {
        let doing = "label the pull request";
        let mut words = vec!["pr".to_owned(), "edit".to_owned(), number.to_string(), format!("--repo={at}")];
        words.extend(labels.iter().map(|label| format!("--add-label={label}")));
        self.run(doing, at, &words).map(drop).map_err(|refusal| refusal.into_error(doing, at))
    }

    fn run(&self, doing: &'static str, at: &Home, words: &[String]) -> std::result::Result<String, Refusal> {
        let program = self.program.as_ref().ok_or(Refusal::Error(Error::Missing))?;
        file::make_dirs(&self.dir).map_err(|e| Refusal::Error(e.into()))?;
        let mut gh = Program::new(program).env_clear().cwd(&self.dir).limit(LIMIT);
        for (name, value) in &self.environment {
            gh = gh.env(name, value);
        }
        let quiet = [
            ("GH_PROMPT_DISABLED", "1"),
            ("GH_NO_UPDATE_NOTIFIER", "1"),
            ("GH_PAGER", "cat"),
            ("NO_COLOR", "1"),
            ("LC_ALL", "C.UTF-8"),
        ];
        for (name, value) in quiet {
            gh = gh.env(name, value);
        }
        tracing::info!(doing, %at, "gh");
        let ran = gh.env_remove("GH_REPO").env_remove("GH_HOST").args(words).run();
        let ran = ran.map_err(|e| Refusal::Error(e.into()))?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        if ran.status.success() {
            return Ok(said);
        }
        let errors = String::from_utf8_lossy(&ran.stderr);
        if ran.status.code().is_none() {
            let said = "it was killed".to_owned();
            return Err(Refusal::Error(Error::Failed { doing, said }));
        }
        Err(Refusal::Trouble(delivery::trouble(ran.status.code(), &errors), delivery::reason(&errors)))
    }
}

/// How a call failed.
enum Refusal {
    /// `gh` said so.
    Trouble(Trouble, String),
    /// It said nothing.
    Error(Error),
}

impl Refusal {
    fn into_error(self, doing: &'static str, at: &Home) -> Error {
        let host = at.host.clone();
        match self {
            Self::Trouble(Trouble::NoLogin, _) => Error::NoLogin { host },
            Self::Trouble(Trouble::RateLimit, said) => Error::RateLimit { host, said },
            Self::Trouble(_, said) => Error::Failed { doing, said },
            Self::Error(error) => error,
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(doing: &'static str, told: &str) -> Result<T> {
    serde_json::from_str(told)
        .map_err(|e| Error::Failed { doing, said: format!("its answer is not understood: {e}") })
}
