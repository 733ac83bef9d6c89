//! What an agent is told at once that it may not do: by the hook through which every git moves a ref, and by what stands in front
//! of git and of the programs of forges in its PATH.

use super::guard::{BRANCHES, is_protected, short};
use crate::model::guard::{Guards, Refs};

/// A ref that git is about to change, as git tells its `reference-transaction` hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What it holds next; `None`: it goes.
    pub to: Option<String>,
    /// Its full name.
    pub name: String,
    /// Whether git says that it was not there. It also says so if it does not matter to it.
    maybe_new: bool,
}

impl Update {
    /// The update that a line of the hook's input tells of.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let (from, to, name) = (words.next()?, words.next()?, words.next()?);
        let none = |id: &str| id.bytes().all(|b| b == b'0');
        Some(Self { to: (!none(to)).then(|| to.to_owned()), name: name.to_owned(), maybe_new: none(from) })
    }

    /// Whether it can be one that is refused: if not, nobody needs to look further.
    pub fn matters(&self, guards: &Guards, own: &str) -> bool {
        let touches = guards.no_new_branch && (self.maybe_new || self.to.is_none());
        self.name.starts_with(BRANCHES) && (is_protected(guards, own, &self.name) || touches)
    }
}

/// What the repository holds while git asks.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Its branches.
    pub branches: Refs,
    /// What of them is in the packed file, if nobody is about to write that: a branch that is there as well may lose its own file,
    /// which is how git packs.
    pub packed: Refs,
}

/// Why `update` is refused; `None`: it is not.
pub fn refused(guards: &Guards, own: &str, update: &Update, held: &Held) -> Option<String> {
    if !update.matters(guards, own) {
        return None;
    }
    let (name, protected) = (short(&update.name), is_protected(guards, own, &update.name));
    let current = held.branches.get(&update.name);
    let Some(to) = &update.to else {
        let stays = current.is_some() && held.packed.get(&update.name) == current;
        let why = if protected {
            format!("{name} is a protected branch: this agent may not delete it")
        } else {
            format!("this agent may make no branch, so it may not delete or rename {name} either")
        };
        // One that is not there is not deleted.
        return (current.is_some() && !stays).then_some(why);
    };
    match current {
        Some(current) if current == to => None,
        _ if protected => Some(format!("{name} is a protected branch: this agent may not move it")),
        None if name != own => Some(format!("this agent may make no branch, and {name} is not there")),
        _ => None,
    }
}

/// What was refused, as one line for whoever looks into it: what it would have done to which ref, that `is_there` or not. It proves
/// nothing: others may do later what was refused to the agent.
pub fn note(update: &Update, is_there: bool) -> String {
    let deed = match (&update.to, is_there) {
        (None, _) => "deleted",
        (Some(_), true) => "moved",
        (Some(_), false) => "made",
    };
    format!("{deed} {}", update.name)
}

/// The programs that something of ours stands in front of, if they are there at all.
pub fn shims(guards: &Guards) -> &'static [&'static str] {
    if guards.without_login() {
        &["git", "gh", "glab", "hub", "tea"]
    } else if guards.no_new_branch {
        &["git"]
    } else {
        &[]
    }
}

/// Options of git before its verb that take the next word as their value.
const WITH_VALUE: [&str; 8] =
    ["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--super-prefix"];

/// Why `program` is not started with `args`; `None`: it is.
pub fn refused_program(guards: &Guards, program: &str, args: &[String]) -> Option<String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let why = match program {
        "git" => refused_git(guards, &args),
        "gh" => refused_gh(guards, &args),
        "glab" => opens(guards, &args, &["mr"], &["create", "new", "for"]),
        "hub" => opens(guards, &args, &["pull-request"], &[]),
        "tea" => opens(guards, &args, &["pr", "prs", "pull", "pulls"], &["create", "c"]),
        _ => None,
    }?;
    Some(format!("{why}: the person who started this agent said so. Leave that to them"))
}

fn refused_git(guards: &Guards, args: &[&str]) -> Option<String> {
    let mut words = args.iter().copied();
    let mut verb = "";
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            verb = word;
            break;
        }
        let value = if WITH_VALUE.contains(&word) { words.next().unwrap_or_default() } else { word };
        let set = value.strip_prefix("--config-env=").unwrap_or(value).to_ascii_lowercase();
        if guards.over_branches() && set.starts_with("core.hookspath") {
            return Some("the hooks may not be switched off here".to_owned());
        }
    }
    let rest: Vec<&str> = words.collect();
    if guards.no_push && matches!(verb, "push" | "send-pack" | "http-push") {
        return Some("pushing is not allowed here".to_owned());
    }
    // Some forges make a pull request of a push.
    let asks = |word: &&str| word.contains("merge_request.") || word.contains("refs/for/");
    if guards.no_new_pr && verb == "push" && rest.iter().any(asks) {
        return Some(NO_PR.to_owned());
    }
    None
}

const NO_PR: &str = "opening a pull request is not allowed here";

fn refused_gh(guards: &Guards, args: &[&str]) -> Option<String> {
    if !guards.without_login() {
        return None;
    }
    if let Some(why) = opens(guards, args, &["pr"], &["create", "new"]) {
        return Some(why);
    }
    // `gh api` reads, unless it is told to write or gets something to send.
    let words: Vec<&str> = args.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let sends = |word: &&str| {
        ["-f", "-F", "--field", "--raw-field", "--input", "-X", "--method"]
            .iter()
            .any(|o| word.starts_with(o))
    };
    (words.first() == Some(&"api") && args.iter().any(sends)).then(|| {
        if guards.no_push { "writing to the forge is not allowed here".to_owned() } else { NO_PR.to_owned() }
    })
}

