//! A result comes to where it was asked for: pushed, and in a pull request; or it is said why not and what to type, and nothing is lost.

use crate::forge::{Forge, URL};
use crate::house::{House, eventually};
use std::fs;
use std::path::Path;

const START: [&str; 6] = ["run", "--json", "--agent-cli", "sh", "--name", "one"];
const WORK: &str = "echo new > new.txt; echo 'I made it, @alice.'";

fn run(house: &House, words: &[&str]) -> crate::house::Done {
    house.orch([&START[..], words].concat()).run()
}

#[test]
fn a_pull_request_is_opened_with_title_text_and_labels() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.labels(&["bug", "good first issue"]);
    let before = house.git(&["for-each-ref", "refs/remotes", "refs/heads/main"]);
    let task = "echo new > new.txt; echo 'I made it, @alice.'";
    let done = run(
        &house,
        &["--open-pr", "--draft", "--labels", "bug,good first issue", "--validate", "test -e new.txt", task],
    );
    assert_eq!(done.code, 0, "{done}");
    let agent = &done.json()["agent"];
    let delivery = &agent["delivery"];
    assert_eq!(delivery["arrival"], "delivered", "{agent:#}");
    assert_eq!(delivery["pull"]["url"], "https://github.com/acme/widgets/pull/1");
    let tip = house.git(&["rev-parse", "ai_orch/one"]);
    assert_eq!(
        (forge.tip("refs/heads/ai_orch/one"), delivery["pushed"].as_str()),
        (tip.clone(), Some(&*tip))
    );
    let field = |name: &str| forge.pull(1, name).unwrap();
    assert_eq!(
        (field("head"), field("base"), field("draft")),
        ("ai_orch/one".into(), "main".into(), "true".into())
    );
    assert_eq!((field("labels").as_str(), field("title").as_str()), ("bug\ngood first issue\n", task));
    let body = field("body");
    for part in [
        "I made it, @\u{200b}alice.",
        &format!("> {task}"),
        "Its validation succeeded",
        "by sh with",
        "`one`",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    // Nothing of the user's has changed on the way, not even what is known of the remote.
    assert_eq!(house.git(&["for-each-ref", "refs/remotes", "refs/heads/main"]), before);
    assert_eq!(house.git(&["status", "--porcelain"]), "");
    let shown = house.ok(["show", "one"]);
    assert!(
        shown.contains("pull request") && shown.contains("widgets/pull/1") && shown.contains("pushed"),
        "{shown}"
    );
    // More on the same branch goes into the same pull request.
    house.ok(["resume", "one", "echo more > more.txt"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(forge.tip("refs/heads/ai_orch/one"), house.git(&["rev-parse", "ai_orch/one"]));
    assert_eq!((forge.pulls(), forge.tip("refs/heads/ai_orch/one:more.txt").is_empty()), (1, false));
}

#[test]
fn only_what_is_done_and_validated_is_delivered() {
    let house = House::new();
    let forge = Forge::new(&house);
    let bad = run(&house, &["--open-pr", "--repairs", "0", "--validate", "test -e missing.txt", WORK]);
    assert_eq!(
        (bad.code, bad.json()["agent"]["delivery"]["arrival"].as_str()),
        (1, Some("pending")),
        "{bad}"
    );
    let idle =
        house.orch(["run", "--json", "--agent-cli", "sh", "--name", "idle", "--open-pr", "true"]).run();
    assert_eq!(
        (idle.code, idle.json()["agent"]["delivery"]["arrival"].as_str()),
        (0, Some("nothing")),
        "{idle}"
    );
    assert_eq!(
        (forge.pulls(), forge.git(&["for-each-ref", "--format=%(refname)"]).as_str()),
        (0, "refs/heads/main")
    );
}

#[test]
fn it_goes_back_into_the_pull_request_that_it_began_at() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.labels(&["reviewed"]);
    let number = forge.open("acme", "their-fix", "theirs.txt");
    let tip = forge.tip("refs/heads/their-fix");
    let task = "test -e theirs.txt && echo new > new.txt";
    let done = run(&house, &["--pr", "#1", "--labels", "reviewed", task]);
    assert_eq!(done.code, 0, "{done}");
    let agent = &done.json()["agent"];
    assert_eq!((agent["base"].as_str(), agent["base_name"].as_str()), (Some(&*tip), Some("pull request 1")));
    assert_eq!(agent["delivery"]["arrival"], "delivered", "{agent:#}");
    assert_eq!(forge.tip("refs/heads/their-fix"), house.git(&["rev-parse", "ai_orch/one"]));
    assert_eq!(forge.tip("refs/heads/their-fix~1"), tip);
    assert_eq!(forge.pull(number, "labels").as_deref(), Some("reviewed\n"));
    // By its address, from the page that people have open.
    let second = house
        .orch([
            "run",
            "--json",
            "--agent-cli",
            "sh",
            "--name",
            "two",
            "--pr",
            "https://github.com/acme/widgets/pull/1/files",
            "echo 2 > two.txt",
        ])
        .run();
    assert_eq!(second.code, 0, "{second}");
    assert_eq!(forge.git(&["show", "their-fix:two.txt"]), "2");
    // No ref of ours is left behind by the way.
    assert!(!house.git(&["for-each-ref"]).contains("refs/pull"));
    assert_eq!((forge.pulls(), house.git(&["branch", "--list", "their-fix"]).as_str()), (1, ""));
}

#[test]
fn with_no_push_it_stays_here() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.open("acme", "their-fix", "theirs.txt");
    let tip = forge.tip("refs/heads/their-fix");
    let done = run(&house, &["--pr", "1", "--no-push", "test -e theirs.txt && echo new > new.txt"]);
    assert_eq!((done.code, &done.json()["agent"]["delivery"]), (0, &serde_json::Value::Null), "{done}");
    assert_eq!(forge.tip("refs/heads/their-fix"), tip);
    assert_eq!(house.git(&["show", "ai_orch/one:new.txt"]), "new");
}

