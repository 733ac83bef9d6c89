//! How a result reaches others: whether it may be pushed, over what, and what to type where we cannot.

use crate::model::delivery::{Delivery, Home, Opening, PullRequest, Undelivered};
use crate::model::ids::Session;
use crate::model::text::fit;
use crate::rules::shell;
use std::path::Path;

/// The longest reason that is kept, in characters.
const LONGEST: usize = 600;

/// What was seen of the branch at the remote, beside what is to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The branch that is pushed to.
    pub branch: &'a str,
    /// What the remote has there; `None`: no such branch.
    pub there: Option<&'a str>,
    /// Whether that is what we pushed there, or were about to.
    pub ours: bool,
    /// Whether what is there is contained in what is pushed.
    pub contained: bool,
    /// Whose branch it is there.
    pub whose: Whose,
    /// The commit that is pushed.
    pub commit: &'a str,
    /// The default branch of the remote, if it told.
    pub default: Option<&'a str>,
    /// The branch that the pull request is to be merged into, if one is opened.
    pub into: Option<&'a str>,
    /// A pull request is opened for it.
    pub opens: bool,
}

/// Whose branch is pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// It was made for the agent: nobody else has anything there.
    Agents,
    /// It was there before, and others have commits on it: nothing of it is ever dropped.
    Others,
}

/// Whether it is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// It is there.
    Done,
    /// Where nothing may be.
    New,
    /// On top of what is there.
    OnTop,
    /// In place of what is there, which is ours.
    InPlace,
    /// It is not, and why.
    Refused(String),
}

/// Whether what was seen may be replaced. Nothing is that somebody else has put there and that we have not seen.
pub fn push(seen: &Seen<'_>) -> Push {
    let branch = seen.branch;
    if seen.opens && (seen.into == Some(branch) || seen.default == Some(branch)) {
        return Push::Refused(format!(
            "{branch} is the branch that the pull request would be merged into, and nothing is pushed to that"
        ));
    }
    let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
    match (seen.there, seen.whose) {
        (Some(there), _) if there == seen.commit => Push::Done,
        (None, Whose::Others) if !seen.opens => Push::Refused(format!(
            "the remote has no branch {branch} any more: its pull request may be merged or closed"
        )),
        (None, _) => Push::New,
        (Some(_), Whose::Others) if seen.contained => Push::OnTop,
        (Some(_), Whose::Agents) if seen.ours && seen.contained => Push::OnTop,
        (Some(_), Whose::Agents) if seen.ours => Push::InPlace,
        (Some(_), Whose::Agents) => {
            Push::Refused(format!("the remote has a branch {branch} already, which is somebody else's"))
        }
        (Some(there), Whose::Others) => Push::Refused(format!(
            "{branch} of the remote is at {}, and what the agent has is not on top of that",
            short(there)
        )),
    }
}

/// The branch that a pull request is opened into: what was asked for if the remote has it, with a note if not.
pub fn into(asked: Option<&str>, has: impl Fn(&str) -> bool) -> (Option<String>, Option<String>) {
    match asked {
        Some(asked) if has(asked) => (Some(asked.to_owned()), None),
        Some(asked) => (
            None,
            Some(format!("the remote has no branch {asked}: the pull request is into its default branch")),
        ),
        None => (None, None),
    }
}

/// The name that the base of an agent would have as a branch of one of `remotes`: its own, without the remote's in front of it.
pub fn base_branch<'b>(base_name: &'b str, remotes: &[&str]) -> Option<&'b str> {
    let name = base_name.strip_prefix("refs/heads/").unwrap_or(base_name);
    let name = name.strip_prefix("refs/remotes/").unwrap_or(name);
    let own = remotes.iter().find_map(|remote| name.strip_prefix(remote)?.strip_prefix('/'));
    let name = own.unwrap_or(name);
    let plain = |c: char| !c.is_whitespace() && !"~^:?*[\\@{".contains(c);
    // `HEAD`, `HEAD~2` or an id are no branches, and neither is what we call a pull request.
    (!name.is_empty() && name != "HEAD" && name.chars().all(plain)).then_some(name)
}

