//! The agent CLIs we know, as data: finding a profile, building its command line, understanding what it prints.
//!
//! Promises: everything here is pure (text and facts in, data out), so the caller reads files, looks programs up and
//! starts them. A profile that parsed is a profile that can be launched: names, placeholders and rules are checked
//! when the catalogue is made, not when an agent starts.

mod error;
pub mod launch;
pub mod mcp;
mod overlay;
pub mod translate;

pub use error::Error;

use crate::model::profile::Profile;
use crate::rules::nearest::nearest;
use overlay::Overlay;
use std::path::{Path, PathBuf};

/// The built-in profiles, in the order in which a default is looked for.
const BUILTIN: [(&str, &str); 6] = [
    ("claude.toml", include_str!("profiles/claude.toml")),
    ("codex.toml", include_str!("profiles/codex.toml")),
    ("gemini.toml", include_str!("profiles/gemini.toml")),
    ("cursor-agent.toml", include_str!("profiles/cursor-agent.toml")),
    ("sh.toml", include_str!("profiles/sh.toml")),
    ("replay.toml", include_str!("profiles/replay.toml")),
];

/// Every agent CLI that can be named.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    profiles: Vec<Profile>,
}

impl Catalogue {
    /// The profiles that come with the program. That they are valid is tested; the error is here because nothing in
    /// the product may panic.
    pub fn builtin() -> Result<Self, Error> {
        let mut catalogue = Self::default();
        for (file, text) in BUILTIN {
            catalogue.add(Path::new(file), text)?;
        }
        Ok(catalogue)
    }

    /// The built-in profiles and the user's: `files` are paths with what is in them, in the order to apply them.
    ///
    /// A profile with the name of an earlier one takes its place. `extends = "claude"` starts from an earlier profile:
    /// keys that are given replace the earlier ones, `[[failure]]` rules come before the earlier ones, aliases are
    /// not inherited.
    pub fn with_user_profiles(files: Vec<(PathBuf, String)>) -> Result<Self, Error> {
        let mut catalogue = Self::builtin()?;
        for (file, text) in files {
            catalogue.add(&file, &text)?;
        }
        Ok(catalogue)
    }