#[test]
fn a_pull_request_from_a_fork_goes_back_to_the_fork() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.open("bob", "fix", "bobs.txt");
    let fork = house.path("fork.git");
    house.git(&["clone", "-q", "--bare", forge.path("remote.git").to_str().unwrap(), fork.to_str().unwrap()]);
    let tip = forge.tip("refs/forks/bob/fix");
    house.git_in(&fork, &["update-ref", "refs/heads/fix", &tip]);
    house.git(&[
        "config",
        "--global",
        &format!("url.{}.insteadOf", fork.display()),
        "https://github.com/bob/widgets.git",
    ]);
    let done = run(&house, &["--pr", "1", WORK]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(house.git_in(&fork, &["rev-parse", "fix"]), house.git(&["rev-parse", "ai_orch/one"]));
    assert_eq!(house.git_in(&fork, &["rev-parse", "fix~1"]), tip);
    assert_eq!(forge.tip("refs/heads/fix"), "");
    // And a result of one's own fork goes into a pull request of the repository that it was forked from.
    house.git(&["remote", "rename", "origin", "upstream"]);
    house.git(&["remote", "add", "origin", "https://github.com/bob/widgets.git"]);
    let done =
        house.orch(["run", "--json", "--agent-cli", "sh", "--name", "two", "--open-pr", "echo 2 > 2"]).run();
    // The stand-in knows the branches of forks by a name of their own.
    assert_eq!(done.code, 6, "{done}");
    assert_eq!(house.git_in(&fork, &["rev-parse", "ai_orch/two"]), house.git(&["rev-parse", "ai_orch/two"]));
    assert!(forge.calls().contains("--head bob:ai_orch/two"), "{}", forge.calls());
    house.git_in(
        &forge.path("remote.git"),
        &["fetch", "-q", fork.to_str().unwrap(), "ai_orch/two:refs/forks/bob/ai_orch/two"],
    );
    house.ok(["resume", "two"]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 0);
    assert_eq!(
        (forge.pull(2, "owner").as_deref(), forge.pull(2, "base").as_deref()),
        (Some("bob"), Some("main"))
    );
}

