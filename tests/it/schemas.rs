//! The shapes that programs read: published as JSON schemas, made from the types, kept by real documents.
//!
//! `AI_ORCH_BLESS=1` writes `design/formats` anew; the diff of that is a change that programs of others will meet.

use crate::fakes::Fake;
use crate::house::House;
use ai_orch::model::a2a::AgentCard;
use ai_orch::model::feed::EventLine;
use ai_orch::model::mail::MailRecord;
use ai_orch::model::merge::MergeReport;
use ai_orch::model::project_file::TrustReport;
use ai_orch::model::report::{
    AgentReport, CleansReport, DiffReport, DoctorReport, ErrorReport, GuideReport, KillsReport, ListReport,
    LogLine, ResumesReport, RunReport, ShowReport, UndoListReport, UndoReport, WaitReport,
};
use ai_orch::model::reservation::ReservationRecord;
use ai_orch::model::together::{
    AckReport, ClaimReport, DeadLettersReport, InboxReport, ReleaseReport, ReservationsReport, ReserveReport,
    SendReport, SpawnReport, TaskReport, TaskWaitReport, TasksReport,
};
use ai_orch::model::work::TaskRecord;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::path::PathBuf;

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Each published shape: the name of its file and its schema.
fn schemas() -> [(&'static str, Value); 34] {
    [
        ("agent-card", schema::<AgentCard>()),
        ("board", schema::<AgentReport>()),
        ("clean", schema::<CleansReport>()),
        ("diff", schema::<DiffReport>()),
        ("doctor", schema::<DoctorReport>()),
        ("error", schema::<ErrorReport>()),
        ("events", schema::<EventLine>()),
        ("guide", schema::<GuideReport>()),
        ("kill", schema::<KillsReport>()),
        ("list", schema::<ListReport>()),
        ("logs", schema::<LogLine>()),
        ("mail-record", schema::<MailRecord>()),
        ("merge", schema::<MergeReport>()),
        ("msg-ack", schema::<AckReport>()),
        ("msg-dead", schema::<DeadLettersReport>()),
        ("msg-read", schema::<InboxReport>()),
        ("msg-send", schema::<SendReport>()),
        ("release", schema::<ReleaseReport>()),
        ("reservation-record", schema::<ReservationRecord>()),
        ("reservations", schema::<ReservationsReport>()),
        ("reserve", schema::<ReserveReport>()),
        ("resume", schema::<ResumesReport>()),
        ("run", schema::<RunReport>()),
        ("show", schema::<ShowReport>()),
        ("task", schema::<TaskReport>()),
        ("task-claim", schema::<ClaimReport>()),
        ("task-list", schema::<TasksReport>()),
        ("task-record", schema::<TaskRecord>()),
        ("task-spawn", schema::<SpawnReport>()),
        ("task-wait", schema::<TaskWaitReport>()),
        ("trust", schema::<TrustReport>()),
        ("undo", schema::<UndoReport>()),
        ("undo-list", schema::<UndoListReport>()),
        ("wait", schema::<WaitReport>()),
    ]
}

fn published(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("design/formats/{name}.schema.json"))
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    let bless = std::env::var_os("AI_ORCH_BLESS").is_some();
    for (name, schema) in schemas() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        let file = published(name);
        if bless {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == text,
            "{} is not what the types say; AI_ORCH_BLESS=1 writes it anew",
            file.display()
        );
    }
    let there = std::fs::read_dir(published("x").parent().unwrap()).unwrap();
    let count = there.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "json")).count();
    assert_eq!(count, schemas().len(), "no schema of a shape that is gone");
}