/// What the program `gh` failed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody is logged in there.
    NoLogin,
    /// Too many requests: it works again later.
    RateLimit,
    /// There is no such thing, or not for this login.
    NotFound,
    /// There is a pull request for this branch already.
    Exists,
    /// It could not be reached.
    Network,
    /// Something else.
    Other,
}

/// What `gh` failed for, from its exit code (4 is "not logged in") and its words.
pub fn trouble(exit: Option<i32>, words: &str) -> Trouble {
    let words = words.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|one| words.contains(one));
    // An address of somebody's choosing may hold any of these words; the code is the program's own.
    if exit == Some(4) || says(&["gh auth login", "bad credentials", "http 401"]) {
        Trouble::NoLogin
    } else if says(&["rate limit exceeded", "secondary rate limit", "http 429"]) {
        Trouble::RateLimit
    } else if says(&["already exists"]) {
        Trouble::Exists
    } else if says(&["could not resolve to a", "no pull requests found", "http 404", "not found"]) {
        Trouble::NotFound
    } else if says(&[
        "error connecting to",
        "no such host",
        "could not resolve host",
        "timeout",
        "connection re",
    ]) {
        Trouble::Network
    } else {
        Trouble::Other
    }
}

/// What a program said when it failed, as a reason: without the passwords that an address may hold, and not too long.
pub fn reason(words: &str) -> String {
    let mut plain = String::new();
    let mut rest = words.trim();
    while let Some((before, after)) = rest.split_once("://") {
        plain.push_str(before);
        plain.push_str("://");
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"')).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        plain.push_str(authority.rsplit('@').next().unwrap_or_default());
        rest = behind;
    }
    plain.push_str(rest);
    let lines: Vec<&str> = plain.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    fit(&lines.join("; "), LONGEST)
}

/// Why git did not push, from what `git push --porcelain` printed on its two outputs.
pub fn not_pushed(output: &str, errors: &str) -> String {
    let rejected = output.lines().find_map(|line| line.strip_prefix("!\t")?.split('\t').nth(1));
    let said: Vec<&str> =
        errors.lines().filter_map(|line| line.trim().strip_prefix("remote:")).map(str::trim).collect();
    match rejected {
        Some(how) if how.contains("stale info") => {
            "the branch of the remote has been moved meanwhile".to_owned()
        }
        Some(how) if said.is_empty() => reason(how),
        Some(how) => reason(&format!("{how}: {}", said.join(" "))),
        None => {
            let told =
                errors.lines().filter(|line| !line.starts_with("hint:")).collect::<Vec<_>>().join("\n");
            reason(&told)
        }
    }
}

/// What is to be delivered, for the commands that people type.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// The agent.
    pub session: &'a Session,
    /// Its branch here.
    pub branch: &'a str,
    /// What is done with it.
    pub delivery: &'a Delivery,
    /// The pull request that is updated.
    pub pull: Option<&'a PullRequest>,
    /// The title of one that is opened.
    pub title: &'a str,
    /// The file that holds the text of one that is opened.
    pub body: &'a Path,
    /// How far it came.
    pub stage: Stage,
    /// `gh` wants a login first.
    pub login: Option<&'a Home>,
}

/// How far a result came that is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It must not be pushed as it is.
    Refused,
    /// It is not pushed.
    Kept,
    /// It is pushed, and in no pull request.
    Pushed,
}

