//! From a profile and the facts of an attempt to a command line.
//!
//! Pure: nothing is looked up, read or started. What a person or an agent wrote goes in as whole arguments or through
//! a file, is never read for placeholders, and never passes a shell.

use super::Error;
use super::mcp::McpServer;
use crate::model::profile::{Cost, McpHome, Permissions, Profile, PromptBy};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The words that may stand in braces in a profile.
pub(super) const PLACEHOLDERS: [&str; 12] = [
    "self",
    "prompt",
    "prompt_file",
    "model",
    "worktree",
    "git_dir",
    "git_common_dir",
    "cli_session",
    "budget",
    "mcp_file",
    "mcp_json",
    "mcp_toml",
];

/// The one that may stand in a private file only.
pub(super) const IN_FILES: &str = "mcp_server";

/// A prompt longer than this goes into no command line: one argument may hold 128 KiB on Linux.
const ARGV_LIMIT: usize = 100_000;

/// What is known when an attempt starts.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchFacts {
    /// The program, found in PATH. Not used for a profile that runs our own program ([`is_self`]).
    pub program: PathBuf,
    /// Our own program.
    pub self_exe: PathBuf,
    /// The model for this CLI, if one was given.
    pub model: Option<String>,
    /// How much it may do.
    pub permissions: Permissions,
    /// US dollars it may spend.
    pub budget_usd: Option<f64>,
    /// Where it works.
    pub worktree: PathBuf,
    /// The worktree's git directory.
    pub git_dir: PathBuf,
    /// The git directory that all worktrees share.
    pub git_common_dir: PathBuf,
    /// The whole prompt.
    pub prompt: String,
    /// The private file that holds the same prompt.
    pub prompt_file: PathBuf,
    /// A fresh UUID, or on resume the id that the CLI gave.
    pub cli_session: String,
    /// Whether to go on with the conversation `cli_session`.
    pub resume: bool,
    /// Our MCP server.
    pub mcp: McpServer,
}

/// What the program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing: `/dev/null`.
    Null,
    /// The prompt file, from its beginning to its end.
    PromptFile,
}

/// A command to start, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables to set.
    pub env_set: Vec<(String, OsString)>,
    /// Variables to remove, before the others are set.
    pub env_unset: Vec<String>,
    /// What it reads.
    pub stdin: Stdin,
    /// One line for the user where the CLI cannot do exactly what the level of permissions says.
    pub note: Option<String>,
    /// Whether it reads the private file that tells of our MCP server.
    pub reads_mcp_file: bool,
    /// A home to make of links.
    pub home: Option<HomeOfLinks>,
}

/// A home to make of links to the user's own, with files of ours in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeOfLinks {
    /// The variable that names it.
    pub variable: String,
    /// Where it is made.
    pub at: PathBuf,
    /// The files, with their paths in it.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// Whether the profile runs our own program, so that nothing has to be installed.
pub fn is_self(profile: &Profile) -> bool {
    profile.command == "{self}"
}

/// The command that starts `profile` with `facts`.
pub fn launch(profile: &Profile, facts: &LaunchFacts) -> Result<Launch, Error> {
    let cli = || profile.name.clone();
    if facts.resume && profile.resume.is_empty() {
        return Err(Error::CannotResume { cli: cli() });
    }
    if facts.model.is_some() && profile.model.is_empty() && !holds(&profile.args, "model") {
        return Err(Error::ModelNotTaken { cli: cli() });
    }
    if let Some(amount) = facts.budget_usd {
        if !(amount.is_finite() && amount > 0.0) {
            return Err(Error::BadBudget { amount: amount.to_string() });
        }
        if profile.cost == Cost::Unknown {
            return Err(Error::NoBudget { cli: cli() });
        }
    }
    let grant = profile.permissions.at(facts.permissions);
    let model: &[String] = if facts.model.is_some() { &profile.model } else { &[] };
    let budget: &[String] = if facts.budget_usd.is_some() { &profile.budget } else { &[] };
    let session = if facts.resume { &profile.resume } else { &profile.session };
    let templates =
        [profile.args.as_slice(), model, &grant.args, &profile.mcp.args, budget, session, &profile.last];
    let reads_mcp_file = templates.iter().any(|list| holds(list, "mcp_file"));

    let mut args: Vec<OsString> = Vec::new();
    for template in templates.into_iter().flatten() {
        let arg = if template == "{prompt}" && args.last().is_none_or(|before| before != "--") {
            // Without a `--` before it, a prompt like `-v` would be a flag.
            let text = argv_prompt(facts);
            if text.starts_with('-') { format!(" {text}") } else { text }.into()
        } else {
            fill(profile, facts, template)?
        };
        args.push(arg);
    }
    let mut env_set = Vec::new();
    for (name, template) in &profile.env.set {
        env_set.push((name.clone(), fill(profile, facts, template)?));
    }
    let home = match &profile.mcp.home {
        Some(home) => Some(home_of_links(profile, facts, home)?),
        None => None,
    };
    Ok(Launch {
        reads_mcp_file,
        home,
        program: if is_self(profile) { &facts.self_exe } else { &facts.program }.clone(),
        args,
        env_set,
        env_unset: profile.env.unset.clone(),
        stdin: match profile.prompt {
            PromptBy::Stdin => Stdin::PromptFile,
            PromptBy::Argv | PromptBy::File => Stdin::Null,
        },
        note: grant.note.clone(),
    })
}

