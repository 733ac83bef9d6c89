//! What is taken out of the environment of an agent that may not push or open pull requests, so that it has nothing to do it with.

use crate::model::guard::Guards;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Variables in which forges and their programs look for a login.
const TOKENS: [&str; 21] = [
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GITHUB_API_TOKEN",
    "GITHUB_PAT",
    "GITHUB_OAUTH_TOKEN",
    "HOMEBREW_GITHUB_API_TOKEN",
    "GITLAB_TOKEN",
    "GITLAB_ACCESS_TOKEN",
    "GITLAB_PRIVATE_TOKEN",
    "OAUTH_TOKEN",
    "CI_JOB_TOKEN",
    "GITEA_TOKEN",
    "GITEA_SERVER_TOKEN",
    "FORGEJO_TOKEN",
    "CODEBERG_TOKEN",
    "AZURE_DEVOPS_EXT_PAT",
    "SYSTEM_ACCESSTOKEN",
    "GERRIT_TOKEN",
    "SOURCEHUT_TOKEN",
];
/// The same, by how they begin.
const BEGINNINGS: [&str; 2] = ["BITBUCKET_", "GIT_ASKPASS_"];
/// Where the programs of forges keep what they know; each gets an empty directory.
const HOMES: [&str; 4] = ["GH_CONFIG_DIR", "GLAB_CONFIG_DIR", "HUB_CONFIG", "TEA_CONFIG_DIR"];

/// What every URL for pushing begins with instead: a host that there never is, to which git goes by a program that refuses.
pub const REFUSED: &str = "push-not-allowed.invalid:";

/// What the repository and its agent have that is to be taken away.
#[derive(Debug, Clone, Default)]
pub struct Had<'h> {
    /// The names in the environment.
    pub names: BTreeSet<&'h str>,
    /// Those that were given with `--env`, which stay.
    pub given: BTreeSet<&'h str>,
    /// The URLs of remotes.
    pub urls: Vec<&'h str>,
    /// The URLs that remotes say are for pushing.
    pub push_urls: Vec<&'h str>,
    /// An empty directory.
    pub nothing: PathBuf,
    /// A program that refuses, as a word for a shell and as a path.
    pub refuses: (String, PathBuf),
}

/// What is done to an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Variables that go.
    pub unset: Vec<String>,
    /// Variables that are set.
    pub set: Vec<(String, PathBuf)>,
    /// Settings of git, in this order behind those that are there.
    pub git: Vec<(String, String)>,
}

/// What an agent with these guards is left without.
pub fn taken(guards: &Guards, had: &Had<'_>) -> Taken {
    let mut taken = Taken::default();
    if !guards.without_login() {
        return taken;
    }
    let secret = |name: &str| TOKENS.contains(&name) || BEGINNINGS.iter().any(|b| name.starts_with(b));
    let ours = |name: &str| !had.given.contains(name);
    let gone = had.names.iter().filter(|name| secret(name) && ours(name));
    taken.unset.extend(gone.map(|name| (*name).to_owned()));
    for name in HOMES.into_iter().filter(|name| ours(name)) {
        // hub wants a file, which is as empty.
        let nothing = if name == "HUB_CONFIG" { had.nothing.join("hub") } else { had.nothing.clone() };
        taken.set.push((name.to_owned(), nothing));
    }
    // A login that git finds for a push is one that opens pull requests as well.
    taken.git.push(("credential.helper".to_owned(), String::new()));
    taken.set.push(("GIT_TERMINAL_PROMPT".to_owned(), PathBuf::from("0")));
    for name in ["GIT_ASKPASS", "SSH_ASKPASS"].into_iter().filter(|name| ours(name)) {
        taken.set.push((name.to_owned(), had.refuses.1.clone()));
    }
    if !guards.no_push {
        return taken;
    }
    if ours("SSH_AUTH_SOCK") && had.names.contains("SSH_AUTH_SOCK") {
        taken.unset.push("SSH_AUTH_SOCK".to_owned());
    }
    if ours("GIT_SSH_COMMAND") {
        taken.set.push(("GIT_SSH_COMMAND".to_owned(), PathBuf::from(&had.refuses.0)));
        // It would be asked first nowhere, and its name tells which program is meant.
        taken.unset.extend(had.names.contains("GIT_SSH").then(|| "GIT_SSH".to_owned()));
    }
    // The longest beginning wins: of all URLs, and of each that is known, whatever else is set for a part of it.
    let push = format!("url.{REFUSED}.pushInsteadOf");
    taken.git.push((push.clone(), String::new()));
    taken.git.extend(had.urls.iter().map(|url| (push.clone(), (*url).to_owned())));
    // What a remote itself says is for pushing is not looked up there, and an empty value ends that list only from git 2.46 on. So
    // nothing is fetched from such a URL either.
    let any = format!("url.{REFUSED}.insteadOf");
    taken.git.extend(had.push_urls.iter().map(|url| (any.clone(), (*url).to_owned())));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn had() -> Had<'static> {
        Had {
            names: [
                "PATH",
                "GH_TOKEN",
                "GITHUB_TOKEN",
                "BITBUCKET_USER",
                "SSH_AUTH_SOCK",
                "ANTHROPIC_API_KEY",
            ]
            .into(),
            given: ["GITHUB_TOKEN"].into(),
            urls: vec!["git@x:y"],
            push_urls: vec!["git@x:z"],
            nothing: "/n".into(),
            refuses: ("'/r f'".into(), "/r f".into()),
        }
    }

    fn guards(no_push: bool, no_new_pr: bool) -> Guards {
        Guards { no_push, no_new_pr, ..Guards::default() }
    }

    #[test]
    fn who_may_push_keeps_everything() {
        assert_eq!(taken(&guards(false, false), &had()), Taken::default());
    }

    #[test]
    fn who_may_not_push_has_nothing_to_push_with() {
        let taken = taken(&guards(true, false), &had());
        assert_eq!(taken.unset, ["BITBUCKET_USER", "GH_TOKEN", "SSH_AUTH_SOCK"]);
        let set: Vec<&str> = taken.set.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["GH_CONFIG_DIR", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_TERMINAL_PROMPT"]
        {
            assert!(set.contains(&name), "{name} in {set:?}");
        }
        let git: Vec<(&str, &str)> = taken.git.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            git,
            [
                ("credential.helper", ""),
                ("url.push-not-allowed.invalid:.pushInsteadOf", ""),
                ("url.push-not-allowed.invalid:.pushInsteadOf", "git@x:y"),
                ("url.push-not-allowed.invalid:.insteadOf", "git@x:z"),
            ]
        );
    }

    #[test]
    fn who_may_only_not_open_pull_requests_keeps_ssh() {
        let taken = taken(&guards(false, true), &had());
        assert_eq!(taken.unset, ["BITBUCKET_USER", "GH_TOKEN"]);
        assert!(taken.set.iter().any(|(name, _)| name == "GH_CONFIG_DIR"));
        assert!(!taken.set.iter().any(|(name, _)| name == "GIT_SSH_COMMAND"));
        assert_eq!(taken.git, [("credential.helper".to_owned(), String::new())]);
    }
}