/// An undelivered result with what to type: each command alone does one step, the last one has us try again.
pub fn undelivered(why: impl Into<String>, by_hand: &ByHand<'_>) -> Undelivered {
    let ByHand { session, branch, delivery, pull, title, body, stage, login } = *by_hand;
    let there = delivery.branch.as_deref().unwrap_or(branch);
    let mut commands = Vec::new();
    if let Some(home) = login {
        commands.push(shell::command(&["gh", "auth", "login", "--hostname", &home.host]));
    }
    if stage == Stage::Refused {
        commands.push(shell::command(&["git", "fetch", &delivery.remote, there]));
        commands.push(format!("ai_orch resume {session}"));
        return Undelivered { why: why.into(), commands };
    }
    if stage == Stage::Kept {
        commands.push(shell::command(&[
            "git",
            "push",
            &delivery.remote,
            &format!("refs/heads/{branch}:refs/heads/{there}"),
        ]));
    }
    if let Some(opening) = &delivery.open {
        commands.push(create(opening, there, title, &body.to_string_lossy(), &delivery.labels));
    } else if let (Some(pull), false) = (pull, delivery.labels.is_empty()) {
        commands.push(shell::command(&[
            "gh",
            "pr",
            "edit",
            &pull.url,
            "--add-label",
            &delivery.labels.join(","),
        ]));
    }
    commands.push(format!("ai_orch resume {session}"));
    Undelivered { why: why.into(), commands }
}

fn create(opening: &Opening, branch: &str, title: &str, body: &str, labels: &[String]) -> String {
    let args = create_args(opening, branch, title, body, labels);
    let mut all = vec!["gh"];
    all.extend(args.iter().map(String::as_str));
    shell::command(&all)
}