/// What is wrong with `document`, seen from `schema` within `root`. Knows the words that schemars writes, and no others.
fn wrong(root: &Value, schema: &Value, document: &Value, at: &str, found: &mut Vec<String>) {
    const KNOWN: [&str; 20] = [
        "$schema",
        "$ref",
        "$defs",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "items",
        "anyOf",
        "oneOf",
        "allOf",
        "const",
        "enum",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "default",
        "additionalProperties",
    ];
    let Some(words) = schema.as_object() else { return };
    for word in words.keys() {
        assert!(KNOWN.contains(&word.as_str()), "{word} of the schema is not understood here");
    }
    let mut say = |what: String| found.push(format!("{at}: {what}"));
    let is = |name: &str| match name {
        "object" => document.is_object(),
        "array" => document.is_array(),
        "string" => document.is_string(),
        "integer" => document.is_i64() || document.is_u64(),
        "number" => document.is_number(),
        "boolean" => document.is_boolean(),
        "null" => document.is_null(),
        other => panic!("no such type: {other}"),
    };
    let fits = match &schema["type"] {
        Value::String(one) => is(one),
        Value::Array(some) => some.iter().any(|t| is(t.as_str().unwrap())),
        _ => true,
    };
    if !fits {
        say(format!("{document} is not {}", schema["type"]));
    }
    if words.get("const").is_some_and(|c| c != document) {
        say(format!("{document} is not {}", schema["const"]));
    }
    if words.get("enum").is_some_and(|e| !e.as_array().unwrap().contains(document)) {
        say(format!("{document} is none of {}", schema["enum"]));
    }
    if words.get("minimum").and_then(Value::as_f64).zip(document.as_f64()).is_some_and(|(min, n)| n < min) {
        say(format!("{document} is too small"));
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        if document.get(key.as_str().unwrap()).is_none() {
            say(format!("{key} is missing"));
        }
    }
    for (key, value) in document.as_object().into_iter().flatten() {
        if let Some(inner) = schema["properties"].get(key) {
            wrong(root, inner, value, &format!("{at}.{key}"), found);
        }
    }
    for (n, value) in document.as_array().into_iter().flatten().enumerate() {
        if let Some(inner) = words.get("items") {
            wrong(root, inner, value, &format!("{at}[{n}]"), found);
        }
    }
    if let Some(name) = schema["$ref"].as_str() {
        let target =
            root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} leads nowhere"));
        wrong(root, target, document, at, found);
    }
    for inner in schema["allOf"].as_array().into_iter().flatten() {
        wrong(root, inner, document, at, found);
    }
    for (word, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
        let Some(some) = schema[word].as_array() else { continue };
        let tries = some.iter().map(|inner| {
            let mut why = Vec::new();
            wrong(root, inner, document, at, &mut why);
            why
        });
        let tries: Vec<Vec<String>> = tries.collect();
        let good = tries.iter().filter(|t| t.is_empty()).count();
        if good == 0 || good > most {
            found.push(format!("{at}: {good} of {word} fit: {tries:?}"));
        }
    }
}

/// The keys that `schema` knows for an object, by whatever way.
fn knows(root: &Value, schema: &Value, key: &str) -> bool {
    let inner = |word: &str| schema[word].as_array().into_iter().flatten().any(|s| knows(root, s, key));
    schema["properties"].get(key).is_some()
        || ["anyOf", "oneOf", "allOf"].iter().any(|w| inner(w))
        || schema["$ref"]
            .as_str()
            .is_some_and(|r| knows(root, root.pointer(r.trim_start_matches('#')).unwrap(), key))
}

