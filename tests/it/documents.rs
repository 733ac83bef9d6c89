//! What `--json` prints of each verb, whole; and what people see in a terminal, narrow or without colours.

use crate::fakes::{Fake, bare_path, json_error};
use crate::house::{House, eventually};
use serde_json::Value;

/// The document with everything that differs from run to run named instead: ids, commits, times, places.
fn plain(house: &House, value: &Value) -> Value {
    let dir = house.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/').to_owned();
    redact(value, "", &dir)
}

fn redact(value: &Value, key: &str, dir: &str) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), redact(v, k, dir))).collect(),
        Value::Array(list) => list.iter().map(|v| redact(v, key, dir)).collect(),
        Value::Number(_) if matches!(key, "ms" | "pid" | "ended_pids") => format!("[{key}]").into(),
        Value::String(text) => words(text, dir).into(),
        other => other.clone(),
    }
}

/// `text` with ids, commits, times, numbers of projects and the house's directory named.
fn words(text: &str, dir: &str) -> String {
    let text = text.replace(dir, "[house]");
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-:.".contains(c))).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(rest.chars().next().map_or(1, char::len_utf8)));
        out.push_str(&name_of(word));
        rest = after;
    }
    out
}

fn name_of(word: &str) -> String {
    let hex = |w: &str| w.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match word {
        w if w.len() == 36 && w.split('-').all(hex) => "[uuid]".to_owned(),
        w if w.len() == 40 && hex(w) => "[commit]".to_owned(),
        w if w.len() == 24 && w.starts_with("20") && w.ends_with('Z') => "[time]".to_owned(),
        w if w.rsplit_once('-').is_some_and(|(_, h)| h.len() == 8 && hex(h)) => {
            format!("{}-[hash]", w.rsplit_once('-').unwrap().0)
        }
        w => w.to_owned(),
    }
}