/// The words behind `gh` that open a pull request.
pub fn create_args(
    opening: &Opening,
    branch: &str,
    title: &str,
    body: &str,
    labels: &[String],
) -> Vec<String> {
    let head = match &opening.from {
        Some(owner) => format!("{owner}:{branch}"),
        None => branch.to_owned(),
    };
    let mut args = vec!["pr".to_owned(), "create".to_owned()];
    // Behind its name any text is a value, whatever it begins with.
    let mut set = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    set("--repo", &opening.at.to_string());
    set("--head", &head);
    if let Some(into) = &opening.into {
        set("--base", into);
    }
    set("--title", title);
    set("--body-file", body);
    for label in labels {
        set("--label", label);
    }
    if opening.draft {
        args.push("--draft".to_owned());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_the_remote_is_replaced_only_if_it_is_ours() {
        let [a, c] = ["aaaaaaaaaaaaaaaa", "cccccccccccccccc"];
        let seen = Seen {
            branch: "x",
            there: None,
            ours: false,
            contained: false,
            whose: Whose::Agents,
            commit: c,
            default: Some("main"),
            into: None,
            opens: false,
        };
        let there = Seen { there: Some(a), ..seen };
        let others = Seen { whose: Whose::Others, ..there };
        for (seen, wanted) in [
            (seen, Some(Push::New)),
            (Seen { whose: Whose::Others, opens: true, ..seen }, Some(Push::New)),
            (Seen { whose: Whose::Others, ..seen }, None),
            (Seen { there: Some(c), ..seen }, Some(Push::Done)),
            (there, None),
            (Seen { contained: true, ..there }, None),
            (Seen { ours: true, ..there }, Some(Push::InPlace)),
            (Seen { ours: true, contained: true, ..there }, Some(Push::OnTop)),
            (others, None),
            (Seen { contained: true, ..others }, Some(Push::OnTop)),
            // What we pushed there may be on top of what others did, and does not make that ours.
            (Seen { ours: true, ..others }, None),
            (Seen { branch: "main", contained: true, opens: true, ..others }, None),
            (Seen { branch: "dev", into: Some("dev"), opens: true, ..seen }, None),
            (Seen { branch: "dev", into: Some("main"), opens: true, ..seen }, Some(Push::New)),
            (Seen { branch: "main", default: None, opens: true, ..seen }, Some(Push::New)),
        ] {
            match (push(&seen), wanted) {
                (Push::Refused(_), None) => {}
                (is, wanted) => assert_eq!(Some(is), wanted, "{seen:?}"),
            }
        }
    }

    #[test]
    fn bases_as_branches_of_the_remote() {
        for (base, branch) in [
            ("main", Some("main")),
            ("origin/dev", Some("dev")),
            ("refs/remotes/origin/dev", Some("dev")),
            ("upstream/rel/1", Some("rel/1")),
            ("refs/heads/origin", Some("origin")),
            ("release/1.0", Some("release/1.0")),
            ("HEAD", None),
            ("HEAD~2", None),
            ("main with its changes", None),
            ("", None),
        ] {
            assert_eq!(base_branch(base, &["origin", "upstream"]), branch, "{base}");
        }
    }

    #[test]
    fn what_gh_means() {
        for (exit, words, trouble) in [
            (4, "To get started with GitHub CLI, please run:  gh auth login", Trouble::NoLogin),
            (1, "HTTP 401: Bad credentials (https://api.github.com/graphql)", Trouble::NoLogin),
            (1, "GraphQL: API rate limit exceeded for user ID 1. (repository)", Trouble::RateLimit),
            (1, "HTTP 403: You have exceeded a secondary rate limit", Trouble::RateLimit),
            (1, "GraphQL: Could not resolve to a PullRequest with the number of 9.", Trouble::NotFound),
            (1, "could not add label: 'x' not found", Trouble::NotFound),
            (1, "a pull request for branch \"x\" into branch \"main\" already exists:", Trouble::Exists),
            (1, "error connecting to api.github.com", Trouble::Network),
            (1, "something", Trouble::Other),
        ] {
            assert_eq!(super::trouble(Some(exit), words), trouble, "{words}");
        }
    }

    #[test]
    fn reasons_hold_no_password() {
        let said = "fatal: unable to access 'https://bob:pa@ss@host/x.git/': no\n\nsee ssh://t0ken@b and c@d";
        let reason = reason(said);
        assert_eq!(reason, "fatal: unable to access 'https://host/x.git/': no; see ssh://b and c@d");
        let rejected = "To /r\n!\trefs/heads/a:refs/heads/a\t[rejected] (stale info)\nDone\n";
        assert!(not_pushed(rejected, "error: failed").contains("moved meanwhile"));
        let hook = "To /r\n!\tc:refs/heads/a\t[remote rejected] (pre-receive hook declined)\n";
        let why = not_pushed(hook, "remote: no pushing on Fridays\nerror: failed to push");
        assert!(why.contains("declined") && why.contains("Fridays"), "{why}");
        assert_eq!(not_pushed("", "fatal: no such host\nhint: try"), "fatal: no such host");
    }

    #[test]
    fn commands_are_ready_to_be_typed() {
        let session: Session = "fix".parse().unwrap();
        let at = Home { host: "github.com".into(), owner: "acme".into(), name: "widgets".into() };
        let opening = Opening { at: at.clone(), from: None, into: Some("main".into()), draft: true };
        let delivery = Delivery {
            remote: "origin".into(),
            branch: None,
            open: Some(opening),
            labels: vec!["good first issue".into()],
            seal: String::new(),
        };
        let by_hand = ByHand {
            session: &session,
            branch: "ai_orch/fix",
            delivery: &delivery,
            pull: None,
            title: "It's -- $(fixed)",
            body: Path::new("/s/b o/dy"),
            stage: Stage::Kept,
            login: Some(&at),
        };
        let refused = super::undelivered("no", &ByHand { stage: Stage::Refused, login: None, ..by_hand });
        assert_eq!(refused.commands, ["git fetch origin ai_orch/fix", "ai_orch resume fix"]);
        let undelivered = super::undelivered("no", &by_hand);
        assert_eq!(
            undelivered.commands,
            [
                "gh auth login --hostname github.com",
                "git push origin refs/heads/ai_orch/fix:refs/heads/ai_orch/fix",
                "gh pr create --repo github.com/acme/widgets --head ai_orch/fix --base main \
                 --title \"It's -- \"'$(fixed)' --body-file '/s/b o/dy' --label 'good first issue' --draft",
                "ai_orch resume fix",
            ]
        );
    }
}
