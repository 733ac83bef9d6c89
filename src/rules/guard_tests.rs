use super::*;

fn guards(no_new_branch: bool) -> Guards {
    let protected = ["main", "release/*"].iter().map(|glob| glob.parse().unwrap()).collect();
    Guards { no_new_branch, no_push: true, protected, ..Guards::default() }
}

fn refs(all: &[(&str, &str)]) -> Refs {
    all.iter().map(|(name, value)| (format!("refs/heads/{name}"), (*value).to_owned())).collect()
}

fn line(to: &str, message: &str) -> LogLine {
    LogLine { from: "0".to_owned(), to: to.to_owned(), message: message.to_owned(), at: Some(1) }
}

fn walked(by: By, began: &str, at: &str, log: Option<Vec<LogLine>>) -> Walked {
    let full = |name: &str| (!name.is_empty()).then(|| format!("refs/heads/{name}"));
    let been = log.iter().flatten().map(|line| line.to.clone()).collect();
    Walked { by, began: full(began), at: full(at), log, whole: true, been }
}

/// A checkout of the person's, on `main` all the time.
fn person(log: Option<Vec<LogLine>>) -> Walked {
    walked(By::Person, "main", "main", log)
}

/// The agent's.
fn own(at: &str, log: Vec<LogLine>) -> Walked {
    walked(By::Agent, "own", at, Some(log))
}

fn one(value: &str) -> BTreeSet<String> {
    [value.to_owned()].into()
}

/// What is said of the only suspect.
fn whose(
    no_new_branch: bool,
    before: &[(&str, &str)],
    after: &[(&str, &str)],
    facts: &Facts,
) -> Option<Whose> {
    let guards = guards(no_new_branch);
    let suspects = suspects(&guards, "own", &BTreeSet::new(), &refs(before), &refs(after));
    assert_eq!(suspects.len(), 1, "{suspects:?}");
    judge(&guards, "own", &suspects, facts).first().map(|finding| finding.whose)
}

#[test]
fn only_what_is_guarded_is_suspect() {
    let before = refs(&[("main", "1"), ("own", "1"), ("other", "1"), ("agents/b", "1"), ("gone", "1")]);
    let mut after = refs(&[
        ("main", "1"),
        ("own", "2"),
        ("other", "2"),
        ("agents/b", "2"),
        ("agents/c", "2"),
        ("new", "2"),
        ("release/1", "2"),
    ]);
    after.insert("refs/stash".into(), "9".into());
    after.insert("refs/ai_orch/rescue/x/1".into(), "9".into());
    after.insert("refs/remotes/origin/main".into(), "9".into());
    after.insert("refs/tags/main".into(), "9".into());
    let theirs = ["refs/heads/agents/b", "refs/heads/agents/c"].map(str::to_owned).into();
    let names = |no_new_branch| -> Vec<String> {
        let suspects = suspects(&guards(no_new_branch), "own", &theirs, &before, &after);
        suspects.into_iter().map(|change| short(&change.name).to_owned()).collect()
    };
    assert_eq!(names(false), ["release/1"]);
    assert_eq!(names(true), ["gone", "new", "release/1"]);
    assert!(!is_protected(&guards(false), "main", "refs/heads/main"), "it was given that branch");
}

/// Branches with their values, before and after.
type Both = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);

const MOVED: Both = (&[("main", "1")], &[("main", "2")]);
const MADE: Both = (&[], &[("new", "2")]);
const DELETED: Both = (&[("main", "1")], &[]);

/// Asserts what each of `rows` says of the same change.
fn rows<const N: usize>((before, after): Both, rows: [(&str, Facts, Option<Whose>); N]) {
    for (what, facts, expected) in rows {
        assert_eq!(whose(true, before, after, &facts), expected, "{what}");
    }
}

fn of(walked: impl Into<Vec<Walked>>) -> Facts {
    Facts { walked: walked.into(), ..Facts::default() }
}

fn to_two(name: &str) -> BTreeSet<(String, String)> {
    [(format!("refs/heads/{name}"), "2".to_owned())].into()
}

