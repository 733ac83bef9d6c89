//! `run`: a chain at work, its result, its exit code.

use crate::house::House;

#[test]
fn the_second_of_a_chain_does_what_the_first_could_not() {
    let house = House::new();
    let task = "if [ \"$AI_ORCH_ATTEMPT\" = 1 ]; then echo 'error: quota exceeded' >&2; exit 1; fi; echo hi > hello.txt";
    let done = house.orch(["run", "--name", "two", "--agent-cli", "sh,sh", task]).run();
    assert_eq!(done.code, 0, "{done}");
    let agent = house.listed("two");
    assert_eq!(agent["state"], "done");
    assert_eq!(agent["attempts"][0]["failure"]["class"], "quota");
    assert_eq!(agent["attempts"][1]["result"], "done");
    assert_eq!(house.git(&["show", "ai_orch/two:hello.txt"]), "hi");
    assert_eq!(house.git(&["log", "--format=%an", "-1", "ai_orch/two"]), "Tester");
    assert_eq!(house.git(&["status", "--porcelain"]), "", "the user's checkout is untouched");
}

#[test]
fn when_all_fail_the_exit_code_says_so_and_every_reason_is_shown() {
    let house = House::new();
    house.agent("one", "cat >/dev/null; echo 'rate limit exceeded' >&2; exit 3");
    house.agent("two", "cat >/dev/null; echo 'boom' >&2; exit 4");
    let done = house.orch(["run", "--agent-cli", "one,two", "do it"]).run();
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.contains("rate_limit") && done.stdout.contains("boom"), "{done}");
}