fn home_of_links(profile: &Profile, facts: &LaunchFacts, home: &McpHome) -> Result<HomeOfLinks, Error> {
    let file = |(path, template): (&String, &String)| {
        Ok((PathBuf::from(path), fill(profile, facts, template)?.into_encoded_bytes()))
    };
    Ok(HomeOfLinks {
        variable: home.variable.clone(),
        at: facts.mcp.home.clone(),
        files: home.files.iter().map(file).collect::<Result<_, Error>>()?,
    })
}

/// The prompt as an argument: itself, or one line that points to its file where an argument cannot hold it.
fn argv_prompt(facts: &LaunchFacts) -> String {
    if facts.prompt.len() > ARGV_LIMIT || facts.prompt.contains('\0') {
        format!(
            "Your task is in the file {}: read all of it, then do what it says.",
            facts.prompt_file.display()
        )
    } else {
        facts.prompt.clone()
    }
}

/// `template` with its placeholders replaced. One pass: what is put in is never looked at again.
fn fill(profile: &Profile, facts: &LaunchFacts, template: &str) -> Result<OsString, Error> {
    let mut out = OsString::new();
    for piece in pieces(template) {
        let word = match piece {
            Piece::Text(text) => {
                out.push(text);
                continue;
            }
            Piece::Word(word) => word,
        };
        let needs = |what| Error::Needs { cli: profile.name.clone(), what };
        let path = |path: &Path| OsString::from(path);
        out.push(match word {
            "self" => path(&facts.self_exe),
            "prompt" => argv_prompt(facts).into(),
            "prompt_file" => path(&facts.prompt_file),
            "model" => facts.model.clone().ok_or_else(|| needs("a model"))?.into(),
            "worktree" => path(&facts.worktree),
            "git_dir" => path(&facts.git_dir),
            "git_common_dir" => path(&facts.git_common_dir),
            "cli_session" => facts.cli_session.clone().into(),
            "budget" => facts.budget_usd.ok_or_else(|| needs("a budget"))?.to_string().into(),
            "mcp_file" => path(&facts.mcp.file),
            "mcp_json" => facts.mcp.json().into(),
            "mcp_toml" => facts.mcp.toml().into(),
            IN_FILES => facts.mcp.whole().to_string().into(),
            // Checked when the profile was read.
            other => format!("{{{other}}}").into(),
        });
    }
    Ok(out)
}

fn holds(list: &[String], word: &str) -> bool {
    list.iter().any(|text| placeholders(text).any(|p| p == word))
}