#[test]
fn what_people_do_in_their_checkouts_is_theirs() {
    let main = || one("refs/heads/main");
    for message in
        ["commit: x", "pull: Fast-forward", "reset: moving to HEAD~1", "rebase (finish): returning"]
    {
        let facts = of([person(Some(vec![line("2", message)]))]);
        assert_eq!(whose(false, MOVED.0, MOVED.1, &facts), None, "{message}");
        // That another checkout came to it is enough, and one that came meanwhile may be the person's.
        let facts = of([walked(By::Anybody, "", "main", Some(vec![line("2", message)]))]);
        assert_eq!(whose(false, MOVED.0, MOVED.1, &facts), None, "{message} elsewhere");
    }
    let took = || vec![line("2", "merge own: Fast-forward")];
    rows(
        MOVED,
        [
            ("fetched", Facts { fetched: main(), ..Facts::default() }, None),
            (
                "fetched under a checkout",
                Facts { fetched: main(), unused: main(), ..of([person(Some(vec![]))]) },
                None,
            ),
            ("ai_orch merge", Facts { merged: to_two("main"), holds: one("2"), ..Facts::default() }, None),
            // They may have merged what the agent made, or the agent went to their checkout.
            ("merged", Facts { holds: one("2"), ..of([person(Some(took()))]) }, Some(Whose::Unclear)),
            (
                "merged elsewhere",
                Facts { holds: one("2"), ..of([walked(By::Anybody, "", "main", Some(took()))]) },
                Some(Whose::Unclear),
            ),
            // What another agent does to it is for its own keeper to say; that it was at the commit before is nothing.
            ("a fellow did", of([walked(By::Fellow, "main", "main", Some(took()))]), None),
            (
                "a fellow was there",
                of([walked(By::Fellow, "kid", "kid", Some(took()))]),
                Some(Whose::Unclear),
            ),
            (
                "merged into another one",
                Facts { merged: to_two("x"), ..Facts::default() },
                Some(Whose::Unclear),
            ),
        ],
    );
    let switched = || vec![line("1", "checkout: moving from main to new")];
    rows(
        MADE,
        [
            ("switched", of([person(Some(switched()))]), None),
            ("a worktree that came", of([walked(By::Anybody, "", "new", Some(vec![]))]), None),
            ("both went there", of([person(Some(switched())), own("own", switched())]), None),
            (
                "both went there when it was made",
                Facts {
                    created: [("refs/heads/new".to_owned(), 1)].into(),
                    ..of([person(Some(switched())), own("own", switched())])
                },
                Some(Whose::Unclear),
            ),
            ("by a name", of([person(Some(vec![]))]), Some(Whose::Unclear)),
            ("ai_orch merge", Facts { merged: to_two("new"), ..Facts::default() }, None),
        ],
    );
    assert_eq!(whose(true, &[("topic", "1")], &[], &of([])), None, "deleting makes no branch");
}