/// Whether the first words are one of each.
fn opens(guards: &Guards, args: &[&str], nouns: &[&str], verbs: &[&str]) -> Option<String> {
    let mut words = args.iter().filter(|word| !word.starts_with('-'));
    let noun = words.next().is_some_and(|word| nouns.contains(word));
    let verb = verbs.is_empty() || words.next().is_some_and(|word| verbs.contains(word));
    (guards.without_login() && noun && verb).then(|| NO_PR.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(no_push: bool, no_new_pr: bool, no_new_branch: bool) -> Guards {
        let protected = ["main", "release/*"].iter().map(|glob| glob.parse().unwrap()).collect();
        Guards { no_push, no_new_pr, no_new_branch, protected }
    }

    #[test]
    fn the_hook_lets_pass_what_moves_nothing_protected() {
        let (zero, a, b) = ("0".repeat(40), "a".repeat(40), "b".repeat(40));
        let branches: Refs = [("refs/heads/main", &a), ("refs/heads/own", &a), ("refs/heads/other", &a)]
            .map(|(n, v)| (n.to_owned(), v.clone()))
            .into();
        let held = Held { branches: branches.clone(), packed: Refs::new() };
        let packed = Held { packed: branches.clone(), branches };
        let usual = guards(false, false, false);
        let strict = guards(false, false, true);
        for (line, held, usual_refuses, strict_refuses) in [
            (format!("{a} {b} refs/heads/own"), &held, false, false),
            (format!("{zero} {b} HEAD"), &held, false, false),
            (format!("{a} {b} refs/heads/other"), &held, false, false),
            (format!("{zero} {b} refs/tags/main"), &held, false, false),
            (format!("{zero} {b} refs/remotes/origin/main"), &held, false, false),
            (format!("{a} {b} refs/heads/main"), &held, true, true),
            (format!("{zero} {b} refs/heads/main"), &held, true, true),
            (format!("{a} {zero} refs/heads/main"), &held, true, true),
            (format!("{zero} ref:refs/heads/own refs/heads/main"), &held, true, true),
            // git packs its refs.
            (format!("{zero} {a} refs/heads/main"), &held, false, false),
            (format!("{a} {zero} refs/heads/main"), &packed, false, false),
            (format!("{zero} {zero} refs/heads/gone"), &held, false, false),
            (format!("{zero} {b} refs/heads/release/1"), &held, true, true),
            (format!("{zero} {b} refs/heads/release/1/2"), &held, false, true),
            (format!("{zero} {b} refs/heads/new"), &held, false, true),
            // git also says so of one that is there, when it does not care what it held.
            (format!("{zero} {b} refs/heads/other"), &held, false, false),
            (format!("{zero} {b} refs/heads/own"), &held, false, false),
            (format!("{a} {zero} refs/heads/own"), &held, false, true),
        ] {
            let update = Update::parse(&line).unwrap();
            assert_eq!(refused(&usual, "own", &update, held).is_some(), usual_refuses, "{line}");
            assert_eq!(refused(&strict, "own", &update, held).is_some(), strict_refuses, "{line} strictly");
        }
        let moved = Update::parse(&format!("{a} {b} refs/heads/main")).unwrap();
        assert_eq!(refused(&usual, "main", &moved, &held), None, "what it was given is its own");
        assert_eq!(Update::parse("nonsense"), None);
        let gone = Update::parse(&format!("{a} {zero} refs/heads/x y")).unwrap();
        for (update, is_there, said) in [
            (&moved, true, "moved refs/heads/main"),
            (&moved, false, "made refs/heads/main"),
            (&gone, true, "deleted refs/heads/x y"),
        ] {
            assert_eq!(note(update, is_there), said);
        }
    }

    #[test]
    fn what_stands_in_front_of_a_program_stops_what_is_not_allowed_and_nothing_else() {
        for (line, no_push, no_pr, no_branch) in [
            ("git push", true, false, false),
            ("git push origin main", true, false, false),
            ("git -C /x -c a=b --no-pager push", true, false, false),
            ("git send-pack ../x main", true, false, false),
            ("git push -o merge_request.create", true, true, false),
            ("git push origin HEAD:refs/for/main", true, true, false),
            ("git commit -m push", false, false, false),
            ("git log push", false, false, false),
            ("git -c core.hooksPath=/dev/null commit", true, true, true),
            ("git --config-env=core.hookspath=X commit", true, true, true),
            ("git --config-env core.hookspath=X commit", true, true, true),
            ("gh pr create --fill", true, true, false),
            ("gh pr --repo new view", true, true, false),
            ("gh pr view 7", false, false, false),
            ("gh api repos/x/pulls", false, false, false),
            ("gh api -X POST repos/x/pulls", true, true, false),
            ("gh api repos/x/pulls -f title=x", true, true, false),
            ("gh issue create", false, false, false),
            ("glab mr create", true, true, false),
            ("glab mr list", false, false, false),
            ("hub pull-request", true, true, false),
            ("tea pr create", true, true, false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (program, args) = words.split_first().unwrap();
            let stops = |guards: &Guards| refused_program(guards, program, args).is_some();
            assert_eq!(stops(&guards(true, false, false)), no_push, "{line} with --no-push");
            assert_eq!(stops(&guards(false, true, false)), no_pr, "{line} with --no-new-pr");
            assert_eq!(stops(&guards(false, false, true)), no_branch, "{line} with --no-new-branch");
            assert!(!stops(&Guards::default()), "{line} with nothing");
        }
    }
}
