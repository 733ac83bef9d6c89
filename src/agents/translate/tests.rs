//! What single lines of each format become.

use super::*;

fn read(format: Format, lines: &[&str]) -> Vec<Event> {
    let mut translator = Translator::new(format);
    let mut events: Vec<Event> = lines.iter().flat_map(|l| translator.line(l.as_bytes())).collect();
    events.extend(translator.end());
    events
}

fn message(text: &str) -> Event {
    Event::Message { text: text.into() }
}

fn tool(name: &str, detail: &str) -> Event {
    Event::Tool { name: name.into(), detail: detail.into() }
}

fn done(ok: bool, detail: &str) -> Event {
    Event::ToolDone { ok, detail: detail.into() }
}

fn line(text: &str) -> Event {
    Event::Line { text: text.into() }
}

#[test]
fn text_is_kept_line_by_line() {
    assert_eq!(
        read(Format::Text, &["a\r\n", "", "{\"type\":\"x\"}"]),
        [line("a"), line(""), line("{\"type\":\"x\"}")]
    );
    let mut translator = Translator::new(Format::Text);
    assert_eq!(translator.line(b"a\xffb"), [line("a\u{fffd}b")]);
    assert_eq!(translator.stderr_line(b"oh no\n"), [line("oh no")]);
}

#[test]
fn what_is_not_of_the_format_is_a_line_and_what_is_new_is_passed_over() {
    for format in [Format::Claude, Format::Codex, Format::Gemini, Format::Cursor] {
        let events = read(
            format,
            &["npm warn", "", "[1]", "{\"a\":1}", "{\"type\":\"brand_new\",\"x\":1}", "{\"type\":"],
        );
        assert_eq!(
            events,
            [line("npm warn"), line("[1]"), line("{\"a\":1}"), line("{\"type\":")],
            "{format:?}"
        );
    }
}

#[test]
fn claude_says_a_denied_tool_once_and_with_what_it_wanted() {
    let events = read(
        Format::Claude,
        &[
            r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"rm x"}}]}}"#,
            r#"{"type":"system","subtype":"permission_denied","tool_name":"Bash","tool_use_id":"t1","message":"no"}"#,
            r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"no"}]}}"#,
            r#"{"is_error":false,"subtype":"success","result":"sorry","usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5},"total_cost_usd":0.5,"permission_denials":[{"tool_name":"Bash","tool_use_id":"t1","tool_input":{"command":"rm x"}},{"tool_name":"Write","tool_use_id":"t2","tool_input":{"file_path":"/a"}}],"type":"result"}"#,
        ],
    );
    let denied = |name: &str, detail: &str| Event::Denied { name: name.into(), detail: detail.into() };
    assert_eq!(
        events,
        [
            tool("Bash", "rm x"),
            denied("Bash", "rm x"),
            denied("Write", "/a"),
            Event::Usage(Usage { input_tokens: 7, output_tokens: 5, cost_usd: Some(0.5) }),
            Event::Finished { ok: true, text: "sorry".into(), trouble: None },
        ]
    );
}

#[test]
fn claude_errors_in_the_voice_of_the_agent_are_no_answer() {
    let events = read(
        Format::Claude,
        &[
            r#"{"type":"assistant","error":"rate_limit","message":{"content":[{"type":"text","text":"API Error"}]}}"#,
        ],
    );
    assert_eq!(events, [Event::Notice { text: "API Error".into() }]);
}