#[test]
fn only_proof_of_who_did_it_lets_a_move_be_undone() {
    let main = || one("refs/heads/main");
    let silent = || person(Some(vec![]));
    let behind = || Facts { unused: main(), ..of([silent()]) };
    let made = |facts: Facts| Facts { hold_made: one("2"), holds: one("2"), ..facts };
    let there = || {
        own(
            "own",
            vec![
                line("1", "checkout: moving from own to main"),
                line("2", "commit: x"),
                line("9", "checkout: moving from main to own"),
            ],
        )
    };
    let reset = || Facts { from_head: main(), ..of([Walked { been: one("2"), ..own("own", vec![]) }]) };
    rows(
        MOVED,
        [
            ("behind a back", behind(), Some(Whose::Agent)),
            ("in company", Facts { company: true, ..behind() }, Some(Whose::SomeAgent)),
            ("in company, with its commits", Facts { company: true, ..made(behind()) }, Some(Whose::Agent)),
            ("its index was used", of([silent()]), Some(Whose::Unclear)),
            ("no log", Facts { unused: main(), ..of([person(None)]) }, Some(Whose::Unclear)),
            (
                "some of the log is forgotten",
                Facts { unused: main(), ..of([Walked { whole: false, ..silent() }]) },
                Some(Whose::Unclear),
            ),
            ("no log, its commits", made(of([person(None)])), Some(Whose::Unclear)),
            (
                "it was used before",
                Facts { unused: main(), ..of([person(Some(vec![line("8", "commit: x")]))]) },
                Some(Whose::Unclear),
            ),
            (
                "a second one stands there",
                Facts { unused: main(), ..of([silent(), walked(By::Anybody, "", "main", Some(vec![]))]) },
                Some(Whose::Unclear),
            ),
            ("somebody else looks", Facts { taken_over: true, ..behind() }, Some(Whose::Unclear)),
            ("it went there and did it", of([there()]), Some(Whose::Agent)),
            (
                "it did it without going",
                of([walked(By::Agent, "own", "main", Some(vec![line("2", "commit: x")]))]),
                Some(Whose::Agent),
            ),
            ("and somebody else looks", Facts { taken_over: true, ..of([there()]) }, Some(Whose::Agent)),
            ("and somebody stands there", of([there(), silent()]), Some(Whose::Likely)),
            ("in the checkout of a person", Facts { shared: true, ..of([there()]) }, Some(Whose::Likely)),
            (
                "it only went there",
                of([own("own", vec![line("2", "checkout: moving from own to main")])]),
                Some(Whose::Unclear),
            ),
            ("reset to its HEAD", reset(), Some(Whose::Agent)),
            (
                "or to that of another",
                Facts {
                    walked: [reset().walked, vec![person(Some(vec![line("2", "commit: x")]))]].concat(),
                    ..reset()
                },
                None,
            ),
            (
                "that was there before",
                Facts {
                    walked: [
                        reset().walked,
                        vec![Walked { been: one("2"), ..walked(By::Person, "x", "x", Some(vec![])) }],
                    ]
                    .concat(),
                    ..reset()
                },
                Some(Whose::Unclear),
            ),
            (
                "or to one that does not tell",
                Facts {
                    walked: [reset().walked, vec![walked(By::Person, "x", "x", None)]].concat(),
                    ..reset()
                },
                Some(Whose::Unclear),
            ),
            ("reset, and somebody else looks", Facts { taken_over: true, ..reset() }, Some(Whose::Unclear)),
            ("its commits", made(of([])), Some(Whose::Likely)),
            ("a checkout has gone", Facts { left: true, ..behind() }, Some(Whose::Unclear)),
            ("reset, and a checkout has gone", Facts { left: true, ..reset() }, Some(Whose::Unclear)),
            (
                "a commit in a checkout that nobody knows",
                Facts { by_checkout: main(), ..behind() },
                Some(Whose::Unclear),
            ),
            (
                "it did something else, and went there later",
                of([walked(
                    By::Agent,
                    "own",
                    "main",
                    Some(vec![line("2", "commit: x"), line("2", "checkout: moving from own to main")]),
                )]),
                Some(Whose::Unclear),
            ),
            ("nothing", of([]), Some(Whose::Unclear)),
        ],
    );
}

#[test]
fn a_branch_is_the_agents_if_it_went_there_or_made_it_where_nobody_else_was() {
    let name = || one("refs/heads/new");
    let from_head = || Facts { from_head: name(), ..of([Walked { been: one("2"), ..own("own", vec![]) }]) };
    let peek = || walked(By::Anybody, "", "new", Some(vec![]));
    let made = |facts: Facts| Facts { hold_made: one("2"), ..facts };
    let created = |at, facts: Facts| Facts { created: [("refs/heads/new".to_owned(), at)].into(), ..facts };
    let went = || of([own("own", vec![line("2", "checkout: moving from own to new")])]);
    rows(
        MADE,
        [
            ("at", of([own("new", vec![])]), Some(Whose::Unclear)),
            ("made in going there", created(1, went()), Some(Whose::Agent)),
            ("made before", created(-100, went()), Some(Whose::Unclear)),
            ("fetched before", went(), Some(Whose::Unclear)),
            (
                "renamed",
                of([own("x", vec![line("2", "Branch: renamed refs/heads/own to refs/heads/new")])]),
                Some(Whose::Agent),
            ),
            (
                "in the checkout of a person",
                Facts { shared: true, ..created(1, went()) },
                Some(Whose::Likely),
            ),
            ("from its HEAD", from_head(), Some(Whose::Agent)),
            (
                "somebody stands there",
                Facts { walked: [from_head().walked, vec![peek()]].concat(), ..from_head() },
                Some(Whose::Likely),
            ),
            ("filled", made(of([])), Some(Whose::Likely)),
            ("filled in another checkout", made(of([peek()])), Some(Whose::Likely)),
            ("and a checkout has gone", Facts { left: true, ..from_head() }, Some(Whose::Unclear)),
        ],
    );
}