#[test]
fn what_somebody_else_pushed_meanwhile_stays() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.open("acme", "shared", "theirs.txt");
    let clone = house.path("clone-acme-shared");
    let theirs = format!(
        "cd '{}' && echo x > later.txt && git add . && git commit -qm later && git push -q origin HEAD:shared",
        clone.display()
    );
    let task = format!("echo new > new.txt; (env -u GIT_DIR sh -c \"{theirs}\")");
    let done = run(&house, &["--pr", "1", &task]);
    assert_eq!(done.code, 6, "{done}");
    let agent = &done.json()["agent"];
    assert_eq!(
        (agent["state"].as_str(), agent["failure"]["class"].as_str()),
        (Some("failed"), Some("delivery"))
    );
    let why = agent["delivery"]["undelivered"]["why"].as_str().unwrap();
    assert!(why.contains("not on top of that"), "{why}");
    let next = agent["delivery"]["undelivered"]["commands"].to_string();
    assert!(next.contains("git fetch origin shared") && !next.contains("push"), "{next}");
    assert_eq!(forge.git(&["show", "shared:later.txt"]), "x");
    // Nothing is lost: it is on its branch, and comes into the pull request once it is on top of what is there.
    assert_eq!(house.git(&["show", "ai_orch/one:new.txt"]), "new");
    house.git(&["fetch", "-q", "origin", "shared"]);
    let onto = house.git(&["rev-parse", "FETCH_HEAD"]);
    house.ok(["resume", "one", &format!("git rebase -q {onto}")]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(forge.tip("shared"), house.git(&["rev-parse", "ai_orch/one"]));
    assert_eq!(
        (forge.git(&["show", "shared:new.txt"]), forge.git(&["show", "shared:later.txt"])),
        ("new".into(), "x".into())
    );
}

#[test]
fn what_others_have_in_a_pull_request_is_never_dropped() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.open("acme", "topic", "theirs.txt");
    let tip = forge.tip("topic");
    let dropped = run(&house, &["--pr", "1", "git reset -q --hard HEAD~1; echo x > x.txt"]);
    assert_eq!((dropped.code, forge.tip("topic")), (6, tip.clone()), "{dropped}");
    // Nor behind what we have pushed there ourselves.
    let two = |words: &[&str]| {
        house.orch([&["run", "--json", "--agent-cli", "sh", "--name", "two"], words].concat()).run()
    };
    assert_eq!(two(&["--pr", "1", "echo 2 > two.txt"]).code, 0);
    house.ok(["resume", "two", "git reset -q --hard HEAD~2; echo 3 > three.txt"]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 6);
    assert_eq!(
        (forge.git(&["show", "topic:two.txt"]), forge.git(&["show", "topic:theirs.txt"])),
        ("2".into(), "theirs".into())
    );
    // What says of commits what they do not say of themselves is not believed.
    let graft = format!(
        "echo 4 > four.txt; git add .; git commit -qm four; i=$(git rev-parse --git-common-dir)/info; mkdir -p \"$i\"; \
         echo \"$(git rev-parse HEAD HEAD~1 | tr '\\n' ' ')$(git -C '{}' rev-parse topic)\" > \"$i/grafts\"; \
         git merge-base --is-ancestor \"$(git -C '{}' rev-parse topic)\" HEAD",
        forge.path("remote.git").display(),
        forge.path("remote.git").display()
    );
    house.ok(["resume", "two", &graft]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 6);
    assert_eq!(forge.git(&["show", "topic:two.txt"]), "2");
}

