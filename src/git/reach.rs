//! Remotes: what they have, what is fetched from them, and pushing to them by what the user had set before any agent ran.
//!
//! An agent can write the repository's configuration, which names programs that a push runs (`core.sshCommand`, `credential.helper`,
//! `remote.*.receivepack`) and where it goes. So [`Reach`] is taken before the agent starts, and what pushes runs in a git directory of
//! our own with that and nothing else.

use super::command::{Git, GitEnv, answer};
use super::private::{BareDir, ConfigSnapshot};
use super::settings::Settings;
use super::{CommitId, Error, Repository, Result, refs};
use crate::rules::delivery;
use crate::rules::forge::Remote;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What the remote is called in a git directory of our own.
const THERE: &str = "there";

/// How a remote is reached. Holds what may be secret: it is kept in a private file, and in no journal.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    settings: Vec<(String, String)>,
    sha256: bool,
}

// Addresses and headers may hold passwords.
impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.iter().map(|(key, _)| key)).finish()
    }
}

/// What a repository says about its remotes.
#[derive(Debug)]
pub struct Remotes {
    /// The remotes, in the order of the configuration.
    pub all: Vec<Remote>,
    /// The one that is pushed to where nothing else is said.
    pub push_default: Option<String>,
    settings: Vec<(String, String)>,
}

impl Remotes {
    /// Those of `repository`, as they are now.
    pub fn of(repository: &Repository) -> Result<Self> {
        let settings = Settings::of(repository)?.all;
        let mut all: Vec<Remote> = Vec::new();
        let mut push_default = None;
        for (key, value) in &settings {
            if key == "remote.pushdefault" {
                push_default = Some(value.clone());
            }
            let Some((name, variable)) = key.strip_prefix("remote.").and_then(|rest| rest.rsplit_once('.'))
            else {
                continue;
            };
            let at = all.iter().position(|remote| remote.name == name);
            let at = at.unwrap_or_else(|| {
                all.push(Remote { name: name.to_owned(), ..Remote::default() });
                all.len() - 1
            });
            let Some(remote) = all.get_mut(at) else { continue };
            match variable {
                // The first of several is what is fetched from.
                "url" if remote.url.is_empty() => remote.url.clone_from(value),
                "pushurl" if remote.push_url.is_none() => remote.push_url = Some(value.clone()),
                "gh-resolved" => remote.is_base = value == "base",
                _ => {}
            }
        }
        all.retain(|remote| !remote.url.is_empty());
        Ok(Self { all, push_default, settings })
    }

    /// How `remote` is reached, where it is pushed to: what is there is looked at in the same place.
    pub fn reach(&self, remote: &Remote) -> Reach {
        const OF_REMOTE: [&str; 4] = ["proxy", "proxyauthmethod", "receivepack", "uploadpack"];
        let prefix = format!("remote.{}.", remote.name);
        let own = self.settings.iter().filter_map(|(key, value)| {
            let variable = key.strip_prefix(&prefix)?;
            let wanted = OF_REMOTE.contains(&variable);
            wanted.then(|| (format!("remote.{THERE}.{variable}"), value.clone()))
        });
        let mut own: Vec<_> = own.collect();
        let url = remote.push_url.as_ref().unwrap_or(&remote.url);
        own.push((format!("remote.{THERE}.url"), url.clone()));
        if let Some(url) = &remote.push_url {
            // What is written for pushing is turned to nothing else by git.
            own.push((format!("remote.{THERE}.pushurl"), url.clone()));
        }
        self.with(own)
    }

    /// Whether `remote` is several places at once.
    pub fn is_several(&self, remote: &Remote) -> bool {
        let count = |variable: &str| {
            let key = format!("remote.{}.{variable}", remote.name);
            self.settings.iter().filter(|(known, _)| *known == key).count()
        };
        if remote.push_url.is_some() { count("pushurl") > 1 } else { count("url") > 1 }
    }

    /// How another repository at `url` is reached.
    pub fn reach_url(&self, url: &str) -> Reach {
        self.with(vec![(format!("remote.{THERE}.url"), url.to_owned())])
    }

    fn reaching(&self, git: Git) -> Git {
        unattended(git, &self.settings)
    }

    fn with(&self, own: Vec<(String, String)>) -> Reach {
        const SECTIONS: [&str; 5] = ["credential.", "http.", "url.", "ssh.", "protocol."];
        const EXACT: [&str; 3] = ["core.sshcommand", "core.askpass", "core.gitproxy"];
        let wanted = |key: &str| SECTIONS.iter().any(|s| key.starts_with(s)) || EXACT.contains(&key);
        let shared = self.settings.iter().filter(|(key, _)| wanted(key)).cloned();
        let sha256 = |(key, value): &(String, String)| key == "extensions.objectformat" && value == "sha256";
        let sha256 = self.settings.iter().any(sha256);
        Reach { settings: shared.chain(own).collect(), sha256 }
    }
}

/// What a remote has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct There {
    /// Those of the branches asked for that it has.
    pub heads: BTreeMap<String, CommitId>,
    /// Its default branch, if it says.
    pub default: Option<String>,
}

/// Why something was not pushed; what git said is in the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPushed(pub String);