#[test]
fn a_deletion_is_an_agents_only_behind_a_back_or_by_renaming() {
    let behind = || Facts { unused: one("refs/heads/main"), ..of([person(Some(vec![]))]) };
    let renamed = |by| {
        walked(by, "main", "x", Some(vec![line("1", "Branch: renamed refs/heads/main to refs/heads/x")]))
    };
    rows(
        DELETED,
        [
            ("nobody deletes what they stand on", behind(), Some(Whose::Agent)),
            ("in company", Facts { company: true, ..behind() }, Some(Whose::SomeAgent)),
            ("its index was used", of([person(Some(vec![]))]), Some(Whose::Unclear)),
            ("renamed", of([renamed(By::Agent)]), Some(Whose::Agent)),
            ("renamed by a person", of([renamed(By::Person)]), None),
            ("a checkout has gone", Facts { left: true, ..behind() }, Some(Whose::Unclear)),
        ],
    );
}

#[test]
fn a_line_of_a_log_tells_whether_a_commit_was_made() {
    for (message, makes) in [
        ("commit: x", true),
        ("commit (amend): x", true),
        ("commit (initial): x", true),
        ("commit (merge): x", true),
        ("commit: x: fast-forward", true),
        ("rebase (pick): x", true),
        ("rebase (pick): fast-forward", false),
        ("rebase (reword): x", true),
        ("rebase (start): checkout origin/main", false),
        ("rebase (finish): returning to refs/heads/x", false),
        ("rebase: fast-forward", false),
        ("cherry-pick: x", true),
        ("cherry-pick: fast-forward", false),
        ("revert: x", true),
        ("am: x", true),
        ("merge main: Merge made by the 'ort' strategy.", true),
        ("merge main: Fast-forward", false),
        ("pull: Merge made by the 'ort' strategy.", true),
        ("pull: Fast-forward", false),
        ("pull --rebase (start): checkout 1", false),
        ("checkout: moving from a to b", false),
        ("reset: moving to HEAD", false),
        ("", false),
    ] {
        assert_eq!(line("1", message).makes(), makes, "{message}");
    }
}

#[test]
fn what_reaches_a_remote_is_the_agents_if_it_holds_its_commits() {
    let before = refs(&[("main", "1"), ("old", "1")]);
    let after = |more: &[(&str, &str)]| {
        let mut after = before.clone();
        after.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        after
    };
    let local: Refs = [
        ("refs/heads/topic", "3"),
        ("refs/heads/own", "2"),
        ("refs/remotes/origin/seen", "4"),
        ("refs/remotes/origin/sent", "4"),
        ("refs/remotes/origin/old", "0"),
    ]
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .into();
    let (known, hold) = (["0", "2", "3", "4"].map(str::to_owned).into(), one("2"));
    let fetched = ["seen", "old"].map(|name| format!("refs/remotes/origin/{name}")).into();
    let rewound = one("refs/heads/old");
    let said = |guards: &Guards, before: Option<&Refs>, after: &Refs| -> Vec<(Deed, Whose, Option<String>)> {
        let remote = Remote {
            name: "origin",
            before,
            after,
            known: &known,
            hold: &hold,
            rewound: &rewound,
            refs: &local,
            fetched: &fetched,
        };
        let findings = judge_remote(guards, "own", &remote);
        findings.into_iter().map(|f| (f.deed, f.whose, f.command)).collect()
    };
    let no_push = guards(false);
    let pushed = said(&no_push, Some(&before), &after(&[("refs/heads/own", "2")]));
    let command = "git push --force-with-lease=refs/heads/own:2 origin :refs/heads/own".to_owned();
    assert_eq!(pushed, [(Deed::Pushed, Whose::Agent, Some(command))]);
    let moved = said(&no_push, Some(&before), &after(&[("refs/heads/main", "2")]));
    let command = "git push --force-with-lease=refs/heads/main:2 origin 1:refs/heads/main".to_owned();
    assert_eq!(moved, [(Deed::Pushed, Whose::Agent, Some(command))]);
    for (what, more) in [
        ("somebody else's, from elsewhere", ("refs/heads/main", "9")),
        ("the person's own branch", ("refs/heads/topic", "3")),
        ("what was fetched from there", ("refs/heads/seen", "4")),
    ] {
        assert_eq!(said(&no_push, Some(&before), &after(&[more])), [], "{what}");
    }
    for (what, more) in [
        ("an old commit under a new name", ("refs/heads/x", "3")),
        ("what was seen of it at a push", ("refs/heads/sent", "4")),
        ("taken back to what it was, and fetched since", ("refs/heads/old", "0")),
    ] {
        let unclear = said(&no_push, Some(&before), &after(&[more]));
        assert_eq!(
            unclear.iter().map(|(_, whose, _)| *whose).collect::<Vec<_>>(),
            [Whose::Unclear],
            "{what}"
        );
    }
    let remote_gone: Refs = [("refs/heads/main".to_owned(), "1".to_owned())].into();
    let finding = Change { name: "refs/heads/old".into(), from: Some("1".into()), to: None };
    assert_eq!(said(&no_push, Some(&before), &remote_gone).len(), 1);
    let told = told(&found(Deed::Pushed, Some("origin"), &finding, Whose::Unclear));
    assert!(told.starts_with("old of origin, which was at 1, is gone; it is not certain by whom"), "{told}");
    // Of a remote that could not be asked before, only the agent's own commits tell.
    assert_eq!(said(&no_push, None, &after(&[("refs/heads/x", "3")])), []);
    assert_eq!(said(&no_push, None, &after(&[("refs/heads/x", "2")])).len(), 1);
    let no_pr = Guards { no_new_pr: true, ..Guards::default() };
    let opened = said(&no_pr, Some(&before), &after(&[("refs/pull/7/head", "2"), ("refs/heads/own", "2")]));
    assert_eq!(opened, [(Deed::OpenedPr, Whose::Agent, Some("gh pr close 7".to_owned()))]);
    assert_eq!(said(&no_pr, Some(&before), &after(&[("refs/pull/7/head", "3")])), [], "of other commits");
}

