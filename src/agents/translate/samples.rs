//! Every recorded run of the real CLIs, through translator, profile and rules: `tests/samples/README.md`.

use super::*;
use crate::agents::Catalogue;
use crate::model::failure::Class;
use crate::model::profile::Permissions;
use crate::rules::heard::Heard;
use crate::rules::outcome::{AttemptFacts, End, Outcome, StopCause, outcome};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One recorded run.
struct Sample {
    cli: String,
    stdout: Vec<u8>,
    stderr: Vec<String>,
    end: End,
    /// The recorder had to end it.
    timed_out: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

fn samples() -> BTreeMap<String, Sample> {
    let mut found = BTreeMap::new();
    for cli in ["claude", "codex", "gemini"] {
        for entry in std::fs::read_dir(root().join(cli)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "jsonl") {
                let name = format!("{cli}/{}", path.file_stem().unwrap().to_str().unwrap());
                found.insert(name, sample(cli, &path));
            }
        }
    }
    found
}

fn sample(cli: &str, path: &Path) -> Sample {
    let meta = std::fs::read(path.with_extension("meta.json")).ok();
    let meta: Value = meta.map(|m| serde_json::from_slice(&m).unwrap()).unwrap_or_default();
    let stderr = std::fs::read_to_string(path.with_extension("stderr")).unwrap_or_default();
    let from_meta = meta["stderr"].as_array().into_iter().flatten().map(|l| l.as_str().unwrap().to_owned());
    let code = meta["exit_code"].as_i64().map(|c| i32::try_from(c).unwrap());
    Sample {
        cli: cli.to_owned(),
        stdout: std::fs::read(path).unwrap(),
        stderr: from_meta.chain(stderr.lines().map(str::to_owned)).collect(),
        end: match code {
            Some(code) if code < 0 => End::Signaled(-code),
            code => End::Exited(code.unwrap_or_else(|| i32::from(stderr.contains("cannot be used")))),
        },
        timed_out: meta["timed_out"] == true,
    }
}

fn play(translator: &mut Translator, sample: &Sample) -> Vec<Event> {
    let mut events = Vec::new();
    for line in &sample.stderr {
        events.extend(translator.stderr_line(line.as_bytes()));
    }
    for line in sample.stdout.split(|&b| b == b'\n') {
        events.extend(translator.line(line));
    }
    events.extend(translator.end());
    events
}

/// `done` or the class, tokens in/out, retries, as the table below has it.
fn judge(sample: &Sample) -> (String, Heard) {
    let catalogue = Catalogue::builtin().unwrap();
    let profile = catalogue.find(&sample.cli).unwrap();
    let mut translator = Translator::new(profile.events);
    let events = play(&mut translator, sample);
    let mut heard = Heard::default();
    // Retries on stderr come before the answer here, though they happened in between.
    for event in &events {
        heard.hear(event);
    }
    let retry = events.iter().rev().find_map(|e| if let Event::Retrying(t) = e { Some(t.clone()) } else { None });
    let stop = retry.filter(|_| sample.timed_out || sample.end == End::Signaled(15)).map(StopCause::GaveUp);
    let outcome = outcome(&AttemptFacts {
        task: profile.task,
        format: translator.format(),
        permissions: Permissions::Work,
        end: sample.end.clone(),
        stop,
        heard: &heard,
        changed: Some(!heard.denied.iter().any(|d| d == "Write" || d == "apply_patch")),
        stderr: &sample.stderr,
        rules: &profile.failures,
    });
    let how = match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Failed(failure) => failure.class.to_string(),
        other => format!("{other:?}"),
    };
    let tokens = heard.usage.map_or_else(|| "-".into(), |u| format!("{}/{}", u.input_tokens, u.output_tokens));
    (format!("{how} {tokens} {}", heard.retries), heard)
}

const EXPECTED: &str = include_str!("samples.txt");

#[test]
fn every_recorded_run_is_judged_right() {
    let mut wrong = Vec::new();
    let mut expected: BTreeMap<&str, &str> = EXPECTED
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(|l| l.split_once(' ').map(|(name, rest)| (name, rest.trim())).unwrap())
        .collect();
    for (name, sample) in samples() {
        let (got, heard) = judge(&sample);
        let want = expected.remove(name.as_str()).unwrap_or("not in the table");
        if got != want {
            wrong.push(format!("{name} {got}    # not: {want}"));
        }
        let stdout = String::from_utf8(sample.stdout).unwrap();
        let id = ["\"session_id\":\"", "\"session_id\": \"", "\"thread_id\":\""]
            .iter()
            .find_map(|key| stdout.split_once(key)?.1.split_once('"'))
            .map(|(id, _)| id.to_owned());
        // A run that ended before it began says only in its result which conversation it was not.
        if !name.starts_with("claude/max-") {
            assert_eq!(heard.session, id, "{name}");
        }
    }
    wrong.extend(expected.into_keys().map(|name| format!("{name} has no sample")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