/// Asks the remote which of `branches` it has.
///
/// # Errors
/// If it cannot be reached, as [`Error::Remote`].
pub fn look(env: &GitEnv, common_dir: &Path, reach: &Reach, branches: &[&str]) -> Result<There> {
    let doing = "ask a remote for its branches";
    let dir = dir(env, common_dir, reach)?;
    let names: Vec<String> = branches.iter().map(|branch| format!("refs/heads/{branch}")).collect();
    let listed = command(&dir, reach).args(["ls-remote", "--symref", THERE, "HEAD"]).args(&names).run()?;
    if !listed.status.success() {
        let why = delivery::not_pushed("", &String::from_utf8_lossy(&listed.stderr));
        return Err(Error::Remote { why });
    }
    let mut there = There::default();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let (what, name) = line.split_once('\t').ok_or_else(|| answer(doing, line.as_bytes()))?;
        if let Some(target) = what.strip_prefix("ref: ").filter(|_| name == "HEAD") {
            there.default = target.strip_prefix("refs/heads/").map(str::to_owned);
        } else if let Some(branch) =
            name.strip_prefix("refs/heads/").filter(|_| names.iter().any(|n| n == name))
        {
            let id = CommitId::parse(what).ok_or_else(|| answer(doing, line.as_bytes()))?;
            there.heads.insert(branch.to_owned(), id);
        }
    }
    Ok(there)
}

/// What is at the remote where something is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// Something that the commit contains: git sees to that once more.
    Contained(CommitId),
    /// This, which goes.
    This(CommitId),
}

impl Over {
    /// What is there.
    pub const fn commit(&self) -> Option<&CommitId> {
        match self {
            Self::Nothing => None,
            Self::Contained(commit) | Self::This(commit) => Some(commit),
        }
    }
}

/// Has the branch `branch` of the remote be `commit`, if it still is as `over` says. No hook runs.
///
/// # Errors
/// If git could not be run. That the remote does not take it is an answer.
pub fn push(
    env: &GitEnv,
    common_dir: &Path,
    reach: &Reach,
    commit: &CommitId,
    branch: &str,
    over: &Over,
) -> Result<Option<NotPushed>> {
    let dir = dir(env, common_dir, reach)?;
    let lease = |expected: &str| Some(format!("--force-with-lease=refs/heads/{branch}:{expected}"));
    let lease = match over {
        Over::Nothing => lease(""),
        Over::Contained(_) => None,
        Over::This(commit) => lease(commit.as_str()),
    };
    let pushed = command(&dir, reach)
        .args(["push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed"])
        .arg("--recurse-submodules=no")
        .args(lease)
        .args([THERE, &format!("{}:refs/heads/{branch}", commit.as_str())])
        .run()?;
    if pushed.status.success() {
        return Ok(None);
    }
    let [output, errors] = [&pushed.stdout, &pushed.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    Ok(Some(NotPushed(delivery::not_pushed(&output, &errors))))
}

/// Fetches the head of a pull request, which is `commit`, into the objects of `repository`; no ref is written.
///
/// # Errors
/// If it cannot be reached or has no such commit, as [`Error::Remote`].
pub fn fetch_pull(
    repository: &Repository,
    remotes: &Remotes,
    remote: &Remote,
    number: u64,
    commit: &CommitId,
) -> Result<()> {
    let has = || Ok::<_, Error>(repository.resolve(commit.as_str())?.is_some());
    if has()? {
        return Ok(());
    }
    let mut why = String::new();
    // The ref of a pull request may be a moment behind what the host says of it; then by its id.
    for what in [format!("refs/pull/{number}/head"), commit.as_str().to_owned()] {
        let fetched = remotes
            .reaching(repository.git().limit(repository.env.long_limit))
            .args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"])
            // Else what the remote is set up for is updated on the way.
            .args(["--refmap=", "--recurse-submodules=no", "--", &remote.name, &what])
            .run()?;
        if fetched.status.success() && has()? {
            return Ok(());
        }
        let said = delivery::not_pushed("", &String::from_utf8_lossy(&fetched.stderr));
        if why.is_empty() {
            why = said;
        }
    }
    if why.is_empty() {
        why = format!("it has no commit {}", commit.short());
    }
    Err(Error::Remote { why })
}

fn dir<'a>(env: &'a GitEnv, common_dir: &'a Path, reach: &Reach) -> Result<BareDir<'a>> {
    BareDir::with(env, common_dir, &ConfigSnapshot::bare(reach.sha256).with(reach.settings.iter().cloned()))
}

fn command(dir: &BareDir<'_>, reach: &Reach) -> Git {
    unattended(dir.git(), &reach.settings)
}

/// The command with a way to remotes, on which nobody is asked for anything: ssh would ask by the terminal of the pane.
fn unattended(git: Git, settings: &[(String, String)]) -> Git {
    let asks = !git.names_ssh() && !settings.iter().any(|(key, _)| key == "core.sshcommand");
    let git = git.with_network();
    if asks { git.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes") } else { git }
}

/// The default branch of a remote, as far as that is known here.
pub fn default_branch(repository: &Repository, remote: &str) -> Result<Option<String>> {
    let head = format!("refs/remotes/{remote}/HEAD");
    let named = repository.git().args(["symbolic-ref", "--quiet", &head]).run()?;
    let target = String::from_utf8_lossy(&named.stdout).trim_end().to_owned();
    Ok(target.strip_prefix(&format!("refs/remotes/{remote}/")).map(str::to_owned))
}

/// The tip of the local branch `branch`; `None` if there is no such branch.
pub fn tip(env: &GitEnv, common_dir: &Path, branch: &str) -> Result<Option<CommitId>> {
    refs::read(env, common_dir, &format!("refs/heads/{branch}"))
}

/// Whether `commit` contains `other`, by what the commits say and by no file beside them. One that is not here is contained in none.
pub fn contains(
    env: &GitEnv,
    common_dir: &Path,
    reach: &Reach,
    commit: &CommitId,
    other: &CommitId,
) -> Result<bool> {
    let words = ["merge-base", "--is-ancestor", other.as_str(), commit.as_str()];
    Ok(dir(env, common_dir, reach)?.git().args(words).run()?.status.code() == Some(0))
}