#[test]
fn a_finding_is_one_line_with_what_to_type() {
    let change = |from: Option<&str>, to: Option<&str>| Change {
        name: "refs/heads/a'b".into(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    for (deed, change, whose, said) in [
        (
            Deed::Moved,
            change(Some("1"), Some("2")),
            Whose::Unclear,
            r#"a'b, which is protected, was moved from 1 to 2; it is not certain by whom; to undo it: git update-ref "refs/heads/a'b" 1 2"#,
        ),
        (
            Deed::Made,
            change(None, Some("2")),
            Whose::Agent,
            r#"it made the branch a'b at 2; to undo it: git update-ref -d "refs/heads/a'b" 2"#,
        ),
        (
            Deed::Deleted,
            change(Some("1"), None),
            Whose::SomeAgent,
            r#"an agent deleted a'b, which was at 1, and more than one was at work; to undo it: git update-ref "refs/heads/a'b" 1 0"#,
        ),
        (
            Deed::Made,
            change(None, Some("2")),
            Whose::Likely,
            r#"the branch a'b was made at 2, with what the agent made, and so most likely by it; to undo it: git update-ref -d "refs/heads/a'b" 2"#,
        ),
        (
            Deed::Moved,
            change(Some("ref:refs/heads/trunk-and-more"), Some("2")),
            Whose::Unclear,
            r#"a'b, which is protected, was moved from trunk-and-more to 2; it is not certain by whom; to undo it: git symbolic-ref "refs/heads/a'b" refs/heads/trunk-and-more"#,
        ),
        (
            Deed::Moved,
            change(Some("1"), Some("ref:refs/heads/x")),
            Whose::Unclear,
            r#"a'b, which is protected, was moved from 1 to x; it is not certain by whom; to undo it: git update-ref --no-deref "refs/heads/a'b" 1"#,
        ),
    ] {
        assert_eq!(told(&found(deed, None, &change, whose)), said);
    }
    let mut undone = found(Deed::Moved, None, &change(Some("1"), Some("2")), Whose::Agent);
    (undone.fate, undone.kept, undone.command) = (Fate::PutBack, Some("refs/x".into()), None);
    let text = "it moved a'b, which is protected, from 1 to 2; that is undone, and kept as refs/x";
    assert_eq!(reason([&undone].into_iter()).unwrap(), text);
    assert_eq!(
        reason([&undone, &undone].into_iter()).unwrap(),
        format!("{text} (and 1 more: see ai_orch show)")
    );
    assert_eq!(reason(std::iter::empty()), None);
}