#[test]
fn totals_of_a_conversation_become_those_of_the_attempt() {
    let line = br#"{"type":"turn.completed","usage":{"input_tokens":6000,"output_tokens":170}}"#;
    let before = Usage { input_tokens: 3600, output_tokens: 102, cost_usd: None };
    let usage = |t: &mut Translator| match &t.line(line)[0] {
        Event::Usage(usage) => (usage.input_tokens, usage.output_tokens),
        other => panic!("{other:?}"),
    };
    assert_eq!(usage(&mut Translator::new(Format::Codex).after(before)), (2400, 68));
    let more = Usage { input_tokens: 9000, ..before };
    assert_eq!(usage(&mut Translator::new(Format::Codex).after(more)), (6000, 68), "it began to count anew");
    // gemini counts each run by itself.
    let mut gemini = Translator::new(Format::Gemini).after(before);
    let events = gemini
        .line(br#"{"type":"result","status":"success","stats":{"input_tokens":5000,"output_tokens":200}}"#);
    assert_eq!(events[0], Event::Usage(Usage { input_tokens: 5000, output_tokens: 200, cost_usd: None }));
}

#[test]
fn gemini_pieces_become_one_message_and_show_that_it_works() {
    let piece = |t: &str| format!(r#"{{"type":"message","role":"assistant","content":"{t}","delta":true}}"#);
    let mut gemini = Translator::new(Format::Gemini);
    assert_eq!(gemini.line(piece("He").as_bytes()), [Event::Writing]);
    assert_eq!(gemini.line(piece("llo").as_bytes()), []);
    let retry = gemini.stderr_line(b"Attempt 2 failed with status 503. Retrying with backoff... _ApiError: {\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}");
    assert_eq!(
        retry,
        [Event::Retrying(Trouble {
            status: Some(503),
            code: Some("UNAVAILABLE".into()),
            message: "The model is overloaded. (attempt 2)".into(),
            resets_at: None,
        })]
    );
    assert_eq!(
        gemini.line(piece("!").as_bytes()),
        [Event::Writing],
        "progress after the trouble is told again"
    );
    assert_eq!(
        gemini.line(br#"{"type":"tool_use","tool_name":"ls","parameters":{}}"#),
        [message("Hello!"), tool("ls", "")]
    );
    assert_eq!(gemini.line(piece("bye").as_bytes()), [Event::Writing]);
    assert_eq!(gemini.end(), [message("bye")]);
    assert_eq!(gemini.end(), []);
    for noise in ["Attempt x failed", "Attempted 1 failed", "YOLO mode is enabled.", ""] {
        assert_eq!(gemini.stderr_line(noise.as_bytes()), [], "{noise}");
    }
}

#[test]
fn codex_items_begin_and_end_and_a_lost_error_is_not_lost() {
    let events = read(
        Format::Codex,
        &[
            r#"{"type":"item.completed","item":{"id":"1","type":"web_search","query":"rust"}}"#,
            r#"{"type":"item.started","item":{"id":"2","type":"command_execution","command":"ls","status":"in_progress","exit_code":null}}"#,
            r#"{"type":"item.completed","item":{"id":"2","type":"command_execution","command":"ls","aggregated_output":"a\n","status":"failed","exit_code":2}}"#,
            r#"{"type":"error","message":"Reconnecting... 1/5 (unexpected status 503 Service Unavailable: x)"}"#,
            r#"{"type":"error","message":"unexpected status 503 Service Unavailable: x"}"#,
        ],
    );
    let trouble = |text: &str| Trouble { status: Some(503), message: text.into(), ..Trouble::default() };
    assert_eq!(
        events,
        [
            tool("web_search", "rust"),
            done(true, ""),
            tool("shell", "ls"),
            done(false, "a"),
            Event::Retrying(trouble("Reconnecting... 1/5 (unexpected status 503 Service Unavailable: x)")),
            Event::Finished {
                ok: false,
                text: String::new(),
                trouble: Some(trouble("unexpected status 503 Service Unavailable: x")),
            },
        ]
    );
}

#[test]
fn cursor_as_documented() {
    let events = read(
        Format::Auto,
        &[
            r#"{"type":"system","subtype":"init","apiKeySource":"login","cwd":"/r","session_id":"c1","model":"Auto","permissionMode":"default"}"#,
            r#"{"type":"user","message":{"role":"user","content":[{"type":"text","text":"do"}]},"session_id":"c1"}"#,
            r#"{"type":"thinking","subtype":"delta","text":"hm"}"#,
            r#"{"type":"thinking","subtype":"delta","text":"m"}"#,
            r#"{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"I will"}]}}"#,
            r#"{"type":"tool_call","subtype":"started","call_id":"1","tool_call":{"shellToolCall":{"args":{"command":"ls"}}}}"#,
            r#"{"type":"tool_call","subtype":"completed","call_id":"1","tool_call":{"shellToolCall":{"args":{"command":"ls"},"result":{"success":{"exitCode":1,"stdout":"a","stderr":""}}}}}"#,
            r#"{"type":"tool_call","subtype":"completed","call_id":"2","tool_call":{"writeToolCall":{"args":{"path":"x"},"result":{"rejected":{}}}}}"#,
            r#"{"type":"result","subtype":"success","is_error":false,"duration_ms":1,"result":"done","session_id":"c1"}"#,
        ],
    );
    assert_eq!(
        events,
        [
            Event::Session { id: "c1".into(), model: Some("Auto".into()) },
            Event::Thinking { text: "hmm".into() },
            message("I will"),
            tool("shell", "ls"),
            done(false, "a"),
            Event::Denied { name: "write".into(), detail: "x".into() },
            Event::Finished { ok: true, text: "done".into(), trouble: None },
        ]
    );
}

#[test]
fn the_status_is_found_in_the_words_of_vendors() {
    for (text, status) in [
        ("exceeded retry limit, last status: 429 Too Many Requests", Some(429)),
        ("unexpected status 401 Unauthorized: x", Some(401)),
        ("status 4012", None),
        ("status 200 then status 500", Some(500)),
        ("the status of things", None),
        ("status 50", None),
    ] {
        assert_eq!(trouble(text).status, status, "{text}");
    }
    let body = trouble(
        r#"[API Error: {"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
    );
    assert_eq!(
        (body.status, body.code.as_deref(), body.message.as_str()),
        (Some(400), Some("API_KEY_INVALID"), "no")
    );
}

#[test]
fn long_tool_input_is_cut_between_characters() {
    let input = serde_json::json!({ "command": "é".repeat(1000) });
    let gist = gist(input.as_object().unwrap());
    assert_eq!(gist.chars().count(), DETAIL + 1);
}
