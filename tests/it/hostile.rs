//! Text that wants to be a command, a format or an escape sequence stays text.

use crate::fakes::{Fake, assert_harmless, files, harmless, json_error, names, task_of};
use crate::house::{Done, House};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What should run nowhere: each would leave a file called `pwned`.
const EVIL: [&str; 22] = [
    "#(touch pwned) now",
    "$(touch pwned) now",
    "`touch pwned` now",
    "#{pane_id} #{q:x} #S #H now",
    "#{l:#(touch pwned)} now",
    "#{E:#(touch pwned)} now",
    "it's \"quoted\" 'x' \\' now",
    "trailing ; semicolon ;",
    "; touch pwned ;",
    "a && touch pwned || true\n| touch pwned",
    "one\ntwo\r\nthree\n\n",
    "-x now; --help; --version",
    "--json now",
    "\x1b]52;c;cHduZWQ=\x07 clip \x1b]0;title\x07 now",
    "\x1b[2J\x1b[H\x1bc\x1b[31mred now",
    "c1 \u{9b}2J \u{9d}0;x\u{9c} \u{90}q now",
    "bidi \u{202e}txt.exe\u{202c} \u{2066}x\u{2069} \u{200f} now",
    "zero\u{200b}width \u{feff}bom \u{2028}line \u{e0041}tag now",
    "emoji 👩‍💻 🏳️‍🌈 日本語 é now",
    "%s %n %d {} {prompt} {model} {self} now",
    "../../../pwned /etc/passwd ~/x now",
    "\x08\x08\x7f\x0b\x0c tab\there now",
];

/// No file that hostile text would make is anywhere in the house.
fn nothing_ran(house: &House) {
    let found: Vec<PathBuf> =
        files(&house.path("")).into_iter().filter(|p| p.file_name().unwrap() == "pwned").collect();
    assert!(found.is_empty(), "{found:?}");
    for dir in ["/", "/tmp", env!("CARGO_MANIFEST_DIR")] {
        assert!(!std::path::Path::new(dir).join("pwned").exists(), "{dir}");
    }
}

