//! Table of how attempts end and what that is called.

use super::super::heard::Finished;
use super::*;
use crate::model::event::Event;
use proptest::prelude::*;

fn heard(events: &[Event]) -> Heard {
    let mut heard = Heard::default();
    for event in events {
        heard.hear(event);
    }
    heard
}

fn message(text: &str) -> Event {
    Event::Message { text: text.into() }
}

fn ok() -> Event {
    Event::Finished { ok: true, text: String::new(), trouble: None }
}

fn bad(trouble: Trouble) -> Event {
    Event::Finished { ok: false, text: String::new(), trouble: Some(trouble) }
}

fn said(message: &str) -> Trouble {
    Trouble { message: message.into(), ..Trouble::default() }
}

fn denied(name: &str) -> Event {
    Event::Denied { name: name.into(), detail: String::new() }
}

const fn facts(heard: &Heard) -> AttemptFacts<'_> {
    AttemptFacts {
        task: TaskKind::Prompt,
        format: Format::Claude,
        permissions: Permissions::Work,
        end: End::Exited(0),
        stop: None,
        heard,
        changed: Some(true),
        stderr: &[],
        rules: &[],
    }
}

#[track_caller]
fn fails(facts: &AttemptFacts<'_>, class: Class, message: &str) {
    match outcome(facts) {
        Outcome::Failed(failure) => assert_eq!((failure.class, failure.message.as_str()), (class, message)),
        other => panic!("{other:?} instead of {class}: {message}"),
    }
}

#[test]
fn a_json_cli_is_done_only_if_it_says_so() {
    let well = heard(&[message("hi"), ok()]);
    assert_eq!(outcome(&facts(&well)), Outcome::Done);
    let silent = heard(&[message("hi")]);
    fails(&facts(&silent), Class::Crash, "ended with exit code 0, but without a result");
    fails(
        &AttemptFacts { end: End::Exited(3), ..facts(&well) },
        Class::Crash,
        "said that it was done, but ended with exit code 3",
    );
    assert_eq!(
        outcome(&AttemptFacts { end: End::Signaled(15), stop: Some(StopCause::Lingered), ..facts(&well) }),
        Outcome::Done,
        "we ended it because it did not go"
    );
}

#[test]
fn done_without_doing_anything_is_a_failure() {
    let answered = heard(&[message("the answer is 4"), ok()]);
    assert_eq!(outcome(&AttemptFacts { changed: Some(false), ..facts(&answered) }), Outcome::Done);
    let mute = heard(&[ok()]);
    fails(
        &AttemptFacts { changed: Some(false), ..facts(&mute) },
        Class::Empty,
        "ended without an answer and without a change",
    );
    assert_eq!(
        outcome(&AttemptFacts { changed: None, ..facts(&mute) }),
        Outcome::Done,
        "unknown proves nothing"
    );
    let refused = heard(&[denied("Write"), denied("Bash"), denied("Write"), message("I could not"), ok()]);
    fails(
        &AttemptFacts { changed: Some(false), ..facts(&refused) },
        Class::Refused,
        "changed nothing, because it was not allowed to use Write, Bash",
    );
    assert_eq!(outcome(&facts(&refused)), Outcome::Done, "it found another way");
    assert_eq!(
        outcome(&AttemptFacts { changed: Some(false), permissions: Permissions::Read, ..facts(&refused) }),
        Outcome::Done,
        "read permissions ask for an answer, not for a change"
    );
}