#[test]
fn what_programs_read() {
    let house = House::new();
    Fake::claude(&house, "fake", "say 'no money'; broke billing_error");
    let path = bare_path(&house, &["git", "tmux", "sh", "cat", "env", "sleep"]);
    let call = |words: &[&str]| house.orch(words).env("PATH", &path);
    let run = call(&[
        "run",
        "--json",
        "--name",
        "one",
        "--agent-cli",
        "fake,sh",
        "--validate",
        "test -e hello.txt",
        "echo hi > hello.txt; echo said",
    ])
    .run();
    assert_eq!(run.code, 0, "{run}");
    insta::assert_json_snapshot!(plain(&house, &run.json()), @r#"
    {
      "agent": {
        "attempts": [
          {
            "answer": "no money",
            "cli": "fake",
            "conversation": "[uuid]",
            "exit": 1,
            "failure": {
              "class": "quota",
              "message": "billing error"
            },
            "model": "fake-1",
            "ms": "[ms]",
            "n": 1,
            "result": "failed",
            "started": "[time]",
            "turn": "task",
            "usage": {
              "cost_usd": 0.5,
              "input_tokens": 10,
              "output_tokens": 5
            }
          },
          {
            "answer": "said",
            "cli": "sh",
            "exit": 0,
            "ms": "[ms]",
            "n": 2,
            "result": "done",
            "started": "[time]",
            "turn": "handover"
          }
        ],
        "base": "[commit]",
        "base_name": "main",
        "branch": "ai_orch/one",
        "chain": [
          {
            "cli": "fake"
          },
          {
            "cli": "sh"
          }
        ],
        "changes": {
          "commits": 1,
          "deletions": 0,
          "files": 1,
          "insertions": 1,
          "tip": "[commit]",
          "uncommitted": false
        },
        "checkout": "[house]/repo",
        "cli": "sh",
        "context_id": "[uuid]",
        "created": "[time]",
        "ended": "[time]",
        "guards": {
          "protected": [
            "main",
            "master",
            "release/*"
          ]
        },
        "id": "[uuid]",
        "project": "repo-[hash]",
        "remarks": [],
        "round": 1,
        "session": "one",
        "state": "done",
        "title": "echo hi > hello.txt; echo said",
        "updated": "[time]",
        "usage": {
          "cost_usd": 0.5,
          "input_tokens": 10,
          "output_tokens": 5
        },
        "v": 1,
        "validations": [
          {
            "exit": 0,
            "ms": "[ms]",
            "n": 2,
            "ok": true,
            "output": ""
          }
        ],
        "worktree": "[house]/home/.local/share/ai_orch/worktrees/repo-[hash]/one"
      },
      "next": [
        "ai_orch diff one",
        "ai_orch merge one"
      ],
      "notes": [],
      "v": 1
    }
    "#);
    let detached = call(&[
        "run",
        "-d",
        "--json",
        "--name",
        "two",
        "--agent-cli",
        "sh",
        "--permissions",
        "read",
        "echo here; while [ ! -e go ]; do sleep 0.02; done; exit 3",
    ])
    .run();
    assert_eq!(detached.code, 0, "{detached}");
    let state = detached.json()["agent"]["state"].clone();
    assert!(state == "starting" || state == "working", "{detached}");
    let mut keys: Vec<String> = detached.json()["agent"].as_object().unwrap().keys().cloned().collect();
    // What may be there a moment later already.
    keys.retain(|k| !matches!(k.as_str(), "activity" | "changes"));
    assert_eq!(
        keys.join(" "),
        "attempts base base_name branch chain checkout cli context_id created guards id project remarks round session state title updated v validations worktree"
    );
    insta::assert_json_snapshot!(serde_json::json!({"notes": detached.json()["notes"], "next": detached.json()["next"]}), @r#"
    {
      "next": [
        "ai_orch attach two",
        "ai_orch logs -f two"
      ],
      "notes": [
        "sh cannot be limited: the script may do what you may do"
      ]
    }
    "#);
    eventually("it says something", || (house.ok(["logs", "two"]).contains("here")).then_some(()));
    let timed_out = call(&["wait", "two", "--timeout", "1s", "--json"]).run();
    assert_eq!(
        (timed_out.code, timed_out.json()["timed_out"].as_bool(), timed_out.json()["missed"].clone()),
        (7, Some(true), serde_json::json!(["two"]))
    );
    let worktree = house.listed("two")["worktree"].as_str().unwrap().to_owned();
    std::fs::write(format!("{worktree}/go"), "").unwrap();
    let wait = call(&["wait", "two", "--json"]).run();
    assert_eq!(wait.code, 1, "{wait}");
    insta::assert_json_snapshot!(plain(&house, &wait.json()), @r#"
    {
      "agents": [
        {
          "attempts": [
            {
              "answer": "here",
              "cli": "sh",
              "exit": 3,
              "failure": {
                "class": "crash",
                "message": "ended with exit code 3"
              },
              "ms": "[ms]",
              "n": 1,
              "note": "sh cannot be limited: the script may do what you may do",
              "result": "failed",
              "started": "[time]",
              "turn": "task"
            }
          ],
          "base": "[commit]",
          "base_name": "main",
          "branch": "ai_orch/two",
          "chain": [
            {
              "cli": "sh"
            }
          ],
          "changes": {
            "commits": 0,
            "deletions": 0,
            "files": 1,
            "insertions": 0,
            "tip": "[commit]",
            "uncommitted": true
          },
          "checkout": "[house]/repo",
          "cli": "sh",
          "context_id": "[uuid]",
          "created": "[time]",
          "ended": "[time]",
          "failure": {
            "class": "crash",
            "message": "ended with exit code 3"
          },
          "guards": {
            "protected": [
              "main",
              "master",
              "release/*"
            ]
          },
          "id": "[uuid]",
          "project": "repo-[hash]",
          "remarks": [],
          "round": 1,
          "session": "two",
          "state": "failed",
          "title": "echo here; while [ ! -e go ]; do sleep 0.02; done; exit 3",
          "updated": "[time]",
          "v": 1,
          "validations": [],
          "worktree": "[house]/home/.local/share/ai_orch/worktrees/repo-[hash]/two"
        }
      ],
      "missed": [],
      "timed_out": false,
      "v": 1
    }
    "#);
    let list = call(&["list", "--json"]).run();
    // What `list` adds: only it counts.
    let row = |n: usize| {
        let mut row = list.json()["agents"][n].clone();
        assert_eq!(row.as_object_mut().unwrap().remove("unread"), Some(0.into()));
        row
    };
    assert_eq!(row(0), run.json()["agent"], "a row of list is what run told");
    assert_eq!(row(1), wait.json()["agents"][0]);
    assert_eq!(list.json().as_object().unwrap().len(), 2);
    let show = eventually("its keeper and session are gone", || {
        let show = call(&["show", "one", "--json"]).run().json();
        let gone = |source: &str, says: &str| {
            show["evidence"]
                .as_array()
                .unwrap()
                .contains(&serde_json::json!({"source": source, "says": says}))
        };
        (gone("keeper.lock", "free: no keeper") && gone("tmux", "there is no such session"))
            .then_some(show.clone())
    });
    insta::assert_json_snapshot!(plain(&house, &serde_json::json!({"v": show["v"], "task": show["task"], "record": show["record"], "evidence": show["evidence"]})), @r#"
    {
      "evidence": [
        {
          "says": "last written [time]",
          "source": "journal"
        },
        {
          "says": "free: no keeper",
          "source": "keeper.lock"
        },
        {
          "says": "done, as of [time]",
          "source": "board"
        },
        {
          "says": "there is no such session",
          "source": "tmux"
        },
        {
          "says": "attempt 2: none",
          "source": "processes"
        },
        {
          "says": "is there",
          "source": "worktree"
        },
        {
          "says": "all by git: it has few files",
          "source": "files"
        }
      ],
      "record": "[house]/home/.local/state/ai_orch/repo-[hash]/agents/[uuid]",
      "task": "echo hi > hello.txt; echo said",
      "v": 1
    }
    "#);
    assert_eq!(show["agent"], list.json()["agents"][0], "and what list tells");
    let logs: Vec<Value> = call(&["logs", "one", "--json"])
        .run()
        .stdout
        .lines()
        .map(|l| plain(&house, &serde_json::from_str(l).unwrap()))
        .collect();
    insta::assert_json_snapshot!(logs, @r#"
    [
      {
        "at": "[time]",
        "event": {
          "id": "[uuid]",
          "kind": "session",
          "model": "fake-1"
        },
        "n": 1,
        "v": 1
      },
      {
        "at": "[time]",
        "event": {
          "kind": "message",
          "text": "no money"
        },
        "n": 1,
        "v": 1
      },
      {
        "at": "[time]",
        "event": {
          "cost_usd": 0.5,
          "input_tokens": 10,
          "kind": "usage",
          "output_tokens": 5
        },
        "n": 1,
        "v": 1
      },
      {
        "at": "[time]",
        "event": {
          "kind": "finished",
          "ok": false,
          "text": "",
          "trouble": {
            "code": "billing_error",
            "message": "billing error"
          }
        },
        "n": 1,
        "v": 1
      },
      {
        "at": "[time]",
        "event": {
          "kind": "line",
          "text": "said"
        },
        "n": 2,
        "v": 1
      }
    ]
    "#);
    insta::assert_json_snapshot!(plain(&house, &call(&["diff", "one", "--json"]).run().json()), @r#"
    {
      "base": "[commit]",
      "branch": "ai_orch/one",
      "changes": {
        "commits": 1,
        "deletions": 0,
        "files": 1,
        "insertions": 1,
        "tip": "[commit]",
        "uncommitted": false
      },
      "commits": [
        {
          "id": "[commit]",
          "subject": "echo hi > hello.txt; echo said"
        }
      ],
      "files": [
        {
          "deletions": 0,
          "insertions": 1,
          "path": "hello.txt",
          "status": "added"
        }
      ],
      "notes": [],
      "patch": "diff --git a/hello.txt b/hello.txt\nnew file mode 100644\nindex 0000000000000000000000000000000000000000..45b983be36b73c0788dc9cbcb76cbb80fc7bb057\n--- /dev/null\n+++ b/hello.txt\n@@ -0,0 +1 @@\n+hi\n",
      "session": "one",
      "v": 1
    }
    "#);
    insta::assert_json_snapshot!(plain(&house, &call(&["kill", "one", "nobody", "--json"]).run().json()), @r#"
    {
      "killed": [
        {
          "ended_pids": [],
          "session": "one",
          "state": "done",
          "was_running": false
        },
        {
          "ended_pids": [],
          "error": {
            "code": "no_agent",
            "hint": "all agents: ai_orch list",
            "message": "there is no agent 'nobody'"
          },
          "session": "nobody",
          "was_running": false
        }
      ],
      "v": 1
    }
    "#);
    let mut doctor = plain(&house, &call(&["doctor", "--json"]).run().json());
    for check in doctor["checks"].as_array_mut().unwrap() {
        let version = check["found"].as_str().unwrap().chars().any(|c| c.is_ascii_digit());
        if version && matches!(check["subject"].as_str(), Some("tmux" | "git")) {
            check["found"] = "[version]".into();
        }
    }
    insta::assert_json_snapshot!(doctor, @r#"
    {
      "checks": [
        {
          "found": "[version]",
          "subject": "tmux",
          "verdict": "ok"
        },
        {
          "found": "[version]",
          "subject": "git",
          "verdict": "ok"
        },
        {
          "found": "[house]/root",
          "subject": "board",
          "verdict": "ok"
        },
        {
          "found": "[house]/home/.config/ai_orch",
          "subject": "settings",
          "verdict": "ok"
        },
        {
          "found": "not installed",
          "hint": "npm install -g @anthropic-ai/claude-code",
          "subject": "claude",
          "verdict": "note"
        },
        {
          "found": "not installed",
          "hint": "npm install -g @openai/codex",
          "subject": "codex",
          "verdict": "note"
        },
        {
          "found": "not installed",
          "hint": "npm install -g @google/gemini-cli",
          "subject": "gemini",
          "verdict": "note"
        },
        {
          "found": "not installed",
          "hint": "curl https://cursor.com/install -fsS | bash",
          "subject": "cursor-agent",
          "verdict": "note"
        },
        {
          "found": "[house]/tools/sh",
          "subject": "sh",
          "verdict": "ok"
        },
        {
          "found": "built in",
          "subject": "replay",
          "verdict": "ok"
        },
        {
          "found": "[house]/bin/fake",
          "subject": "fake",
          "verdict": "ok"
        },
        {
          "found": "2 on record, 0 interrupted",
          "subject": "agents",
          "verdict": "ok"
        }
      ],
      "ok": true,
      "v": 1
    }
    "#);
    insta::assert_json_snapshot!(json_error(&call(&["--json", "show", "onw"]).run()), @r#"
    {
      "error": {
        "code": "no_agent",
        "hint": "did you mean one? All agents: ai_orch list",
        "message": "there is no agent 'onw'"
      },
      "exit": 8,
      "v": 1
    }
    "#);
}

/// What `list` shows in a terminal of so many columns, with its escape sequences.
fn in_terminal(house: &House, columns: usize, words: &str, variables: &[(&str, &str)]) -> String {
    let mut command = house.command("script");
    command.args([
        "-qec",
        &format!("stty cols {columns} rows 24; '{}' {words}", env!("CARGO_BIN_EXE_ai_orch")),
        "/dev/null",
    ]);
    command.envs(variables.iter().copied()).stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[test]
fn what_people_see_in_a_list() {
    let house = House::new();
    Fake::claude(&house, "fake", "echo 'a b' > 'a file'; result 0.42");
    house.start(["--name", "good", "--agent-cli", "fake", "Write a file\nwith two words"]);
    house.start(["--name", "fix-the-login-bug", "--agent-cli", "sh", "echo 日本語 && exit 3"]);
    assert_eq!(house.orch(["wait", "good", "fix-the-login-bug"]).run().code, 3);
    // Ages are of one digit or two, in a column of three.
    let ages =
        |text: &str| (10..100).fold(text.to_owned(), |text, n| text.replace(&format!(" {n}s"), " 0s "));
    let ages = |text: &str| (1..10).fold(ages(text), |text, n| text.replace(&format!(" {n}s "), " 0s "));
    let pipe = house.ok(["list"]);
    assert!(!pipe.contains('\x1b'), "{pipe}");
    insta::assert_snapshot!(ages(&pipe), @r#"
    SESSION            STATE           CLI   AGE  CHANGES        COST   BRANCH                     DOING
    good               done            fake  0s   1 file, +1 -0  $0.42  ai_orch/good               Write a file
    fix-the-login-bug  failed (crash)  sh    0s   no changes            ai_orch/fix-the-login-bug  echo 日本語 && exit 3
    "#);
    let colours = in_terminal(&house, 200, "list", &[]);
    assert!(colours.contains("\x1b[32mdone") && colours.contains("\x1b[31mfailed (crash)"), "{colours:?}");
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let without = in_terminal(&house, 200, "list", &[(variable, value)]);
        assert!(!without.contains('\x1b') && without.contains("failed (crash)"), "{without:?}");
    }
    let without = in_terminal(&house, 200, "list", &[("NO_COLOR", "")]);
    assert!(without.contains("\x1b[32m"), "an empty NO_COLOR means nothing");
    let none = [("NO_COLOR", "1")];
    let narrow: String = [80, 60, 40, 20]
        .map(|columns| {
            let text = in_terminal(&house, columns, "list", &none);
            for line in text.lines() {
                assert!(ai_orch::model::text::columns(line) <= columns, "{columns}: {line}");
            }
            format!("--- {columns}\n{text}")
        })
        .concat();
    insta::assert_snapshot!(ages(&narrow), @r#"
    --- 80
    SESSION            STATE           CLI   AGE  CHANGES        DOING
    good               done            fake  0s   1 file, +1 -0  Write a file
    fix-the-login-bug  failed (crash)  sh    0s   no changes     echo 日本語 && exi…
    --- 60
    SESSION            STATE           CLI   AGE  DOING
    good               done            fake  0s   Write a file
    fix-the-login-bug  failed (crash)  sh    0s   echo 日本語 &…
    --- 40
    SESSION            STATE
    good               done
    fix-the-login-bug  failed (crash)
    --- 20
    SESSION            …
    good               …
    fix-the-login-bug  …
    "#);
    for words in [
        "show good",
        "logs good",
        "doctor",
        "diff good",
        "diff --stat good",
        "wait good",
        "kill good",
        "attach good",
    ] {
        let text = in_terminal(&house, 60, words, &none);
        assert!(!text.contains('\x1b'), "{words}: {text:?}");
    }
}

#[test]
fn a_summary_says_what_happened_and_what_to_type() {
    let house = House::new();
    Fake::claude(&house, "fake", "say 'I looked at it'; broke billing_error");
    let done =
        house.orch(["run", "--name", "one", "--agent-cli", "fake,sh", "echo working; echo x > x"]).run();
    let text = done.stdout.replace(house.path("").to_str().unwrap().trim_end_matches('/'), "[house]");
    let project = house.listed("one")["project"].as_str().unwrap().to_owned();
    let mut text = text.replace(&project, "repo-[hash]");
    for seconds in 0..60 {
        text = text.replace(&format!(" {seconds}s"), " 0s");
    }
    insta::assert_snapshot!(text, @r#"
    ! one: fake, then sh on branch ai_orch/one
    ! attempt 1: fake
    ● I looked at it
    ✗ billing error
    ! attempt 2: sh
      working

    ✓ one done  0s
      branch    ai_orch/one  1 commit, 1 file, +1 -0
      attempts  1 fake (fake-1)  quota after 0s: billing error
                2 sh  done after 0s
      used      15 tokens, $0.50
      worktree  [house]/home/.local/share/ai_orch/worktrees/repo-[hash]/one
      next      ai_orch diff one
                ai_orch merge one
    "#);
}