fn looks(house: &House, session: &str) {
    for words in [
        &["list"][..],
        &["show", session],
        &["logs", session],
        &["diff", "--stat", session],
        &["attach", session],
        &["wait", session],
        &["kill", session],
    ] {
        let done = house.orch(words).run();
        assert_harmless(&done);
        assert_ne!(done.code, 70, "{done}");
    }
    for words in [
        &["list", "--json"][..],
        &["show", session, "--json"],
        &["logs", session, "--json"],
        &["diff", session, "--json"],
    ] {
        let done = house.orch(words).run();
        assert_eq!(done.code, 0, "{done}");
        // JSON keeps every character; those that steer a terminal are escaped.
        harmless(&done.raw).unwrap_or_else(|why| panic!("{words:?}: {why}"));
        for line in done.stdout.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}

#[test]
fn a_task_arrives_byte_for_byte_and_runs_nowhere() {
    let house = House::new();
    let fake = Fake::claude(&house, "fake", "");
    for (i, task) in EVIL.iter().enumerate() {
        let done = house.orch(["run", "--agent-cli", "fake", "--", task]).run();
        assert_eq!(done.code, 0, "{task:?}: {done}");
        assert_harmless(&done);
        assert_eq!(fake.task(i + 1), task.as_bytes(), "{task:?}");
    }
    let all: serde_json::Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
    let agents = all["agents"].as_array().unwrap();
    assert_eq!(agents.len(), EVIL.len());
    for (agent, task) in agents.iter().zip(EVIL) {
        let session = agent["session"].as_str().unwrap();
        assert_eq!(house.show(session)["task"], *task, "the record has the task as typed");
        looks(&house, session);
    }
    nothing_ran(&house);
}

#[test]
fn what_an_agent_says_and_does_steers_nothing() {
    let house = House::new();
    // Text, file names, contents, commit messages and stderr, all hostile.
    let script = r#"
esc=$(printf '\033'); c1=$(printf '\302\233'); bidi=$(printf '\342\200\256')
say "${bidi}say #(touch pwned) \\u001b]52;c;x\\u0007 \\u009b2J \\r\\nnext"
printf 'plain %s]52;c;x\007 %s2J line\n' "$esc" "$c1"
printf 'err %s[31m %s $(touch pwned)\n' "$esc" "$c1" >&2
printf '%s[2J\n' "$esc" > "name ${esc}]0;x${c1}
#(touch pwned) \$(touch pwned)"
printf 'x\n' > "${bidi}exe.txt"; printf 'y\n' > "-rf"; printf 'z\n' > 'a"b;c'
git add -A && git -c user.name=x -c user.email=x@x.invalid commit -q -m "${esc}]0;t${c1} #(touch pwned) ${bidi}subject"
printf 'w\n' > "un${esc}tracked"
printf '{"type":"result","subtype":"error","is_error":true,"result":"\\u001b[31mwhy \\u009b $(touch pwned)\\nsecond"}\n'
exit 1"#;
    Fake::claude(&house, "fake", script);
    let done = house.orch(["run", "--name", "one", "--agent-cli", "fake,sh", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_harmless(&done);
    assert!(done.stdout.contains("why"), "{done}");
    looks(&house, "one");
    let stat = house.ok(["diff", "--stat", "one"]);
    assert_eq!(
        stat.lines().count(),
        6,
        "one line for each file and the sum, whatever the names hold: {stat}"
    );
    let done = house.orch(["run", "--name", "two", "--agent-cli", "fake", "x y"]).run();
    assert_eq!(done.code, 1, "{done}");
    assert_harmless(&done);
    looks(&house, "two");
    nothing_ran(&house);
    // The bytes themselves are there for those who ask for them.
    let raw = house.orch(["logs", "--raw", "one"]).run();
    assert!(raw.raw.windows(5).any(|w| w == b"\x1b]52;"), "{raw}");
}

#[test]
fn errors_repeat_hostile_words_harmlessly() {
    let house = House::new();
    let refused = |words: &[&OsStr], json: bool| -> Done {
        let json: &[&OsStr] = if json { &[OsStr::new("--json")] } else { &[] };
        house.orch([json, words].concat()).run()
    };
    for text in EVIL {
        let o = OsStr::new;
        let flag = format!("--agent-cli={text}");
        let name = format!("--name={text}");
        let base = format!("--base={text}");
        let context = format!("--context={text}");
        let model = format!("--model=sh={text}");
        let env = format!("--env={text}");
        let calls: [&[&OsStr]; 13] = [
            &[o("show"), o("--"), o(text)],
            &[o("kill"), o("--"), o(text)],
            &[o("wait"), o("--"), o(text)],
            &[o("attach"), o("--"), o(text)],
            &[o("run"), o(&flag), o("x y")],
            &[o("run"), o(&name), o("x y")],
            &[o("run"), o("--agent-cli=sh"), o(&base), o("x y")],
            &[o("run"), o("--agent-cli=sh"), o(&context), o("x y")],
            &[o("run"), o("--agent-cli=sh"), o(&model), o("x y")],
            &[o("run"), o("--agent-cli=sh"), o(&env), o("x y")],
            &[o("help"), o("--"), o(text)],
            &[o("wait"), o("x"), o("--until"), o(text)],
            &[o("list"), o("--"), o(text)],
        ];
        for words in calls {
            for json in [false, true] {
                let done = refused(words, json);
                assert!(
                    [2, 8].contains(&done.code) && done.stdout.is_empty() || words[0] == "kill",
                    "{words:?}: {done}"
                );
                assert_harmless(&done);
                if json && words[0] != "kill" {
                    json_error(&done);
                }
            }
        }
    }
    // Bytes that are no text at all.
    let odd = OsStr::from_bytes(b"\xff\xfe\x1b[2J");
    for words in [
        &[odd][..],
        &[OsStr::new("show"), odd],
        &[OsStr::new("run"), odd],
        &[OsStr::new("run"), OsStr::new("--agent-cli=sh"), OsStr::new("--context"), odd, OsStr::new("x y")],
    ] {
        for json in [false, true] {
            let done = refused(words, json);
            assert_eq!(done.code, if words[0] == "show" { done.code } else { 2 }, "{words:?}: {done}");
            assert!([2, 8].contains(&done.code), "{done}");
            assert_harmless(&done);
        }
    }
    assert_eq!(names(&house), Vec::<String>::new());
    nothing_ran(&house);
}

/// A text of about `bytes` bytes that no line-wise or word-wise handling leaves alone.
fn long_text(bytes: usize) -> String {
    let mut text = String::new();
    let mut n = 0;
    while text.len() < bytes {
        text.push_str("line ");
        text.push_str(&n.to_string());
        text.push_str(" 'quoted' \"x\" $(touch pwned) é\u{1b}[0m \\ %s \r\n\n\ttab;");
        n += 1;
    }
    text.push_str("\n\nend without a line end");
    text
}

#[test]
fn a_long_task_arrives_whole_by_every_way() {
    let house = House::new();
    let fake = Fake::claude(&house, "fake", "");
    let argv = house.path("argv");
    house.cli(
        "byargv",
        &format!("for last in \"$@\"; do :; done; printf %s \"$last\" > '{}'; touch made", argv.display()),
    );
    house.profile(
        "byargv",
        "name = \"byargv\"\ncommand = \"byargv\"\nprompt = \"argv\"\nlast = [\"--\", \"{prompt}\"]\n",
    );
    house.cli(
        "byfile",
        &format!(
            "cat \"$1\" > '{}'; touch made; cat > '{}'",
            house.path("file").display(),
            house.path("file-stdin").display()
        ),
    );
    house.profile(
        "byfile",
        "name = \"byfile\"\ncommand = \"byfile\"\nprompt = \"file\"\nlast = [\"{prompt_file}\"]\n",
    );
    let long = long_text(200_000);
    let short = long_text(90_000);
    let task_in = |path: &Path| task_of(&std::fs::read(path).unwrap());
    // On standard input.
    for cli in ["fake", "byargv", "byfile"] {
        let done = house.orch(["run", "--agent-cli", cli, "-"]).stdin(long.clone()).run();
        assert_eq!(done.code, 0, "{cli}: {done}");
        assert_harmless(&done);
    }
    assert_eq!(fake.task(1), long.as_bytes());
    assert_eq!(task_in(&house.path("file")), long.as_bytes());
    assert!(std::fs::read(house.path("file-stdin")).unwrap().is_empty());
    let pointer = std::fs::read_to_string(&argv).unwrap();
    let path = pointer
        .strip_prefix("Your task is in the file ")
        .and_then(|p| p.split(": read all of it").next())
        .unwrap();
    assert_eq!(task_in(Path::new(path)), long.as_bytes(), "{pointer}");
    assert_eq!(pointer.lines().count(), 1);
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "the file is private");
    // As an argument: as long as an argument may be.
    let argument = long_text(120_000);
    assert!(argument.len() < 131_000);
    let done = house.orch(["run", "--agent-cli", "fake", "--", &argument]).run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(fake.task(2), argument.as_bytes());
    let done = house.orch(["run", "--agent-cli", "byargv", "--", &short]).run();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(task_in(&argv), short.as_bytes());
    // Too long is said, not cut.
    let done = house.orch(["run", "--agent-cli", "fake", "-"]).stdin(vec![b'x'; (8 << 20) + 1]).run();
    assert_eq!(done.code, 2, "{done}");
    assert!(done.stderr.contains("larger than 8 MiB"), "{done}");
    let done = house.orch(["run", "--agent-cli", "fake", "-"]).stdin(vec![0xff, 0xfe]).run();
    assert_eq!(done.code, 2, "{done}");
    assert!(done.stderr.contains("UTF-8"), "{done}");
    assert_eq!(fake.starts(), 2);
    nothing_ran(&house);
}

#[test]
fn hostile_tasks_as_an_argument_are_one_argument() {
    let house = House::new();
    let argv = house.path("argv");
    house.cli("byargv", &format!("printf '%s\\0' \"$@\" > '{}'; touch made", argv.display()));
    house.profile("byargv", "name = \"byargv\"\ncommand = \"byargv\"\nprompt = \"argv\"\nargs = [\"-p\"]\nlast = [\"--\", \"{prompt}\"]\n");
    for task in EVIL {
        let done = house.orch(["run", "--agent-cli", "byargv", "--", task]).run();
        assert_eq!(done.code, 0, "{task:?}: {done}");
        let got = std::fs::read(&argv).unwrap();
        let prompt = got.strip_prefix(b"-p\0--\0").and_then(|rest| rest.strip_suffix(b"\0"));
        assert_eq!(task_of(prompt.unwrap_or_else(|| panic!("{task:?}"))), task.as_bytes(), "{task:?}");
    }
    nothing_ran(&house);
}

#[test]
fn hostile_paths_branches_and_contents_work() {
    for (n, name) in [
        "#(touch pwned) $(touch pwned) `touch pwned`",
        "new\nline;",
        "\x1b]0;x\x07'\"",
        "bidi\u{202e}\u{9b} é 日本",
    ]
    .iter()
    .enumerate()
    {
        let house = House::new();
        let repo = house.path(name);
        house.make_repository(&repo);
        let branch = "evil/#(touch-pwned)$(x)`y`;'é";
        house.git_in(&repo, &["checkout", "-q", "-b", branch]);
        let done = house
            .orch([
                "run",
                "--name",
                "one",
                "--agent-cli",
                "sh",
                "pwd > where; git rev-parse --abbrev-ref HEAD",
            ])
            .dir(&repo)
            .run();
        assert_eq!(done.code, 0, "{name:?}: {done}");
        assert_harmless(&done);
        looks(&house, "one");
        let shown = house.show("one");
        assert_eq!(shown["agent"]["base_name"], branch);
        assert_eq!(shown["agent"]["checkout"], std::fs::canonicalize(&repo).unwrap().to_str().unwrap());
        assert_eq!(
            house.git_in(&repo, &["show", "ai_orch/one:where"]),
            shown["agent"]["worktree"].as_str().unwrap()
        );
        let error = house.orch(["run", "--base", "nope", "--agent-cli", "sh", "true"]).dir(&repo).run();
        assert_harmless(&error);
        nothing_ran(&house);
        assert!(n < 4);
    }
}

#[test]
fn hostile_base_names_are_resolved_as_git_does_and_nothing_else() {
    let house = House::new();
    let tip = house.git(&["rev-parse", "HEAD"]);
    for branch in ["$(touch-pwned)", "`x`", "a;b", "#{x}", "sp'ace", "é/ü"] {
        house.git(&["branch", branch]);
        let done = house.orch(["run", "--json", "--agent-cli", "sh", "--base", branch, "true"]).run();
        assert_eq!(done.code, 0, "{branch}: {done}");
        assert_eq!(
            (done.json()["agent"]["base_name"].as_str(), done.json()["agent"]["base"].as_str()),
            (Some(branch), Some(tip.as_str()))
        );
    }
    for base in ["HEAD^{/init}", "HEAD~0", "@", &tip[..8]] {
        let done = house.orch(["run", "--json", "--agent-cli", "sh", "--base", base, "true"]).run();
        assert_eq!(done.json()["agent"]["base"], tip, "{base}: {done}");
    }
    nothing_ran(&house);
}

#[test]
fn in_a_terminal_only_our_own_sequences_are_written() {
    let house = House::new();
    let task = house.path("task");
    let script = r#"
printf 'out \033]52;c;x\007 \033[2J \302\2332J \342\200\256 end\n'; printf 'err \033[31m\033c end\n' >&2
printf 'name \033[2J' > f; printf 'x \033]0;t\007\n' > 'b'; mv f "$(printf 'na\033[2Jme')"
printf 'no quota \033[2J\n' >&2; exit 3"#;
    std::fs::write(&task, format!("# \x1b]0;title\x07 \u{9b}2J\n{script}")).unwrap();
    let own = env!("CARGO_BIN_EXE_ai_orch");
    let in_terminal = |words: &str| {
        let call = format!("stty cols 100 rows 24; '{own}' {words}");
        let output = house
            .command("script")
            .args(["-qec", &call, "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).expect("whole characters")
    };
    // Colours, and the line that is written over.
    let ours = |text: &str| {
        let mut rest = text.replace("\r\n", "\n").replace("\r\x1b[2K", "");
        for code in ["0", "2", "31", "32", "33", "36"] {
            rest = rest.replace(&format!("\x1b[{code}m"), "");
        }
        rest
    };
    let said = in_terminal(&format!("run --name one --agent-cli sh - < '{}'", task.display()));
    assert!(said.contains("one failed") && said.contains('\x1b'), "{said:?}");
    harmless(ours(&said).as_bytes()).unwrap_or_else(|why| panic!("{why}"));
    for words in [
        "list",
        "show one",
        "logs one",
        "logs -f one",
        "diff one",
        "diff --stat one",
        "attach one",
        "wait one",
        "kill one",
        "run --agent-cli \"$(printf 'x\\033[2J')\" 'x y'",
    ] {
        let said = in_terminal(words);
        assert!(!said.is_empty(), "{words}");
        harmless(ours(&said).as_bytes()).unwrap_or_else(|why| panic!("{words}: {why}"));
    }
}
