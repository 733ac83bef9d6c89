//! `.ai_orch.toml`: from its text to what it asks for, what of that has to be allowed first, and in which words it is shown.
//!
//! The file is the repository's, so it is foreign: everything in it that runs, or that reaches outside of what git tracks, has to be
//! allowed by a person, once for each content.

use super::nearest::nearest;
use crate::model::project_file::{FromFile, ProjectFile, TEARDOWN_LIMIT, Teardown};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Component, Path};

/// How many entries a list may have: more is nobody's file.
const ENTRIES: usize = 100;
/// How long a teardown may be allowed at most, in seconds.
const LIMIT_MAX: u64 = 3600;

/// The file, as people write it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    copy: Vec<String>,
    #[serde(default)]
    symlink: Vec<String>,
    setup: Option<Command>,
    validate: Option<Command>,
    teardown: Option<Command>,
    teardown_limit: Option<u64>,
    #[serde(default)]
    ports: Vec<String>,
}

/// One command, or several that run one after another until one fails.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a command in quotes, or a list of commands")]
enum Command {
    One(String),
    Several(Vec<String>),
}

/// What `text` asks for; or what is wrong with it, with its line.
pub fn parse(text: &str) -> Result<ProjectFile, String> {
    let written: Written = toml::from_str(text).map_err(|error| {
        let line = line(text, error.span().map_or(0, |span| span.start));
        format!("line {line}: {}", problem(error.message()))
    })?;
    let at = |key: &str, problem: String| format!("line {}: {key}: {problem}", line_of(text, key));
    let command = |key: &str, command: Option<Command>| match command {
        None => Ok(None),
        Some(command) => joined(command).map(Some).map_err(|problem| at(key, problem)),
    };
    let file = ProjectFile {
        setup: command("setup", written.setup)?,
        validate: command("validate", written.validate)?,
        teardown: command("teardown", written.teardown)?,
        teardown_limit: written.teardown_limit,
        copy: written.copy,
        symlink: written.symlink,
        ports: written.ports,
    };
    for (key, entries, check) in [
        ("copy", &file.copy, pattern as fn(&str) -> Result<(), String>),
        ("symlink", &file.symlink, inside),
        ("ports", &file.ports, variable),
    ] {
        if entries.len() > ENTRIES {
            return Err(at(key, format!("it has more than {ENTRIES} entries")));
        }
        for (n, entry) in entries.iter().enumerate() {
            check(entry).map_err(|problem| at(key, problem))?;
            if entries.iter().take(n).any(|other| other == entry) {
                return Err(at(key, format!("'{entry}' is there twice")));
            }
        }
    }
    if file.teardown_limit.is_some_and(|limit| limit == 0 || limit > LIMIT_MAX) {
        return Err(at("teardown_limit", format!("it is a number of seconds, from 1 to {LIMIT_MAX}")));
    }
    if file.teardown_limit.is_some() && file.teardown.is_none() {
        return Err(at("teardown_limit", "there is no teardown that it could limit".to_owned()));
    }
    Ok(file)
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// The line on which `key` is given.
fn line_of(text: &str, key: &str) -> usize {
    let given = |line: &str| {
        let rest = line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with('='))
    };
    text.lines().position(given).map_or(1, |at| at + 1)
}

/// serde's words, but for a key that does not exist: which one may be meant.
fn problem(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field")
        && let Some(key) = quoted.next()
    {
        let known: Vec<&str> = quoted.collect();
        return match nearest(key, known.iter().copied()).first() {
            Some(meant) => format!("'{key}' is no key; did you mean {meant}?"),
            None => format!("'{key}' is no key; there are {}", known.join(", ")),
        };
    }
    message.lines().collect::<Vec<_>>().join(", ")
}

fn joined(command: Command) -> Result<String, String> {
    let parts = match command {
        Command::One(one) => vec![one],
        Command::Several(parts) => parts,
    };
    if parts.is_empty() || parts.iter().any(|part| part.trim().is_empty()) {
        // A shell is content with nothing, and whatever was to be done would count as done.
        return Err("it has no command; leave it out".to_owned());
    }
    if parts.iter().any(|part| part.contains('\0')) {
        return Err("a command cannot hold a NUL".to_owned());
    }
    if let [one] = parts.as_slice() {
        return Ok(one.clone());
    }
    // On lines of their own: a command may end in a comment.
    let groups: Vec<String> = parts.iter().map(|part| format!("{{ {part}\n}}")).collect();
    Ok(groups.join(" && "))
}