#[test]
fn its_own_word_about_a_failure_counts_whatever_the_exit_code() {
    let blocked = heard(&[bad(said("the model response was blocked"))]);
    let rules = [FailureRule {
        class: Class::Empty,
        text: vec!["blocked".into()],
        status: vec![],
        code: vec![],
        exit: vec![],
    }];
    fails(&AttemptFacts { rules: &rules, ..facts(&blocked) }, Class::Empty, "the model response was blocked");
    fails(
        &AttemptFacts { end: End::Exited(1), ..facts(&blocked) },
        Class::Unknown,
        "the model response was blocked",
    );
    let bare = heard(&[bad(Trouble { status: Some(503), ..Trouble::default() })]);
    fails(&facts(&bare), Class::Overloaded, "failed with HTTP status 503");
    let window = Trouble { resets_at: Some(9), ..said("usage limit reached") };
    match outcome(&facts(&heard(&[bad(window)]))) {
        Outcome::Failed(failure) => assert_eq!((failure.class, failure.resets_at), (Class::Quota, Some(9))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_end_without_a_word_is_read_from_stderr_exit_code_and_last_trouble() {
    let nothing = Heard::default();
    let stderr: Vec<String> =
        ["first", "Error: quota exceeded for today", "  at main.js:1", ""].map(str::to_owned).into();
    fails(
        &AttemptFacts { end: End::Exited(1), stderr: &stderr, ..facts(&nothing) },
        Class::Quota,
        "Error: quota exceeded for today: ended with exit code 1",
    );
    let rules =
        [FailureRule { class: Class::Auth, text: vec![], status: vec![], code: vec![], exit: vec![41] }];
    let odd = ["something odd".to_owned()];
    fails(
        &AttemptFacts { end: End::Exited(41), rules: &rules, stderr: &odd, ..facts(&nothing) },
        Class::Auth,
        "ended with exit code 41: something odd",
    );
    let busy = heard(&[Event::Retrying(Trouble { status: Some(429), ..said("slow down") })]);
    fails(
        &AttemptFacts { end: End::Exited(1), ..facts(&busy) },
        Class::RateLimit,
        "ended with exit code 1 while retrying: slow down",
    );
    fails(
        &AttemptFacts { end: End::Signaled(9), stderr: &odd, ..facts(&nothing) },
        Class::Crash,
        "was ended by signal 9 (KILL, as when memory is short): something odd",
    );
    fails(&AttemptFacts { end: End::Unseen, ..facts(&nothing) }, Class::Unknown, "nobody saw how it ended");
}

#[test]
fn a_text_agent_is_judged_by_its_exit_code() {
    let nothing = Heard::default();
    let script = AttemptFacts {
        task: TaskKind::Script,
        format: Format::Text,
        changed: Some(false),
        ..facts(&nothing)
    };
    assert_eq!(outcome(&script), Outcome::Done);
    for (code, class, line, says) in [
        (1, Class::Crash, "make: *** [all] Error 2", "ended with exit code 1: make: *** [all] Error 2"),
        (127, Class::Crash, "sh: foo: not found", "ended with exit code 127: sh: foo: not found"),
        (1, Class::RateLimit, "429 Too Many Requests", "429 Too Many Requests: ended with exit code 1"),
    ] {
        let stderr = [line.to_owned()];
        fails(&AttemptFacts { end: End::Exited(code), stderr: &stderr, ..script.clone() }, class, says);
    }
    fails(
        &AttemptFacts { end: End::NotStarted("foo: no such file".into()), ..script.clone() },
        Class::MissingCli,
        "could not be started: foo: no such file",
    );
    let prompt = AttemptFacts { task: TaskKind::Prompt, ..script };
    fails(&prompt, Class::Empty, "ended without an answer and without a change");
    let spoke = heard(&[Event::Line { text: "hello".into() }]);
    assert_eq!(outcome(&AttemptFacts { heard: &spoke, ..prompt }), Outcome::Done);
}

#[test]
fn why_we_stopped_it_is_the_reason() {
    let busy = heard(&[Event::Retrying(Trouble { status: Some(529), ..said("overloaded") })]);
    for (stop, class, says) in [
        (
            StopCause::Timeout(Duration::from_mins(30)),
            Class::Timeout,
            "not done within 30 min; it was retrying: overloaded",
        ),
        (
            StopCause::Stalled(Duration::from_hours(2)),
            Class::Stalled,
            "printed nothing for 2 h; it was retrying: overloaded",
        ),
        (
            StopCause::GaveUp(Trouble { status: Some(529), ..said("overloaded") }),
            Class::Overloaded,
            "only retried, so the next agent CLI gets its turn: overloaded",
        ),
        (
            StopCause::Budget { spent_usd: 2.0, allowed_usd: 1.5 },
            Class::Budget,
            "spent 2.00 of 1.50 US dollars allowed",
        ),
    ] {
        // gemini ends with 0 when it is terminated.
        for end in [End::Exited(0), End::Exited(143), End::Signaled(15), End::Signaled(9), End::Unseen] {
            fails(&AttemptFacts { stop: Some(stop.clone()), end, ..facts(&busy) }, class, says);
        }
    }
    let well = heard(&[message("hi"), ok()]);
    let late = AttemptFacts { stop: Some(StopCause::Timeout(Duration::ZERO)), ..facts(&well) };
    assert_eq!(outcome(&late), Outcome::Done, "it was ready before the stop reached it");
    assert_eq!(outcome(&AttemptFacts { stop: Some(StopCause::Killed), ..facts(&well) }), Outcome::Killed);
    assert_eq!(
        outcome(&AttemptFacts { stop: Some(StopCause::Interrupted), ..facts(&busy) }),
        Outcome::Interrupted
    );
}

#[test]
fn messages_are_one_line_of_bearable_length() {
    assert_eq!(one_line(" a\n\tb \r\n"), "a b");
    assert_eq!(one_line(&"é".repeat(300)).chars().count(), 300);
    let long = one_line(&"é".repeat(301));
    assert_eq!((long.chars().count(), long.ends_with('…')), (300, true));
}

proptest! {
    #[test]
    fn a_failure_always_has_a_line_to_show(
        code in -5i32..200,
        text in any::<String>(),
        status in proptest::option::of(0u16..700),
        finished in proptest::option::of(any::<bool>()),
        changed in proptest::option::of(any::<bool>()),
    ) {
        let trouble = Trouble { status, ..said(&text) };
        let heard = Heard {
            finished: finished.map(|ok| Finished { ok, text: text.clone(), trouble: Some(trouble) }),
            ..Heard::default()
        };
        let stderr = [text];
        let facts = AttemptFacts { end: End::Exited(code), changed, stderr: &stderr, ..facts(&heard) };
        match outcome(&facts) {
            Outcome::Failed(failure) => {
                prop_assert!(failure.message.chars().count() <= LONGEST);
                prop_assert!(!failure.message.is_empty() && !failure.message.contains('\n'));
            }
            done => {
                prop_assert_eq!(done, Outcome::Done);
                prop_assert_eq!((code, finished), (0, Some(true)));
            }
        }
    }
}