/// The words in braces of a template.
pub(super) fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    pieces(template).filter_map(|piece| match piece {
        Piece::Word(word) => Some(word),
        Piece::Text(_) => None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Word(&'a str),
}

/// `template` cut into text and placeholders. Only `{` lower-case letters and `_` `}` is one: JSON stays text.
fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((word, after)) = word_at(rest) {
            rest = after;
            return Some(Piece::Word(word));
        }
        let end = rest
            .match_indices('{')
            .map(|(i, _)| i)
            .find(|&i| i > 0 && rest.get(i..).is_some_and(|r| word_at(r).is_some()))
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
}

/// The placeholder at the very beginning of `text`, and what follows it.
fn word_at(text: &str) -> Option<(&str, &str)> {
    let (word, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_word.then_some((word, after))
}

#[cfg(test)]
mod tests {
    use super::super::Catalogue;
    use super::*;
    use proptest::prelude::*;

    fn facts() -> LaunchFacts {
        LaunchFacts {
            program: "/bin/cli".into(),
            self_exe: "/bin/ai_orch".into(),
            model: None,
            permissions: Permissions::Work,
            budget_usd: None,
            worktree: "/w".into(),
            git_dir: "/r/.git/worktrees/w".into(),
            git_common_dir: "/r/.git".into(),
            prompt: "do {model} it".into(),
            prompt_file: "/p/prompt".into(),
            cli_session: "sid".into(),
            resume: false,
            mcp: McpServer {
                program: "/bin/ai_orch".into(),
                places: vec![("AI_ORCH_ROOT".into(), "/root".into())],
                identity: vec![("AI_ORCH_TOKEN".into(), "secret".into())],
                file: "/p/mcp.json".into(),
                home: "/p/home".into(),
            },
        }
    }

    fn start(name: &str, facts: &LaunchFacts) -> Launch {
        launch(Catalogue::builtin().unwrap().find(name).unwrap(), facts).unwrap()
    }

    fn line(launch: &Launch) -> String {
        launch.args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// The command lines that were run with the real programs.
    #[test]
    fn built_in_command_lines() {
        let fresh = facts();
        let with_model = LaunchFacts { model: Some("m1".into()), ..facts() };
        let read = LaunchFacts { permissions: Permissions::Read, ..facts() };
        let full = LaunchFacts { permissions: Permissions::Full, ..facts() };
        let again = LaunchFacts { resume: true, ..facts() };
        let claude = "-p --output-format stream-json --verbose --disallowedTools EnterWorktree,ExitWorktree";
        let allowed = "Bash,Edit(./**),NotebookEdit(./**),Read,Glob,Grep,WebFetch,WebSearch,Task,Skill,TodoWrite,mcp__ai_orch";
        let looking = "Read,Glob,Grep,WebFetch,WebSearch";
        let mcp = "--mcp-config /p/mcp.json";
        let served = r#"-c mcp_servers.ai_orch={command="/bin/ai_orch",args=["mcp"],env={AI_ORCH_ROOT="/root"},env_vars=["AI_ORCH_TOKEN"]}"#;
        let codex = "exec --json --disable unbounded_connection_retries";
        let writable = "-s workspace-write --add-dir /r/.git --add-dir /r/.git/worktrees/w";
        let work = format!("--permission-mode dontAsk --allowedTools {allowed}");
        for (cli, facts, args) in [
            ("claude", &fresh, format!("{claude} {work} {mcp} --session-id sid")),
            ("claude", &again, format!("{claude} {work} {mcp} --resume sid")),
            ("claude", &with_model, format!("{claude} --model m1 {work} {mcp} --session-id sid")),
            (
                "claude",
                &read,
                format!(
                    "{claude} --permission-mode dontAsk --tools {looking} --allowedTools {looking},mcp__ai_orch {mcp} --session-id sid"
                ),
            ),
            ("claude", &full, format!("{claude} --dangerously-skip-permissions {mcp} --session-id sid")),
            (
                "claude",
                &LaunchFacts { budget_usd: Some(0.5), ..facts() },
                format!("{claude} {work} {mcp} --max-budget-usd 0.5 --session-id sid"),
            ),
            ("codex", &fresh, format!("{codex} {writable} {served}")),
            ("codex", &read, format!("{codex} -s read-only {served}")),
            ("codex", &full, format!("{codex} --dangerously-bypass-approvals-and-sandbox {served}")),
            ("codex", &again, format!("{codex} {writable} {served} resume sid")),
            ("codex", &with_model, format!("{codex} -m m1 {writable} {served}")),
            ("gemini", &fresh, "--output-format stream-json --approval-mode yolo --session-id sid".into()),
            ("gemini", &again, "--output-format stream-json --approval-mode yolo --resume sid".into()),
            ("gemini", &read, "--output-format stream-json --approval-mode plan --session-id sid".into()),
            (
                "cursor-agent",
                &again,
                "-p --output-format stream-json --trust --force --resume=sid -- do {model} it".into(),
            ),
            ("sh", &fresh, "/p/prompt".into()),
            ("replay", &with_model, "__replay m1".into()),
        ] {
            assert_eq!(line(&start(cli, facts)), args, "{cli}");
        }
    }

    #[test]
    fn stdin_environment_program_and_note() {
        let gemini = start("gemini", &facts());
        assert_eq!(gemini.stdin, Stdin::PromptFile);
        assert_eq!(gemini.env_set, [("GEMINI_CLI_TRUST_WORKSPACE".into(), "true".into())]);
        assert!(gemini.note.unwrap().contains("every tool approved"));
        assert_eq!(start("sh", &facts()).stdin, Stdin::Null);
        let replay = start("replay", &LaunchFacts { model: Some("x.jsonl".into()), ..facts() });
        assert_eq!(replay.program, Path::new("/bin/ai_orch"));
        assert!(start("claude", &facts()).env_unset.contains(&"CLAUDECODE".to_owned()));
    }

    #[test]
    fn a_home_of_links_for_gemini() {
        let home = start("gemini", &facts()).home.unwrap();
        assert_eq!((home.variable.as_str(), home.at.as_path()), ("GEMINI_CLI_HOME", Path::new("/p/home")));
        let text = |name: &str| {
            let file = home.files.iter().find(|(path, _)| path.ends_with(name));
            String::from_utf8(file.unwrap().1.clone()).unwrap()
        };
        let extension: serde_json::Value = serde_json::from_str(&text("gemini-extension.json")).unwrap();
        assert_eq!(extension["mcpServers"]["ai_orch"]["env"]["AI_ORCH_TOKEN"], "secret");
        assert!(text("ai-orch.toml").parse::<toml::Table>().unwrap()["rule"].is_array());
        let claude = start("claude", &facts());
        assert!(claude.reads_mcp_file && claude.home.is_none());
        assert!(!start("sh", &facts()).reads_mcp_file);
    }

    #[test]
    fn what_a_cli_cannot_do_is_refused() {
        let all = Catalogue::builtin().unwrap();
        let fails = |cli, facts: LaunchFacts| launch(all.find(cli).unwrap(), &facts).unwrap_err();
        assert_eq!(fails("sh", LaunchFacts { resume: true, ..facts() }).code(), "cannot_resume");
        assert_eq!(fails("sh", LaunchFacts { model: Some("x".into()), ..facts() }).code(), "model_not_taken");
        assert_eq!(fails("codex", LaunchFacts { budget_usd: Some(1.0), ..facts() }).code(), "no_budget");
        assert_eq!(fails("claude", LaunchFacts { budget_usd: Some(-1.0), ..facts() }).code(), "bad_budget");
        assert_eq!(
            fails("claude", LaunchFacts { budget_usd: Some(f64::NAN), ..facts() }).code(),
            "bad_budget"
        );
        let needs = fails("replay", facts());
        assert_eq!(needs.to_string(), "replay needs a model");
        assert_eq!(needs.hint().unwrap(), "add --model replay=...");
    }

    fn argv_profile(last: &str) -> Profile {
        let text = format!("name = \"x\"\ncommand = \"x\"\nprompt = \"argv\"\nlast = {last}\n");
        let all = Catalogue::with_user_profiles(vec![("x.toml".into(), text)]).unwrap();
        all.find("x").unwrap().clone()
    }

    #[test]
    fn a_prompt_in_an_argument_is_never_a_flag_nor_too_long() {
        let with = |profile: &Profile, prompt: &str| {
            line(&launch(profile, &LaunchFacts { prompt: prompt.into(), ..facts() }).unwrap())
        };
        let (bare, guarded, inside) = (
            argv_profile("[\"{prompt}\"]"),
            argv_profile("[\"--\", \"{prompt}\"]"),
            argv_profile("[\"-p={prompt}\"]"),
        );
        assert_eq!(with(&bare, "--yolo"), " --yolo");
        assert_eq!(with(&guarded, "--yolo"), "-- --yolo");
        assert_eq!(with(&inside, "--yolo"), "-p=--yolo");
        for long in ["x".repeat(ARGV_LIMIT + 1), "a\0b".to_owned()] {
            assert_eq!(
                with(&bare, &long),
                "Your task is in the file /p/prompt: read all of it, then do what it says."
            );
        }
    }

    #[test]
    #[cfg(unix)]
    fn paths_that_are_no_text_go_through() {
        use std::os::unix::ffi::OsStringExt;
        let odd = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
        let launch = start("codex", &LaunchFacts { git_dir: odd.clone(), ..facts() });
        assert!(launch.args.iter().any(|arg| arg == odd.as_os_str()));
    }

    proptest! {
        #[test]
        fn cutting_loses_nothing(template in "[{}a-z_\"A ]{0,30}") {
            let mut back = String::new();
            for piece in pieces(&template) {
                match piece {
                    Piece::Text(t) => back.push_str(t),
                    Piece::Word(w) => { back.push('{'); back.push_str(w); back.push('}'); }
                }
            }
            prop_assert_eq!(back, template);
        }

        #[test]
        fn a_prompt_arrives_byte_for_byte(prompt in "[^\0-]([^\0]|\\{(model|prompt|self|budget)\\}){0,40}") {
            let launch = launch(
                &argv_profile("[\"a{prompt}z{git_dir}\"]"),
                &LaunchFacts { prompt: prompt.clone(), ..facts() },
            ).unwrap();
            prop_assert_eq!(launch.args[0].to_str().unwrap(), format!("a{prompt}z/r/.git/worktrees/w"));
        }
    }
}