fn pattern(pattern: &str) -> Result<(), String> {
    if pattern.trim().is_empty() || pattern.contains(['\0', '\n']) {
        return Err("a pattern is one line in the syntax of .gitignore".to_owned());
    }
    Ok(())
}

/// A path that stays inside of the checkout, as far as can be told by its name.
fn inside(path: &str) -> Result<(), String> {
    let bare = path.trim_end_matches('/');
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
        _ => false,
    };
    let written_plainly = !bare.is_empty() && bare.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if path.contains('\0') || !written_plainly || !Path::new(bare).components().all(plain) {
        return Err(format!("'{path}' is no path inside of the repository, like node_modules or web/.venv"));
    }
    Ok(())
}

/// A variable that no program takes for anything but a port.
fn variable(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let good = name.len() <= 64
        && name.chars().all(letters)
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && (name == "PORT" || name.ends_with("_PORT"))
        && !name.starts_with("AI_ORCH_");
    if good {
        return Ok(());
    }
    Err(format!(
        "'{name}' is no name of a variable for a port: PORT, or one that ends in _PORT, like DB_PORT"
    ))
}

/// The SHA-256 of what of `file` has to be allowed before it is done, in hexadecimal digits; `None` if nothing has to be. A port is
/// a number in a variable, and asks for nothing.
pub fn to_be_allowed(file: &ProjectFile) -> Option<String> {
    let reaching = ProjectFile { ports: Vec::new(), ..file.clone() };
    if reaching == ProjectFile::default() {
        return None;
    }
    let mut hash = Sha256::new();
    for (key, value) in asks(&reaching) {
        // With its length, so that no two lists are the same bytes.
        for word in [key, value.as_str()] {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word.as_bytes());
        }
    }
    Some(hash.finalize().iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        write!(digits, "{byte:02x}").ok();
        digits
    }))
}

/// What `file` asks for: each key with its value, whole, as it is.
pub fn asks(file: &ProjectFile) -> Vec<(&'static str, String)> {
    let several =
        |key, values: &[String]| values.iter().map(|value| (key, value.clone())).collect::<Vec<_>>();
    let one =
        |key, value: &Option<String>| value.iter().map(|value| (key, value.clone())).collect::<Vec<_>>();
    let limit = file.teardown_limit.map(|limit| limit.to_string());
    [
        several("copy", &file.copy),
        several("symlink", &file.symlink),
        one("setup", &file.setup),
        one("validate", &file.validate),
        one("teardown", &file.teardown),
        one("teardown_limit", &limit),
        several("ports", &file.ports),
    ]
    .concat()
}

/// What the one who starts an agent says himself, or wants left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overruled {
    /// The worktree is not made for the agent: what makes a new one ready is not for it.
    pub no_worktree: bool,
    /// The setup.
    pub setup: bool,
    /// The validation.
    pub validate: bool,
}

/// What is left of `file`, where `given` says whether a variable was given by hand.
pub fn left(file: &ProjectFile, overruled: Overruled, given: impl Fn(&str) -> bool) -> ProjectFile {
    let mut left = file.clone();
    if overruled.no_worktree {
        left = ProjectFile { validate: left.validate, ports: left.ports, ..ProjectFile::default() };
    }
    if overruled.setup {
        left.setup = None;
    }
    if overruled.validate {
        left.validate = None;
    }
    left.ports.retain(|name| !given(name));
    left
}