fn check(name: &str, text: &str) {
    assert!(text.starts_with("{\"v\":1,"), "the version comes first: {text}");
    let schema = schemas().into_iter().find(|s| s.0 == name).unwrap().1;
    let document: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
    let mut found = Vec::new();
    wrong(&schema, &schema, &document, name, &mut found);
    assert!(found.is_empty(), "{found:#?}\n{document:#}");
    for key in document.as_object().unwrap().keys() {
        assert!(knows(&schema, &schema, key), "{name} does not know {key}");
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let (_, schema) = schemas().into_iter().find(|s| s.0 == "error").unwrap();
    let faults = |document: Value| {
        let mut found = Vec::new();
        wrong(&schema, &schema, &document, "", &mut found);
        found.len()
    };
    let good = serde_json::json!({"v": 1, "error": {"code": "c", "message": "m"}, "exit": 2});
    assert_eq!(faults(good.clone()), 0);
    for (pointer, value) in
        [("/v", "x".into()), ("/error/code", Value::Null), ("/exit", (-1).into()), ("/error", 1.into())]
    {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_ne!(faults(bad), 0, "{pointer}");
    }
    assert_ne!(faults(serde_json::json!({"v": 1, "exit": 2})), 0);
}

#[test]
fn every_document_is_of_its_schema() {
    let house = House::new();
    Fake::claude(
        &house,
        "fake",
        "say hello; printf 'plain line\\n'; echo x > x; [ $n = 1 ] && broke billing_error; result 0.25",
    );
    let words = [
        "run",
        "--json",
        "--agent-cli",
        "fake,fake,sh",
        "--validate",
        "false",
        "--repairs",
        "1",
        "--timeout",
        "60s",
    ];
    let done = house.orch([&words[..], &["--permissions", "read", "--name", "one", "false"]].concat()).run();
    assert_eq!(done.code, 1, "{done}");
    check("run", &done.stdout);
    let done = house
        .orch([
            "run",
            "--json",
            "-d",
            "--name",
            "two",
            "--agent-cli",
            "sh",
            "echo b; while :; do sleep 0.1; done",
        ])
        .run();
    check("run", &done.stdout);
    for words in [&["list", "--json"][..], &["ls", "--json"], &["--json", "list", "--here"]] {
        check("list", &house.ok(words));
    }
    for session in ["one", "two"] {
        check("show", &house.ok(["show", session, "--json"]));
        check("diff", &house.ok(["diff", session, "--json"]));
    }
    check("reserve", &house.ok(["reserve", "--json", "--why", "x", "x"]));
    check("reservations", &house.ok(["reserve", "--list", "--json"]));
    let diff = house.ok(["diff", "one", "--json"]);
    assert!(diff.contains("x is reserved by user, as x"), "{diff}");
    check("release", &house.ok(["reserve", "--release", "--json"]));
    let logs = house.ok(["logs", "one", "--json"]);
    assert!(logs.lines().count() > 6, "{logs}");
    logs.lines().for_each(|line| check("logs", line));
    let events = house.ok(["events"]);
    assert!(events.lines().count() > 3, "{events}");
    events.lines().for_each(|line| check("events", line));
    check("run", &house.ok(["attach", "one", "--json"]));
    check("wait", &house.orch(["wait", "two", "--until", "done", "--timeout", "1s", "--json"]).run().stdout);
    let board = crate::fakes::files(&house.path("root")).into_iter().filter(|f| f.ends_with("state.json"));
    let boards: Vec<String> = board.map(|f| std::fs::read_to_string(f).unwrap()).collect();
    assert_eq!(boards.len(), 2);
    for text in &boards {
        check("board", text);
    }
    check("kill", &house.orch(["kill", "two", "one", "nobody", "--json"]).run().stdout);
    // With everything that a repository can ask for.
    let file =
        "symlink = ['nowhere']\nsetup = 'true'\nvalidate = 'true'\nteardown = 'true'\nports = ['PORT']\n";
    crate::trust::file(&house, file);
    check("error", house.orch(["run", "--json", "--agent-cli", "sh", "true"]).run().stderr.trim_end());
    for words in [&["trust", "--show", "--json"][..], &["trust", "--json"]] {
        check("trust", &house.ok(words));
    }
    check("run", &house.ok(["run", "--json", "--agent-cli", "sh", "--name", "three", "true"]));
    check("show", &house.ok(["show", "three", "--json"]));
    check("clean", &house.ok(["clean", "three", "--json"]));
    check("trust", &house.ok(["trust", "--revoke", "--json"]));
    check("kill", &house.ok(["kill", "--all", "--json"]));
    check("wait", &house.orch(["wait", "two", "one", "--json"]).run().stdout);
    check("doctor", &house.ok(["doctor", "--json"]));
    for words in [
        &["show", "nobody", "--json"][..],
        &["--json", "nonsense"],
        &["--json", "list", "--nonsense"],
        &["--json", "help", "nonsense"],
        &["--json", "run", "--agent-cli", "nope", "x y"],
    ] {
        check("error", house.orch(words).run().stderr.trim_end());
    }
}

#[test]
fn paths_that_are_no_text_are_in_the_schema() {
    use std::os::unix::ffi::OsStrExt;
    let house = House::new();
    let repo = house.path(std::ffi::OsStr::from_bytes(b"odd\xff"));
    house.make_repository(&repo);
    let done = house.orch(["run", "--json", "--agent-cli", "sh", "true"]).dir(&repo).run();
    assert_eq!(done.code, 0, "{done}");
    check("run", &done.stdout);
}
