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
    let retry =
        events.iter().rev().find_map(|e| if let Event::Retrying(t) = e { Some(t.clone()) } else { None });
    let stop = retry.filter(|_| sample.timed_out || sample.end == End::Signaled(15)).map(StopCause::GaveUp);
    let outcome = outcome(&AttemptFacts {
        task: profile.task,
        format: translator.format(),
        permissions: Permissions::Work,
        end: sample.end.clone(),
        stop,
        heard: &heard,
        changed: Some(
            !heard.denied.iter().any(|d| ["Write", "apply_patch", "a sandbox"].contains(&d.as_str())),
        ),
        stderr: &sample.stderr,
        rules: &profile.failures,
    });
    let how = match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Failed(failure) => failure.class.to_string(),
        other => format!("{other:?}"),
    };
    let tokens =
        heard.usage.map_or_else(|| "-".into(), |u| format!("{}/{}", u.input_tokens, u.output_tokens));
    (format!("{how} {tokens} {}", heard.retries), heard)
}

const EXPECTED: &str = include_str!("samples.txt");

#[test]
fn every_recorded_run_is_judged_right() {
    let mut wrong = Vec::new();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut expected: BTreeMap<&str, &str> = EXPECTED
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(|l| l.split_once(' ').unwrap())
        .collect();
    for (name, sample) in samples() {
        let (got, heard) = judge(&sample);
        let want = words(expected.remove(name.as_str()).unwrap_or("not in the table"));
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

#[test]
fn a_run_without_retries_has_none_and_a_run_with_them_says_why() {
    for (name, sample) in samples() {
        let mut translator = Translator::new(Catalogue::builtin().unwrap().find(&sample.cli).unwrap().events);
        for event in play(&mut translator, &sample) {
            if let Event::Retrying(trouble) = event {
                assert!(!trouble.message.is_empty(), "{name}");
                let catalogue = Catalogue::builtin().unwrap();
                let rules = &catalogue.find(&sample.cli).unwrap().failures;
                let class = crate::rules::classify::classify(rules, &trouble, None);
                assert_ne!(class, Class::Unknown, "{name}: {trouble:?}");
            }
        }
    }
}

#[test]
fn auto_reads_every_recording_as_its_own_translator_does() {
    for (name, sample) in samples() {
        if sample.stdout.is_empty() {
            continue;
        }
        let format = Catalogue::builtin().unwrap().find(&sample.cli).unwrap().events;
        let stdout_only = Sample { stderr: Vec::new(), ..sample };
        let mut auto = Translator::new(Format::Auto);
        let mut own = Translator::new(format);
        assert_eq!(play(&mut auto, &stdout_only), play(&mut own, &stdout_only), "{name}");
        assert_eq!(auto.format(), format, "{name}");
    }
}

#[test]
fn the_used_up_window_says_when_it_ends() {
    let (_, heard) = judge(&samples()["claude/oauth-limit-rejected"]);
    let trouble = heard.finished.unwrap().trouble.unwrap();
    assert_eq!(trouble.resets_at, Some(1_795_160_875));
    assert_eq!(trouble.code.as_deref(), Some("usage_limit_reached"));
}

/// The object with its keys in the opposite order, all the way down.
fn backwards(value: Value) -> String {
    match value {
        Value::Object(o) => {
            let mut parts: Vec<String> =
                o.into_iter().map(|(k, v)| format!("{}:{}", Value::String(k), backwards(v))).collect();
            parts.reverse();
            format!("{{{}}}", parts.join(" , "))
        }
        Value::Array(a) => format!("[{}]", a.into_iter().map(backwards).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[test]
fn the_order_of_keys_means_nothing() {
    for (name, sample) in samples() {
        let format = Catalogue::builtin().unwrap().find(&sample.cli).unwrap().events;
        let lines: Vec<&[u8]> = sample.stdout.split(|&b| b == b'\n').filter(|l| !l.is_empty()).collect();
        let turned: Vec<String> =
            lines.iter().map(|l| backwards(serde_json::from_slice(l).unwrap())).collect();
        let (mut straight, mut reversed) = (Translator::new(format), Translator::new(format));
        for (line, turned) in lines.iter().zip(&turned) {
            let (mut a, mut b) = (straight.line(line), reversed.line(turned.as_bytes()));
            // The gist of an unknown tool's input is its JSON: the only thing that may differ.
            for event in a.iter_mut().chain(&mut b) {
                if let Event::Tool { detail, .. } = event
                    && detail.starts_with('{')
                {
                    detail.clear();
                }
            }
            assert_eq!(a, b, "{name}: {turned}");
        }
    }
}

const FORMATS: [Format; 6] =
    [Format::Text, Format::Claude, Format::Codex, Format::Gemini, Format::Cursor, Format::Auto];

proptest! {
    #[test]
    fn no_line_makes_a_translator_fail(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..10),
        format in 0usize..6,
    ) {
        let mut translator = Translator::new(FORMATS[format]);
        for line in &lines {
            translator.stderr_line(line);
            let events = translator.line(line);
            // What is no JSON is kept as a line, whatever its bytes.
            if format == 0 {
                prop_assert_eq!(events.len(), 1);
            }
        }
        translator.end();
    }

    #[test]
    fn a_damaged_recording_makes_no_translator_fail(
        pick in any::<proptest::sample::Index>(),
        format in 0usize..6,
        damage in proptest::collection::vec(
            (any::<proptest::sample::Index>(), proptest::option::of(any::<u8>())), 1..8),
    ) {
        let all = samples();
        let sample = all.values().nth(pick.index(all.len())).unwrap();
        let mut bytes = sample.stdout.clone();
        bytes.truncate(20_000);
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                match byte {
                    Some(byte) => bytes[at] = byte,
                    None => bytes.truncate(at),
                }
            }
        }
        let mut translator = Translator::new(FORMATS[format]);
        for line in bytes.split(|&b| b == b'\n') {
            translator.line(line);
            translator.stderr_line(line);
        }
        translator.end();
    }

    /// JSON of the right shape with the wrong types in it.
    #[test]
    fn odd_values_make_no_translator_fail(
        kind in "(system|assistant|user|result|item.completed|error|turn.failed|message|tool_use|tool_call|init)",
        key in "(message|item|error|subtype|content|usage|modelUsage|result|tool_call|stats|delta)",
        value in "(null|1|-1|1e999|\"x\"|\\[\\]|\\[1\\]|\\{\\}|\\{\"content\":\\[\\{\\}\\]\\}|99999999999999999999)",
        format in 0usize..6,
    ) {
        let mut translator = Translator::new(FORMATS[format]);
        translator.line(format!("{{\"{key}\":{value},\"type\":\"{kind}\"}}").as_bytes());
        translator.end();
    }
}
