//! A profile file as people write it: every key may be missing, because it may be inherited.

use super::Error;
use super::launch::{IN_FILES, PLACEHOLDERS, placeholders};
use crate::model::profile::{
    Cost, EnvRules, FailureRule, Format, Grant, Grants, McpRules, Profile, PromptBy, TaskKind,
};
use crate::rules::nearest::nearest;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::time::Duration;

/// The text of a profile and where it came from, for error messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error about `key`, at the line where `needle` stands behind it.
    pub(super) fn value(&self, key: &str, needle: &str, problem: String) -> Error {
        let from = self.key_at(key);
        let at = self.text.get(from..).and_then(|rest| rest.find(needle)).map_or(from, |i| from + i);
        Error::Value { file: self.file.into(), line: self.line(at), key: key.into(), problem }
    }

    /// Where `key` is given, as `key =` or in a table's head; the beginning if it is not.
    fn key_at(&self, key: &str) -> usize {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let bare = line.trim_start().trim_start_matches('[');
            if bare.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.'])) {
                return at;
            }
            at += line.len();
        }
        0
    }

    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|&b| b == b'\n').count() + 1
    }

    fn toml(&self, error: &toml::de::Error) -> Error {
        let line = self.line(error.span().map_or(0, |s| s.start));
        let message = error.message();
        // serde's wording for `deny_unknown_fields`; if it ever changes, the message is shown as it is.
        let mut quoted = message.split('`').skip(1).step_by(2);
        if message.starts_with("unknown field")
            && let Some(key) = quoted.next()
        {
            let nearest = nearest(key, quoted).into_iter().map(str::to_owned).collect();
            return Error::Key { file: self.file.into(), line, key: key.to_owned(), nearest };
        }
        let message = message.lines().collect::<Vec<_>>().join(", ");
        Error::Toml { file: self.file.into(), line, message }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlay {
    pub(super) extends: Option<String>,
    name: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    about: Option<String>,
    command: Option<String>,
    install: Option<String>,
    task: Option<TaskKind>,
    prompt: Option<PromptBy>,
    events: Option<Format>,
    cost: Option<Cost>,
    args: Option<Vec<String>>,
    model: Option<Vec<String>>,
    session: Option<Vec<String>>,
    resume: Option<Vec<String>>,
    budget: Option<Vec<String>>,
    last: Option<Vec<String>>,
    #[serde(default)]
    permissions: GrantsOverlay,
    mcp: Option<McpRules>,
    #[serde(default)]
    env: EnvOverlay,
    give_up_after: Option<u64>,
    stall_after: Option<u64>,
    stop_grace: Option<u64>,
    #[serde(default)]
    failure: Vec<FailureRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsOverlay {
    #[serde(default)]
    read: GrantOverlay,
    #[serde(default)]
    work: GrantOverlay,
    #[serde(default)]
    full: GrantOverlay,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantOverlay {
    args: Option<Vec<String>>,
    note: Option<String>,
}

impl GrantOverlay {
    fn over(self, base: Grant) -> Grant {
        Grant { args: self.args.unwrap_or(base.args), note: self.note.or(base.note) }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvOverlay {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    unset: Vec<String>,
}

impl Overlay {
    pub(super) fn parse(source: Source<'_>) -> Result<Self, Error> {
        toml::from_str(source.text).map_err(|e| source.toml(&e))
    }

    /// The whole profile: what is not given here comes from `base`, else it is the default.
    pub(super) fn over(self, base: Option<&Profile>, source: Source<'_>) -> Result<Profile, Error> {
        let missing = |key: &str| source.value(key, "", "is missing".into());
        let name = self.name.ok_or_else(|| missing("name"))?;
        let base = match base {
            Some(base) => base.clone(),
            None => blank(self.command.clone().ok_or_else(|| missing("command"))?),
        };
        let mut set = base.env.set;
        set.extend(self.env.set);
        let mut unset = base.env.unset;
        unset.extend(self.env.unset);
        let mut failures = self.failure;
        failures.extend(base.failures);
        Ok(Profile {
            name,
            aliases: self.aliases,
            about: self.about.unwrap_or(base.about),
            command: self.command.unwrap_or(base.command),
            install: self.install.unwrap_or(base.install),
            task: self.task.unwrap_or(base.task),
            prompt: self.prompt.unwrap_or(base.prompt),
            events: self.events.unwrap_or(base.events),
            cost: self.cost.unwrap_or(base.cost),
            args: self.args.unwrap_or(base.args),
            model: self.model.unwrap_or(base.model),
            session: self.session.unwrap_or(base.session),
            resume: self.resume.unwrap_or(base.resume),
            budget: self.budget.unwrap_or(base.budget),
            last: self.last.unwrap_or(base.last),
            permissions: Grants {
                read: self.permissions.read.over(base.permissions.read),
                work: self.permissions.work.over(base.permissions.work),
                full: self.permissions.full.over(base.permissions.full),
            },
            mcp: self.mcp.unwrap_or(base.mcp),
            env: EnvRules { set, unset },
            give_up_after: self.give_up_after.map_or(base.give_up_after, Duration::from_secs),
            stall_after: self.stall_after.map_or(base.stall_after, Duration::from_secs),
            stop_grace: self.stop_grace.map_or(base.stop_grace, Duration::from_secs),
            failures,
        })
    }
}

/// A profile that says nothing but its command.
fn blank(command: String) -> Profile {
    Profile {
        name: String::new(),
        aliases: Vec::new(),
        about: String::new(),
        command,
        install: String::new(),
        task: TaskKind::default(),
        prompt: PromptBy::default(),
        events: Format::default(),
        cost: Cost::default(),
        args: Vec::new(),
        model: Vec::new(),
        session: Vec::new(),
        resume: Vec::new(),
        budget: Vec::new(),
        last: Vec::new(),
        permissions: Grants::default(),
        mcp: McpRules::default(),
        env: EnvRules::default(),
        give_up_after: crate::model::profile::DEFAULT_GIVE_UP_AFTER,
        stall_after: Duration::ZERO,
        stop_grace: crate::model::profile::DEFAULT_STOP_GRACE,
        failures: Vec::new(),
    }
}

/// What types cannot say about a profile.
pub(super) fn check(profile: &Profile, source: Source<'_>) -> Result<(), Error> {
    for (key, name) in
        std::iter::once(("name", &profile.name)).chain(profile.aliases.iter().map(|a| ("aliases", a)))
    {
        if !is_name(name) {
            let problem = format!("`{name}` is not of the form [a-z0-9][a-z0-9-]*");
            return Err(source.value(key, name, problem));
        }
    }
    if profile.command.trim().is_empty() {
        return Err(source.value("command", "", "is empty".into()));
    }
    let grants = &profile.permissions;
    let lists: [(&str, &[String]); 10] = [
        ("args", &profile.args),
        ("model", &profile.model),
        ("session", &profile.session),
        ("resume", &profile.resume),
        ("budget", &profile.budget),
        ("last", &profile.last),
        ("mcp", &profile.mcp.args),
        ("permissions", &grants.read.args),
        ("permissions", &grants.work.args),
        ("permissions", &grants.full.args),
    ];
    let variables = profile.env.set.values().map(|v| ("env", v));
    let files = profile.mcp.home.iter().flat_map(|home| home.files.values());
    let texts = lists.iter().flat_map(|(key, list)| list.iter().map(|a| (*key, a, false)));
    let texts = texts.chain(variables.map(|(key, text)| (key, text, false)));
    for (key, text, private) in texts.chain(files.map(|text| ("mcp", text, true))) {
        for word in placeholders(text) {
            // What is secret stands in private files, never on a command line.
            if word == IN_FILES && private {
                continue;
            }
            if !PLACEHOLDERS.contains(&word) {
                let like = nearest(word, PLACEHOLDERS);
                let like = like.first().map(|l| format!(" (like {{{l}}}?)")).unwrap_or_default();
                let problem = if word == IN_FILES {
                    format!("{{{word}}} may stand in the files of mcp.home only")
                } else {
                    format!("there is no placeholder {{{word}}}{like}")
                };
                return Err(source.value(key, &format!("{{{word}}}"), problem));
            }
        }
    }
    if let Some(home) = &profile.mcp.home {
        if home.variable.is_empty() || home.variable.contains(['=', '\0']) {
            return Err(source.value(
                "variable",
                "",
                format!("`{}` is no name of a variable", home.variable),
            ));
        }
        for file in home.files.keys() {
            let inside = Path::new(file).components().all(|c| matches!(c, Component::Normal(_)));
            if file.is_empty() || !inside {
                return Err(source.value("files", file, format!("`{file}` is no path in a home")));
            }
        }
    }
    for name in profile.env.set.keys().chain(&profile.env.unset) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(source.value("env", name, format!("`{name}` is no name of a variable")));
        }
    }
    let wanted = match profile.prompt {
        PromptBy::Stdin => None,
        PromptBy::Argv => Some(("argv", "prompt")),
        PromptBy::File => Some(("file", "prompt_file")),
    };
    if let Some((by, word)) = wanted
        && !profile.args.iter().chain(&profile.last).any(|a| placeholders(a).any(|p| p == word))
    {
        return Err(source.value("prompt", "", format!("is {by}, but no argument holds {{{word}}}")));
    }
    for (i, rule) in profile.failures.iter().enumerate() {
        if rule.text.is_empty() && rule.status.is_empty() && rule.code.is_empty() && rule.exit.is_empty() {
            return Err(source.value("failure", "", format!("rule {} has no condition", i + 1)));
        }
        if rule.text.iter().any(|t| t.trim().is_empty()) {
            return Err(source.value("failure", "", format!("rule {} has an empty text", i + 1)));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(good) && name.chars().all(|c| good(c) || c == '-')
}