    /// The profile with this name or alias.
    pub fn find(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.name == name || p.aliases.iter().any(|a| a == name))
    }

    /// The profile with this name or alias, or an error that says what may have been meant.
    pub fn require(&self, name: &str) -> Result<&Profile, Error> {
        self.find(name).ok_or_else(|| Error::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, self.names()).into_iter().map(str::to_owned).collect(),
            known: self.profiles.iter().map(|p| p.name.clone()).collect(),
        })
    }

    /// Every profile: the built-in ones first, in the order in which a default is looked for.
    pub fn iter(&self) -> std::slice::Iter<'_, Profile> {
        self.profiles.iter()
    }

    /// Every name and alias.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().flat_map(|p| std::iter::once(&p.name).chain(&p.aliases)).map(String::as_str)
    }

    fn add(&mut self, file: &Path, text: &str) -> Result<(), Error> {
        let source = overlay::Source { file, text };
        let overlay = Overlay::parse(source)?;
        let base = match &overlay.extends {
            Some(name) => Some(self.find(name).ok_or_else(|| {
                let like = nearest(name, self.names());
                let more =
                    if like.is_empty() { String::new() } else { format!(" (like {}?)", like.join(", ")) };
                source.value("extends", name, format!("no agent CLI is called `{name}`{more}"))
            })?),
            None => None,
        };
        let profile = overlay.over(base, source)?;
        overlay::check(&profile, source)?;
        let place = self.profiles.iter().position(|p| p.name == profile.name);
        for name in std::iter::once(&profile.name).chain(&profile.aliases) {
            if let Some(owner) = self.find(name)
                && owner.name != profile.name
            {
                let key = if *name == profile.name { "name" } else { "aliases" };
                let problem = format!("`{name}` is already a name of {}", owner.name);
                return Err(source.value(key, name, problem));
            }
        }
        match place.and_then(|i| self.profiles.get_mut(i)) {
            Some(old) => *old = profile,
            None => self.profiles.push(profile),
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a Catalogue {
    type Item = &'a Profile;
    type IntoIter = std::slice::Iter<'a, Profile>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::Class;
    use crate::model::profile::{Cost, PromptBy, TaskKind};

    fn with(text: &str) -> Result<Catalogue, Error> {
        Catalogue::with_user_profiles(vec![("agents/x.toml".into(), text.into())])
    }

    #[test]
    fn the_built_in_profiles_are_valid_and_findable() {
        let all = Catalogue::builtin().unwrap();
        let names: Vec<_> = all.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["claude", "codex", "gemini", "cursor-agent", "sh", "replay"]);
        assert_eq!(all.find("cursor").unwrap().name, "cursor-agent");
        let sh = all.find("sh").unwrap();
        assert_eq!((sh.task, sh.prompt, sh.cost), (TaskKind::Script, PromptBy::File, Cost::Free));
        for profile in &all {
            assert!(!profile.about.is_empty());
            for level in [&profile.permissions.read, &profile.permissions.work, &profile.permissions.full] {
                assert!(!level.args.iter().any(|a| a.contains("IS_SANDBOX")));
            }
            assert!(!profile.env.set.keys().any(|k| k.contains("SANDBOX")), "{}", profile.name);
        }
    }

    #[test]
    fn a_typing_error_is_answered_with_the_name_that_was_meant() {
        let all = Catalogue::builtin().unwrap();
        let error = all.require("cluade").unwrap_err();
        assert_eq!(error.to_string(), "no agent CLI is called `cluade`");
        assert_eq!(error.hint().unwrap(), "did you mean claude?");
        assert_eq!(error.code(), "agent_cli_unknown");
        let error = all.require("kubectl").unwrap_err();
        assert_eq!(error.hint().unwrap(), "use one of: claude, codex, gemini, cursor-agent, sh, replay");
    }

    #[test]
    fn a_profile_can_extend_another() {
        let all = with(
            r#"name = "fast"
extends = "claude"
model = ["--model", "haiku"]
give_up_after = 5
[env]
set = { X = "1" }
[permissions.work]
note = "hm"
[[failure]]
class = "quota"
text = ["mine"]
"#,
        )
        .unwrap();
        let (fast, claude) = (all.find("fast").unwrap(), all.find("claude").unwrap());
        assert_eq!(fast.args, claude.args);
        assert_eq!(fast.model, ["--model", "haiku"]);
        assert_eq!(fast.give_up_after.as_secs(), 5);
        assert_eq!(fast.env.set.len(), 2, "variables are added to the inherited ones");
        assert_eq!(fast.permissions.work.args, claude.permissions.work.args);
        assert_eq!(fast.permissions.work.note.as_deref(), Some("hm"));
        assert_eq!(fast.failures.len(), claude.failures.len() + 1);
        assert_eq!(fast.failures[0].class, Class::Quota);
    }

    #[test]
    fn a_profile_can_take_the_place_of_a_built_in_one() {
        let all = with("name = \"codex\"\ncommand = \"/opt/codex\"\nprompt = \"stdin\"\n").unwrap();
        assert_eq!(all.iter().filter(|p| p.name == "codex").count(), 1);
        assert_eq!(all.find("codex").unwrap().command, "/opt/codex");
        let all = with("name = \"codex\"\nextends = \"codex\"\nargs = [\"exec\"]\n").unwrap();
        assert_eq!(all.find("codex").unwrap().args, ["exec"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_key() {
        for (text, says, hint) in [
            (
                "name = \"x\"\ncomand = \"x\"\n",
                "agents/x.toml:2: there is no key `comand`",
                "did you mean `command`?",
            ),
            (
                "name = \"x\"\ncommand = 1\n",
                "agents/x.toml:2: invalid type: integer `1`, expected a string",
                "",
            ),
            (
                "name = \"x\"\ncommand = \n",
                "agents/x.toml:2: string values must be quoted, expected literal string",
                "",
            ),
            ("name = \"x\"\n", "agents/x.toml:1: command: is missing", ""),
            ("command = \"x\"\n", "agents/x.toml:1: name: is missing", ""),
            (
                "name = \"X y\"\ncommand = \"x\"\n",
                "agents/x.toml:1: name: `X y` is not of the form [a-z0-9][a-z0-9-]*",
                "",
            ),
            (
                "name = \"x\"\ncommand = \"x\"\nargs = [\"-m\",\n \"{modle}\"]\n",
                "agents/x.toml:4: args: there is no placeholder {modle} (like {model}?)",
                "",
            ),
            (
                "name = \"x\"\ncommand = \"x\"\naliases = [\"cursor\"]\n",
                "agents/x.toml:3: aliases: `cursor` is already a name of cursor-agent",
                "",
            ),
            (
                "name = \"x\"\nextends = \"claud\"\n",
                "agents/x.toml:2: extends: no agent CLI is called `claud` (like claude?)",
                "",
            ),
            (
                "name = \"x\"\ncommand = \"x\"\n[[failure]]\nclass = \"quota\"\n",
                "agents/x.toml:3: failure: rule 1 has no condition",
                "",
            ),
            (
                "name = \"x\"\ncommand = \"x\"\nprompt = \"argv\"\n",
                "agents/x.toml:3: prompt: is argv, but no argument holds {prompt}",
                "",
            ),
            (
                "name = \"x\"\ncommand = \"x\"\n[permissions.work]\nargz = []\n",
                "agents/x.toml:4: there is no key `argz`",
                "did you mean `args`?",
            ),
        ] {
            let error = with(text).unwrap_err();
            assert!(error.to_string().starts_with(says), "{error} / {says}");
            let hint = if hint.is_empty() { "edit agents/x.toml" } else { hint };
            assert_eq!(error.hint().unwrap_or_default(), hint, "{error}");
        }
    }

    #[test]
    fn braces_that_are_no_placeholder_are_left_alone() {
        with("name = \"x\"\ncommand = \"x\"\nargs = ['{\"a\":{}}', '{ x }', '{}']\n").unwrap();
    }
}