#[test]
fn our_own_branch_may_be_written_anew_and_nobody_elses_by_that_name() {
    let house = House::new();
    let forge = Forge::new(&house);
    house.git(&["push", "-q", "origin", "main:ai_orch/taken"]);
    let taken = house
        .orch(["run", "--json", "--agent-cli", "sh", "--name", "taken", "--open-pr", "echo x > x.txt"])
        .run();
    assert!(taken.code == 6 && taken.stdout.contains("somebody else's"), "{taken}");
    assert_eq!(forge.tip("ai_orch/taken"), house.git(&["rev-parse", "main"]));
    assert_eq!(run(&house, &["--open-pr", WORK]).code, 0);
    house.ok(["resume", "one", "git commit -q --amend -m anew"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!(forge.git(&["log", "-1", "--format=%s", "ai_orch/one"]), "anew");
    assert_eq!(forge.pulls(), 1);
}

#[test]
fn where_it_is_pushed_it_is_looked_for() {
    let house = House::new();
    let forge = Forge::new(&house);
    let fork = house.path("fork.git");
    house.git(&["clone", "-q", "--bare", forge.path("remote.git").to_str().unwrap(), fork.to_str().unwrap()]);
    let url = "https://github.com/bob/widgets.git";
    house.git(&["config", "--global", &format!("url.{}.insteadOf", fork.display()), url]);
    house.git(&["config", "remote.origin.pushurl", url]);
    // The stand-in does not see the fork's branches: what counts here is what was pushed.
    for (task, n) in [(WORK, 1), ("echo 2 > two.txt", 2)] {
        if n == 1 {
            assert_eq!(run(&house, &["--open-pr", task]).code, 6);
        } else {
            house.ok(["resume", "one", task]);
            assert_eq!(house.orch(["wait", "one"]).run().code, 6);
        }
        let delivery = house.show("one")["agent"]["delivery"].clone();
        assert!(
            delivery["undelivered"]["why"].as_str().unwrap().contains("open the pull request"),
            "{delivery:#}"
        );
        assert_eq!(
            house.git_in(&fork, &["rev-parse", "ai_orch/one"]),
            house.git(&["rev-parse", "ai_orch/one"])
        );
    }
    house.git(&["config", "--add", "remote.origin.pushurl", "https://github.com/acme/widgets.git"]);
    let several = house.orch(["run", "--agent-cli", "sh", "--open-pr", WORK]).run();
    assert!(several.code == 2 && several.stderr.contains("several places"), "{several}");
}

#[test]
fn what_is_not_on_its_branch_is_not_delivered_and_that_is_no_success() {
    let house = House::new();
    let forge = Forge::new(&house);
    let left =
        run(&house, &["--open-pr", "git checkout -qb other; echo x > x.txt; git add .; git commit -qm x"]);
    assert_eq!(left.code, 6, "{left}");
    let why = left.json()["agent"]["delivery"]["undelivered"]["why"].to_string();
    assert!(why.contains("other"), "{why}");
    assert_eq!((forge.pulls(), forge.tip("ai_orch/one")), (0, String::new()));
}

/// The record can be written by whoever runs as the user; what says where to push, and by which program, is sealed.
#[test]
fn what_is_on_record_of_the_remote_is_believed_only_as_it_was_made() {
    let house = House::new();
    let forge = Forge::new(&house);
    let ran = house.path("ran");
    let task = format!(
        "echo x > x.txt; r=$(find \"$HOME/.local/state/ai_orch\" -name reach); sed -i 's#https://github.com/acme/widgets.git#ext::touch {}#' \"$r\"; grep -q ext \"$r\"",
        ran.display()
    );
    let done = run(&house, &["--open-pr", &task]);
    assert!(done.code == 6 && done.stdout.contains("not as it was made"), "{done}");
    assert!(!ran.exists() && forge.pulls() == 0);
}

#[test]
fn protected_branches_of_the_remote_are_not_pushed_to() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.open("acme", "release/1", "t.txt");
    let refused = house.orch(["run", "--agent-cli", "sh", "--pr", "1", "true"]).run();
    assert!(refused.code == 8 && refused.stderr.contains("protected"), "{refused}");
    house.git(&["branch", "release/2"]);
    let refused =
        house.orch(["run", "--agent-cli", "sh", "--branch", "release/2", "--open-pr", "true"]).run();
    assert!(refused.code == 8 && refused.stderr.contains("protected"), "{refused}");
    assert_eq!(run(&house, &["--pr", "1", "--no-push", "true"]).code, 0);
}

#[test]
fn a_branch_of_that_name_that_is_somebody_elses_is_not_touched() {
    let house = House::new();
    let forge = Forge::new(&house);
    forge.open("acme", "ai_orch/one", "theirs.txt");
    let tip = forge.tip("ai_orch/one");
    let done = run(&house, &["--open-pr", WORK]);
    assert_eq!(done.code, 6, "{done}");
    assert_eq!(forge.tip("ai_orch/one"), tip);
}

/// Something that happens to a house or to its host.
type Act = fn(&House, &Forge<'_>);

/// Each with what makes `gh` or the remote refuse, whether the branch is pushed all the same, and a word of the reason.
#[test]
fn what_cannot_be_delivered_says_why_and_what_to_type_and_resume_delivers_it() {
    let ways: [(&str, Act, Act, bool, &str); 7] = [
        ("no login", |_, f| f.log_out(), |_, f| f.log_in(), true, "not logged in"),
        ("rate limit", |_, f| f.fail("rate"), |_, f| f.fail(""), true, "rate limit"),
        ("network", |_, f| f.fail("network"), |_, f| f.fail(""), true, "error connecting"),
        ("killed", |_, f| f.fail("killed"), |_, f| f.fail(""), true, "it was killed"),
        (
            "no gh",
            |h, _| fs::rename(h.path("bin/gh"), h.path("gh")).unwrap(),
            |h, _| fs::rename(h.path("gh"), h.path("bin/gh")).unwrap(),
            true,
            "gh is not installed",
        ),
        ("no label", |_, f| f.labels(&["other"]), |_, f| f.labels(&["bug"]), true, "'bug' not found"),
        (
            "hook",
            |_, f| {
                let hook = f.path("remote.git/hooks/pre-receive");
                fs::write(&hook, "#!/bin/sh\necho no pushing on Fridays >&2\nexit 1\n").unwrap();
                fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            },
            |_, f| fs::remove_file(f.path("remote.git/hooks/pre-receive")).unwrap(),
            false,
            "Fridays",
        ),
    ];
    let house = House::new();
    let forge = Forge::new(&house);
    for (at, (what, breaks, mends, pushed, reason)) in ways.into_iter().enumerate() {
        forge.labels(&["bug"]);
        let name = format!("a{at}");
        breaks(&house, &forge);
        let done = house
            .orch([
                "run",
                "--json",
                "--agent-cli",
                "sh",
                "--name",
                &name,
                "--open-pr",
                "--labels",
                "bug",
                "echo x > x.txt",
            ])
            .run();
        assert_eq!(done.code, 6, "{what}: {done}");
        let agent = &done.json()["agent"];
        let undelivered = &agent["delivery"]["undelivered"];
        assert!(undelivered["why"].as_str().unwrap().contains(reason), "{what}: {undelivered:#}");
        let branch = format!("ai_orch/{name}");
        assert_eq!(!forge.tip(&format!("refs/heads/{branch}")).is_empty(), pushed, "{what}");
        let commands = undelivered["commands"].as_array().unwrap();
        assert_eq!(
            commands.iter().any(|c| c.as_str().unwrap().starts_with("git push origin ")),
            !pushed,
            "{what}: {commands:?}"
        );
        assert_eq!(done.json()["next"], undelivered["commands"], "{what}");
        mends(&house, &forge);
        let before = forge.pulls();
        // A command that is told does what it says, as it stands.
        if what == "rate limit" {
            let create =
                commands.iter().find_map(|c| c.as_str().filter(|c| c.starts_with("gh pr create"))).unwrap();
            assert_eq!(house.call("sh", ["-c", create]).run().code, 0, "{create}");
        }
        house.ok(["resume", &name]);
        assert_eq!(house.orch(["wait", &name]).run().code, 0, "{what}");
        let there = if what == "killed" { before } else { before + 1 };
        assert_eq!(forge.pulls(), there, "{what}: one pull request and no second one");
        let agent = house.show(&name)["agent"].clone();
        assert_eq!(
            (agent["state"].as_str(), agent["attempts"].as_array().unwrap().len()),
            (Some("done"), 1),
            "{what}: nobody worked on it again: {agent:#}"
        );
        assert_eq!(agent["delivery"]["arrival"], "delivered", "{what}");
    }
}

#[test]
fn what_can_be_known_before_is_refused_before_anything_is_made() {
    let house = House::new();
    let refused = |words: &[&str], code: i32, says: &str| {
        let done =
            house.orch([&["run", "--agent-cli", "sh", "--name", "one"], words, &["true"]].concat()).run();
        assert!(done.code == code && done.stderr.contains(says), "{words:?}: {done}");
        assert_eq!(
            house.git(&["for-each-ref", "refs/heads", "--format=%(refname)"]),
            "refs/heads/main",
            "{words:?}"
        );
        let list: serde_json::Value = serde_json::from_str(&house.ok(["list", "--json"])).unwrap();
        assert_eq!(list["agents"].as_array().unwrap().len(), 0, "{words:?}");
    };
    refused(&["--open-pr"], 2, "no remote");
    refused(&["--pr", "1"], 2, "no remote");
    house.git(&["remote", "add", "origin", "/srv/somewhere.git"]);
    refused(&["--open-pr"], 2, "no host of pull requests");
    house.git(&["remote", "remove", "origin"]);
    let forge = Forge::new(&house);
    forge.open("acme", "theirs", "t.txt");
    refused(&["--pr", "the last one"], 2, "names no pull request");
    refused(&["--pr", "9"], 8, "no pull request 9");
    refused(&["--pr", "https://github.com/acme/gadgets/pull/1"], 2, "no remote of this repository leads to");
    refused(&["--pr", "1", "--open-pr"], 2, "cannot be used with");
    refused(&["--pr", "1", "--base", "main"], 2, "--base");
    refused(&["--open-pr", "--no-push"], 2, "--no-push wants none");
    refused(&["--open-pr", "--no-new-pr"], 2, "--no-new-pr wants none");
    refused(&["--pr", "1", "--no-push", "--labels", "bug"], 2, "pushes nothing");
    refused(&["--draft"], 2, "--open-pr");
    refused(&["--labels", "bug"], 2, "--labels");
    refused(
        &["--open-pr", "--no-worktree"],
        2,
        "main is the branch that a pull request would be merged into",
    );
    refused(&["--open-pr", "--dir", house.path("home").to_str().unwrap()], 2, "no remote");
    fs::write(forge.path("prs/1/state"), "MERGED").unwrap();
    refused(&["--pr", "1"], 8, "is not open");
    forge.log_out();
    refused(&["--pr", "1"], 6, "gh auth login");
    forge.log_in();
    forge.fail("rate");
    refused(&["--pr", "1"], 6, "rate limit");
    forge.fail("");
    fs::write(house.path("home/.config/ai_orch/pull-request.md"), "{{ titel }}\n").unwrap();
    refused(&["--open-pr"], 2, "line 1");
    fs::remove_file(house.path("bin/gh")).unwrap();
    refused(&["--pr", "1"], 6, "gh is not installed");
    assert!(!forge.calls().contains("create"));
}

#[test]
fn by_a_template_of_the_users_own() {
    let house = House::new();
    let forge = Forge::new(&house);
    fs::write(
        house.path("home/.config/ai_orch/pull-request.md"),
        "[bot] {{ agent }}\n\n{{ commits | length }} commit, {{ files }} file\n",
    )
    .unwrap();
    assert_eq!(run(&house, &["--open-pr", WORK]).code, 0);
    assert_eq!(
        (forge.pull(1, "title").as_deref(), forge.pull(1, "body").as_deref()),
        (Some("[bot] one"), Some("1 commit, 1 file\n"))
    );
}

/// An agent can write the configuration of the repository, and hooks. None of it has a say in what we push, how and where to.
#[test]
fn what_the_agent_configured_has_no_say() {
    let house = House::new();
    let forge = Forge::new(&house);
    let (ran, elsewhere) = (house.path("ran"), house.path("elsewhere.git"));
    house.git(&["init", "-q", "--bare", elsewhere.to_str().unwrap()]);
    let touch = format!("touch '{}'; false", ran.display());
    let hook = format!(
        "printf '#!/bin/sh\\ntouch {0}\\n' > \"$d/hooks/pre-push\"; chmod +x \"$d/hooks/pre-push\"",
        ran.display()
    );
    let task = format!(
        "echo new > new.txt; d=$(git rev-parse --git-common-dir); {hook}; git config core.sshCommand \"{touch}\"; \
         git config remote.origin.pushurl '{0}'; git config remote.origin.receivepack \"{touch}\"; git config remote.origin.url '{0}'; \
         git config url.'{0}'.pushInsteadOf '{URL}'; git config credential.helper \"!{touch}\"; git config core.fsmonitor \"{touch}\"; true",
        elsewhere.display()
    );
    let done = run(&house, &["--open-pr", &task]);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(forge.tip("ai_orch/one"), house.git(&["rev-parse", "ai_orch/one"]));
    assert!(!ran.exists(), "something of the agent's ran");
    assert_eq!(house.git_in(&elsewhere, &["for-each-ref"]), "");
}

/// No password of an address is in a journal, in what is shown, or in the words of a command that runs.
#[test]
fn passwords_of_addresses_stay_where_they_are() {
    let house = House::new();
    let forge = Forge::new(&house);
    let url = "https://bob:s3cretword@github.com/acme/widgets.git";
    house.git(&["remote", "set-url", "origin", url]);
    house.git(&[
        "config",
        "--global",
        "--add",
        &format!("url.{}.insteadOf", forge.path("remote.git").display()),
        url,
    ]);
    let done = run(&house, &["--open-pr", WORK]);
    assert_eq!(done.code, 0, "{done}");
    let record = house.record("one");
    let shown = house.ok(["show", "one", "--json"]) + &done.stdout + &house.ok(["logs", "one"]);
    assert!(!shown.contains("s3cretword"));
    let holds = |path: &Path| {
        fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("s3cretword"))
    };
    let found: Vec<_> =
        fs::read_dir(&record).unwrap().flatten().map(|e| e.path()).filter(|p| holds(p)).collect();
    assert_eq!(found, [record.join("reach")]);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(record.join("reach")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

/// Whose keeper was killed in the middle of a push is delivered once by whoever goes on: one branch, one pull request.
#[test]
fn killed_in_the_middle_of_a_push_it_is_delivered_once() {
    let house = House::new();
    let forge = Forge::new(&house);
    // The remote holds the push until it is told to go on; the keeper is killed meanwhile.
    let (began, go) = (house.path("began"), house.path("go"));
    let hook = forge.path("remote.git/hooks/post-receive");
    fs::write(
        &hook,
        format!(
            "#!/bin/sh\ntouch '{}'\nwhile [ ! -e '{}' ]; do sleep 0.02; done\n",
            began.display(),
            go.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    house.start(["--agent-cli", "sh", "--name", "one", "--open-pr", WORK]);
    eventually("it is being pushed", || began.exists().then_some(()));
    house.kill_keeper("one");
    fs::write(&go, "").unwrap();
    eventually("it is interrupted", || (house.listed("one")["state"] == "interrupted").then_some(()));
    house.ok(["resume", "one"]);
    assert_eq!(house.orch(["wait", "one"]).run().code, 0);
    assert_eq!((forge.pulls(), forge.tip("ai_orch/one")), (1, house.git(&["rev-parse", "ai_orch/one"])));
    // And one that is killed for good in the middle of a push ends at once.
    fs::remove_file(&began).unwrap();
    fs::remove_file(&go).unwrap();
    house.start(["--agent-cli", "sh", "--name", "two", "--open-pr", WORK]);
    eventually("it is being pushed", || began.exists().then_some(()));
    house.ok(["kill", "two"]);
    let agent = house.show("two")["agent"].clone();
    assert_eq!(agent["state"], "killed");
    assert!(agent["delivery"]["note"].as_str().unwrap().contains("may have been pushed"), "{agent:#}");
    fs::write(&go, "").unwrap();
    // What was done is delivered by whoever goes on, and nobody works on it again.
    house.ok(["resume", "two"]);
    assert_eq!(house.orch(["wait", "two"]).run().code, 0);
    assert_eq!(house.show("two")["agent"]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!((forge.pulls(), forge.tip("ai_orch/two")), (2, house.git(&["rev-parse", "ai_orch/two"])));
}