/// What goes on record of `file` for an agent, beside what can be asked for without it.
pub fn on_record(file: &ProjectFile) -> FromFile {
    let limit_ms = file.teardown_limit.unwrap_or(TEARDOWN_LIMIT).saturating_mul(1000);
    FromFile {
        symlink: file.symlink.iter().map(|path| path.trim_end_matches('/').to_owned()).collect(),
        teardown: file.teardown.clone().map(|command| Teardown { command, limit_ms }),
        ports: file.ports.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::Entry;
    use crate::model::ids::ProcessId;
    use crate::model::project_file::TornDown;
    use crate::rules::replay::example;
    use proptest::prelude::*;

    const ALL: &str = r#"
copy = ["config/*.local"]
symlink = ["node_modules", "web/.venv/"]
setup = ["npm ci # all", "npm run build"]
validate = "npm test"
teardown = '''
docker compose down
'''
teardown_limit = 90
ports = ["PORT", "DB_PORT"]
"#;

    #[test]
    fn a_file_says_what_it_says() {
        let file = parse(ALL).unwrap();
        assert_eq!(file.setup.as_deref(), Some("{ npm ci # all\n} && { npm run build\n}"));
        assert_eq!(file.teardown.as_deref(), Some("docker compose down\n"));
        let from = on_record(&file);
        assert_eq!(from.symlink, ["node_modules", "web/.venv"]);
        assert_eq!(from.teardown.unwrap().limit_ms, 90_000);
        assert_eq!(parse("").unwrap(), ProjectFile::default());
        assert_eq!(on_record(&parse("setup = 'x'").unwrap()), FromFile::default());
        let limit = on_record(&parse("teardown = 'x'").unwrap()).teardown.unwrap().limit_ms;
        assert_eq!(limit, 60_000);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            ("\nsetpu = 'x'", "line 2: 'setpu' is no key; did you mean setup?"),
            ("quux = 'x'", "line 1: 'quux' is no key; there are copy, symlink, setup"),
            ("setup = 'x'\nsetup = 'y'", "line 2: duplicate key"),
            ("setup = ", "line 1: "),
            ("setup = 3", "line 1: a command in quotes"),
            ("copy = []\nsetup = ' '", "line 2: setup: it has no command"),
            ("setup = []", "line 1: setup: it has no command"),
            ("setup = ['a', '']", "line 1: setup: it has no command"),
            ("setup = \"a\\u0000b\"", "line 1: setup: a command cannot hold a NUL"),
            ("symlink = ['..']", "line 1: symlink: '..' is no path inside"),
            ("symlink = ['a/../b']", "'a/../b' is no path inside"),
            ("symlink = ['/etc']", "'/etc' is no path inside"),
            ("symlink = ['']", "'' is no path inside"),
            ("symlink = ['./a']", "'./a' is no path inside"),
            ("symlink = ['a//b']", "'a//b' is no path inside"),
            ("symlink = ['.GIT/hooks']", "'.GIT/hooks' is no path inside"),
            ("symlink = ['a', 'a']", "'a' is there twice"),
            ("copy = ['']", "copy: a pattern is one line"),
            ("ports = ['PATH']", "ports: 'PATH' is no name of a variable for a port"),
            ("ports = ['AI_ORCH_PORT']", "'AI_ORCH_PORT' is no name"),
            ("ports = ['_PORT']", "'_PORT' is no name"),
            ("ports = ['port']", "'port' is no name"),
            ("ports = 2", "line 1: "),
            ("teardown = 'x'\nteardown_limit = 0", "line 2: teardown_limit: it is a number of seconds"),
            ("teardown_limit = 5", "there is no teardown"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
        let many = format!("copy = {:?}", (0..101).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(parse(&many).unwrap_err().contains("more than 100"));
    }

    #[test]
    fn every_change_of_what_reaches_out_has_to_be_allowed_anew() {
        let file = parse(ALL).unwrap();
        let hash = to_be_allowed(&file).unwrap();
        assert_eq!(hash.len(), 64);
        assert_eq!(to_be_allowed(&ProjectFile { ports: vec![], ..file.clone() }).as_ref(), Some(&hash));
        assert_eq!(to_be_allowed(&parse("ports = ['PORT']").unwrap()), None);
        let changed = [
            ProjectFile { setup: Some("npm ci ".into()), ..file.clone() },
            ProjectFile { setup: None, ..file.clone() },
            ProjectFile { validate: Some("x".into()), ..file.clone() },
            ProjectFile { teardown: Some("docker compose down".into()), ..file.clone() },
            ProjectFile { teardown_limit: None, ..file.clone() },
            ProjectFile { copy: vec!["*".into()], ..file.clone() },
            ProjectFile { symlink: vec!["node_modules".into()], ..file.clone() },
            ProjectFile { setup: file.validate.clone(), validate: file.setup.clone(), ..file.clone() },
        ];
        for changed in changed {
            assert_ne!(to_be_allowed(&changed).as_ref(), Some(&hash), "{changed:?}");
        }
    }

    #[test]
    fn what_is_said_by_hand_wins() {
        let file = parse(ALL).unwrap();
        let none = |_: &str| false;
        let none_overruled = left(&file, Overruled::default(), none);
        assert_eq!(none_overruled, file);
        let commands = Overruled { setup: true, validate: true, ..Overruled::default() };
        let without = left(&file, commands, |name| name == "PORT");
        assert_eq!(
            (without.setup, without.validate, without.ports),
            (None, None, vec!["DB_PORT".to_owned()])
        );
        let in_place = left(&file, Overruled { no_worktree: true, ..Overruled::default() }, none);
        let kept = ProjectFile { validate: file.validate, ports: file.ports, ..ProjectFile::default() };
        assert_eq!(in_place, kept);
    }

    /// Whether a teardown is owed, one was cut off, how the last one ended, and whether the worktree is set up.
    fn after(entries: &[Entry]) -> (bool, bool, Option<bool>, bool) {
        let agent = example(entries.to_vec());
        let outfit = agent.outfit;
        let ended = outfit.torn_down.map(|how| how.ok);
        (outfit.to_tear_down, outfit.tearing_down, ended, agent.set_up.is_some())
    }

    #[test]
    fn what_is_to_be_put_away_is_known_from_the_journal() {
        let id = || ProcessId { pid: 1, start: 1, boot: "b".into() };
        let made = || Entry::WorktreeMade { path: "/w".into(), admin_dir: "/a".into() };
        let started = || Entry::Started { keeper: id() };
        let set_up = || Entry::SetUp { ok: true, exit: Some(0), ms: 1, output: String::new() };
        let torn = |ok| Entry::TornDown { how: TornDown { ok, exit: Some(1), ms: 1, output: String::new() } };
        let mut entries = vec![made()];
        assert_eq!(after(&entries), (false, false, None, false));
        entries.extend([started(), set_up()]);
        assert_eq!(after(&entries), (true, false, None, true), "something may have run");
        entries.push(Entry::TearingDown);
        assert_eq!(after(&entries), (true, true, None, true));
        let failed = [entries.clone(), vec![torn(false)]].concat();
        assert_eq!(after(&failed), (true, false, Some(false), true), "it is still owed");
        // Whoever goes on sets up again, also where nobody knows how far the teardown came.
        for before in [entries.clone(), failed] {
            let again = [before, vec![Entry::Resumed { by: id(), round: None }, started()]].concat();
            assert_eq!(after(&again), (true, false, None, false));
        }
        entries.push(torn(true));
        assert_eq!(after(&entries), (false, false, Some(true), true));
        assert_eq!(
            after(&[entries, vec![made()]].concat()),
            (false, false, Some(true), false),
            "brought back"
        );
    }

    proptest! {
        #[test]
        fn no_text_gets_a_path_out_of_the_checkout(path in "[./a-gA-G ]{0,12}") {
            if inside(&path).is_ok() {
                let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
                prop_assert!(parts.iter().all(|p| !p.is_empty() && *p != "." && *p != ".." && !p.eq_ignore_ascii_case(".git")));
                prop_assert!(!path.starts_with('/'));
            }
        }

        #[test]
        fn any_text_is_read_or_told_what_is_wrong(text in "\\PC{0,80}") {
            drop(parse(&text));
        }

        #[test]
        fn two_commands_are_never_one_hash(a in "\\PC{1,20}", b in "\\PC{1,20}") {
            let of = |setup: &str| to_be_allowed(&ProjectFile { setup: Some(setup.to_owned()), ..ProjectFile::default() });
            prop_assert_eq!(of(&a) == of(&b), a == b);
        }
    }
}
