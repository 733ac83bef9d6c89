use super::*;

fn guards(no_new_branch: bool) -> Guards {
    let protected = ["main", "release/*"].iter().map(|glob| glob.parse().unwrap()).collect();
    Guards { no_new_branch, no_push: true, protected, ..Guards::default() }
}

fn refs(all: &[(&str, &str)]) -> Refs {
    all.iter().map(|(name, value)| (format!("refs/heads/{name}"), (*value).to_owned())).collect()
}

fn line(to: &str, message: &str) -> LogLine {
    LogLine { to: to.to_owned(), message: message.to_owned() }
}

/// A checkout of the person's, on `main` all the time.
fn person(log: Option<Vec<LogLine>>) -> Walked {
    let main = Some("refs/heads/main".to_owned());
    Walked { by: By::Other, stood_on: main.clone(), at: main, log }
}

fn own(at: &str, log: Vec<LogLine>) -> Walked {
    Walked { by: By::Agent, stood_on: None, at: Some(format!("refs/heads/{at}")), log: Some(log) }
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

#[test]
fn what_people_do_in_their_checkouts_is_theirs() {
    let (before, after) = (&[("main", "1")][..], &[("main", "2")][..]);
    for message in
        ["commit: x", "pull: Fast-forward", "reset: moving to HEAD~1", "rebase (finish): returning"]
    {
        let facts = Facts { walked: vec![person(Some(vec![line("2", message)]))], ..Facts::default() };
        assert_eq!(whose(false, before, after, &facts), None, "{message}");
    }
    let fetched = Facts { fetched: one("refs/heads/main"), ..Facts::default() };
    assert_eq!(whose(false, before, after, &fetched), None);
    let merged = Facts { merged: one("2"), hold: one("2"), ..Facts::default() };
    assert_eq!(whose(false, before, after, &merged), None, "ai_orch merge");
    // They may have merged what the agent made, or the agent went to their checkout.
    let facts = Facts {
        walked: vec![person(Some(vec![line("2", "merge own: Fast-forward")]))],
        hold_made: one("2"),
        hold: one("2"),
        ..Facts::default()
    };
    assert_eq!(whose(false, before, after, &facts), Some(Whose::Unclear));
    // A branch that is checked out nowhere may be moved by anybody.
    let (before, after) = (&[("release/1", "1")][..], &[("release/1", "2")][..]);
    let facts = Facts { walked: vec![person(Some(vec![]))], ..Facts::default() };
    assert_eq!(whose(false, before, after, &facts), Some(Whose::Unclear));
    assert_eq!(whose(false, before, &[], &facts), Some(Whose::Unclear));
    // In a checkout that was not there before, an agent may stand as well.
    let anybodys = Walked { by: By::Anybody, ..person(Some(vec![line("2", "commit: x")])) };
    let facts_of = |walked| Facts { walked: vec![walked], ..Facts::default() };
    assert_eq!(whose(false, &[("main", "1")], &[("main", "2")], &facts_of(anybodys)), Some(Whose::Unclear));
    let switched = Facts {
        walked: vec![person(Some(vec![line("1", "checkout: moving from main to topic")]))],
        ..Facts::default()
    };
    assert_eq!(whose(true, &[], &[("topic", "1")], &switched), None);
    assert_eq!(whose(true, &[], &[("topic", "1")], &facts), Some(Whose::Unclear));
    assert_eq!(whose(true, &[("topic", "1")], &[], &facts), None, "deleting makes no branch");
}

#[test]
fn what_can_only_be_an_agents_is() {
    let (before, after) = (&[("main", "1")][..], &[("main", "2")][..]);
    let behind = Facts { walked: vec![person(Some(vec![]))], ..Facts::default() };
    assert_eq!(whose(false, before, after, &behind), Some(Whose::Agent));
    assert_eq!(whose(false, before, &[], &behind), Some(Whose::Agent), "nobody deletes what they stand on");
    let company = Facts { company: true, ..behind.clone() };
    assert_eq!(whose(false, before, after, &company), Some(Whose::SomeAgent));
    let blind = Facts { walked: vec![person(None)], ..Facts::default() };
    assert_eq!(whose(false, before, after, &blind), Some(Whose::Unclear), "no log tells of the checkout");
    let holds = Facts { hold: one("2"), ..company.clone() };
    assert_eq!(whose(false, before, after, &holds), Some(Whose::Agent), "its commits tell which agent");
    let tried = Facts { refused: one("refs/heads/main"), ..company };
    assert_eq!(whose(false, before, after, &tried), Some(Whose::Agent), "it was refused that before");
}

#[test]
fn a_branch_is_the_agents_if_it_stands_there_filled_it_or_wrote_it_by_hand() {
    let after = &[("new", "2")][..];
    let person = person(Some(vec![]));
    for (what, facts) in [
        ("at", Facts { walked: vec![own("new", vec![])], ..Facts::default() }),
        (
            "was at",
            Facts {
                walked: vec![own("own", vec![line("2", "checkout: moving from own to new")])],
                ..Facts::default()
            },
        ),
        (
            "renamed",
            Facts {
                walked: vec![own("x", vec![line("2", "Branch: renamed refs/heads/own to refs/heads/new")])],
                ..Facts::default()
            },
        ),
        ("filled", Facts { hold: one("2"), ..Facts::default() }),
        ("refused", Facts { refused: one("refs/heads/new"), ..Facts::default() }),
        ("by hand", Facts { unlogged: one("refs/heads/new"), ..Facts::default() }),
    ] {
        let facts = Facts { walked: [facts.walked.clone(), vec![person.clone()]].concat(), ..facts };
        assert_eq!(whose(true, &[], after, &facts), Some(Whose::Agent), "{what}");
    }
}

#[test]
fn a_line_of_a_log_tells_whether_a_commit_was_made() {
    for (message, makes) in [
        ("commit: x", true),
        ("commit (amend): x", true),
        ("commit (initial): x", true),
        ("rebase (pick): x", true),
        ("cherry-pick: x", true),
        ("merge main: Merge made by the 'ort' strategy.", true),
        ("merge main: Fast-forward", false),
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
    let local: Refs = [("refs/heads/topic", "3"), ("refs/heads/own", "2"), ("refs/remotes/origin/seen", "4")]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .into();
    let (known, hold) = (["2", "3", "4"].map(str::to_owned).into(), one("2"));
    let said = |guards: &Guards, before: Option<&Refs>, after: &Refs| -> Vec<(Deed, Whose, Option<String>)> {
        let remote = Remote { name: "origin", before, after, known: &known, hold: &hold, refs: &local };
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
    let unclear = said(&no_push, Some(&before), &after(&[("refs/heads/x", "3")]));
    assert_eq!(unclear.iter().map(|(_, whose, _)| *whose).collect::<Vec<_>>(), [Whose::Unclear]);
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
            r"a'b, which is protected, was moved from 1 to 2; it is not certain by whom; to undo it: git update-ref 'refs/heads/a'\''b' 1 2",
        ),
        (
            Deed::Made,
            change(None, Some("2")),
            Whose::Agent,
            r"it made the branch a'b at 2; to undo it: git update-ref -d 'refs/heads/a'\''b' 2",
        ),
        (
            Deed::Deleted,
            change(Some("1"), None),
            Whose::SomeAgent,
            r"an agent deleted a'b, which was at 1, and more than one was at work; to undo it: git update-ref 'refs/heads/a'\''b' 1 0",
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
