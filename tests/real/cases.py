"""What the real agent CLIs must do under ai_orch. Every case gets a world of its own."""
import json
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path
from world import CLOSED_PORT, Wrong, check, commit_by

CASES = {}
TASK = "Write hello.txt and commit it."
# The next agent CLI must be done this long after the first would have been, had it been healthy.
FAILOVER_LIMIT = 45


def case(name):
    def add(function):
        CASES[name] = function
        return function
    return add


class Healthy:
    """How long a healthy run of each CLI takes on this machine; measured once, when first asked for."""

    def __init__(self):
        self.seconds, self.locks = {}, {cli: threading.Lock() for cli in ("claude", "codex", "gemini")}

    def of(self, world, cli):
        with self.locks[cli]:
            if cli not in self.seconds:
                world.serve(cli)
                run = world.run(cli, TASK, "--name", "healthy-" + cli)
                check(run.code == 0 and run.attempts == [(cli, "done")], "a healthy run went wrong:", run)
                self.seconds[cli] = run.seconds
            return self.seconds[cli]


HEALTHY = Healthy()


def expect(run, code, attempts):
    check(run.code == code and run.attempts == attempts, "not exit %d with %s:" % (code, attempts), run)


def told(prompt, task, name):
    """Whether `prompt` is the task, and behind it only the line about the others."""
    line = "\n\n[ai_orch] You are the agent %s." % name
    return prompt.startswith(task + line) and prompt.count("\n", len(task + line)) <= 1


def message(run, n, words):
    said = run.agent["attempts"][n]["failure"]["message"]
    check(words.lower() in said.lower(), "attempt %d does not say %r but %r" % (n + 1, words, said))


def first_sign(events):
    """When the first attempt first showed that something is wrong."""
    for line in events:
        event = line["event"]
        if line["n"] == 1 and (event["kind"] == "retrying" or (event["kind"] == "finished" and not event["ok"])):
            return datetime.fromisoformat(line["at"].replace("Z", "+00:00"))
    return None


# ---- one CLI fails, the next one does the work

def failover(first, second, class_, words, how, setup=None):
    def run_it(world):
        usual = HEALTHY.of(world, first)
        if how is None:
            world.refuse(first)
        else:
            world.serve(first, **how)
        world.serve(second)
        if setup:
            setup(world)
        run = world.run("%s,%s" % (first, second), TASK, "--name", "task")
        expect(run, 0, [(first, class_), (second, "done")])
        message(run, 0, words)
        world.committed(run, second)
        prompt = world.asked(second)[0]["prompt"]
        check(prompt.startswith(TASK), "the second CLI did not get the task first:", prompt)
        check("%s stopped (%s)" % (first, class_) in prompt, "the second CLI was not told why the first stopped:", prompt)
        later = run.seconds - usual
        check(later <= FAILOVER_LIMIT, "%.1f s later than a healthy %s" % (later, first))
        sign = first_sign(world.events("task"))
        ended = datetime.fromisoformat(run.agent["ended"].replace("Z", "+00:00"))
        told = "%4.1f s from its first sign" % (ended - sign).total_seconds() if sign else "it gave no sign"
        return "%s done %4.1f s after a healthy %s would have been, %s" % (second, later, first, told)
    return run_it


def oauth(world):
    """Logs claude in with a subscription in place of a key."""
    del world.env["ANTHROPIC_API_KEY"]
    world.env["CLAUDE_CODE_OAUTH_TOKEN"] = "sk-ant-oat01-dummy"


def builtin(world):
    """codex with its own provider, as most people have it."""
    world.codex_builtin = True
    world.connect("codex", world.servers["codex"].port if "codex" in world.servers else CLOSED_PORT)


for name, second, class_, words, how, setup in [
    ("gemini-quota", "claude", "quota", "exhausted your daily quota", {"fail": "quota"}, None),
    ("gemini-rate-limit", "claude", "rate_limit", "exhausted", {"fail": "rate_limit"}, None),
    ("gemini-rate-limit-everywhere", "claude", "rate_limit", "exhausted", {"fail": "rate_limit", "fail_side": True}, None),
    ("gemini-key-refused", "claude", "auth", "API key not valid", {"fail": "auth", "fail_side": True}, None),
    ("gemini-login-expired", "claude", "auth", "", {"fail": "auth401", "fail_side": True}, None),
    ("gemini-model-missing", "claude", "model", "is not found", {"fail": "not_found"}, None),
    ("gemini-empty", "claude", "empty", "", {"fail": "empty"}, None),
    ("gemini-safety", "claude", "empty", "", {"fail": "safety"}, None),
    ("gemini-overloaded", "claude", "overloaded", "", {"fail": "overloaded"}, None),
    ("gemini-context", "claude", "context", "input token count", {"fail": "context"}, None),
    ("gemini-refused", "claude", "network", "", None, None),
    ("codex-quota", "claude", "quota", "quota exceeded", {"fail": "quota"}, None),
    ("codex-usage-limit", "claude", "quota", "hit your usage limit", {"fail": "usage_limit"}, None),
    ("codex-rate-limit", "claude", "rate_limit", "429", {"fail": "rate_limit", "retry_after": "3"}, None),
    ("codex-rate-limit-long", "claude", "rate_limit", "429", {"fail": "rate_limit", "retry_after": "20"}, None),
    ("codex-key-refused", "claude", "auth", "401", {"fail": "auth"}, None),
    ("codex-model-missing", "claude", "model", "does not exist", {"fail": "not_found"}, None),
    ("codex-overloaded", "claude", "overloaded", "at capacity", {"fail": "overloaded"}, None),
    ("codex-server-error", "claude", "overloaded", "high demand", {"fail": "server_error"}, None),
    ("codex-disconnect", "claude", "network", "", {"fail": "disconnect"}, None),
    ("codex-stream-cut", "claude", "network", "stream disconnected", {"fail": "truncate"}, None),
    ("codex-refused", "claude", "network", "", None, None),
    ("codex-builtin-quota", "claude", "quota", "quota exceeded", {"fail": "quota"}, builtin),
    ("codex-builtin-rate-limit", "claude", "rate_limit", "429", {"fail": "rate_limit"}, builtin),
    ("codex-builtin-key-refused", "claude", "auth", "401", {"fail": "auth"}, builtin),
    ("codex-builtin-refused", "claude", "network", "", None, builtin),
    ("claude-quota", "codex", "quota", "hit your 5-hour limit", {"fail": "quota"}, oauth),
    ("claude-credit", "codex", "quota", "credit balance", {"fail": "credit"}, None),
    ("claude-rate-limit", "codex", "rate_limit", "429", {"fail": "rate_limit"}, None),
    ("claude-key-refused", "codex", "auth", "", {"fail": "auth"}, None),
    ("claude-login-expired", "codex", "auth", "", {"fail": "oauth_expired"}, oauth),
    ("claude-model-missing", "codex", "model", "selected model", {"fail": "not_found"}, None),
    ("claude-overloaded", "codex", "overloaded", "", {"fail": "overloaded"}, None),
    ("claude-refused", "codex", "network", "", None, None),
    ("claude-to-gemini", "gemini", "quota", "credit balance", {"fail": "credit"}, None),
]:
    CASES[name] = failover(name.split("-")[0], second, class_, words, how, setup)


# ---- healthy

def healthy(cli, chain):
    @case(cli + "-healthy")
    def _(world):
        HEALTHY.of(world, cli)
        world.serve(cli)
        run = world.run(chain, TASK, "--name", "task")
        expect(run, 0, [(cli, "done")])
        world.committed(run, cli)
        [attempt] = run.agent["attempts"]
        check(attempt.get("conversation"), "no conversation on record:", run)
        check(attempt.get("usage", {}).get("input_tokens"), "no usage on record:", attempt)
        check(told(world.asked(cli)[0]["prompt"], TASK, "task"), "the prompt is not the task:", world.asked(cli)[0]["prompt"])
        return "healthy run in %.1f s" % run.seconds


healthy("gemini", "gemini,claude")
healthy("codex", "codex,claude")
healthy("claude", "claude,codex")


# ---- more of a chain

@case("half-done-work-goes-on")
def _(world):
    """gemini writes a file, then its quota is over; claude finds the file and commits it."""
    half = {"steps": [{"text": "First a file.", "write": {"path": "half.txt", "content": "half by gemini\n"}}, {"fail": "quota"}]}
    world.serve("gemini", script=half)
    world.serve("claude")
    run = world.run("gemini,claude", TASK)
    expect(run, 0, [("gemini", "quota"), ("claude", "done")])
    world.committed(run, "claude")
    check(world.git("show", run.agent["branch"] + ":half.txt") == "half by gemini\n", "the first half is lost")
    check("half.txt" in world.asked("claude")[0]["prompt"], "claude was not told of half.txt:", world.asked("claude")[0]["prompt"])


def all_fail(name, chain, hows, classes, words):
    @case(name)
    def _(world):
        for cli, mode in hows.items():
            world.serve(cli, fail=mode)
        done, seconds = world.orch("run", "--agent-cli", chain, "--permissions", "work", "--name", "task", "--", TASK)
        text = done.stdout + done.stderr
        check(done.returncode == 1, "exit", done.returncode, text)
        for word in words:
            check(word.lower() in text.lower(), "%r is not in:" % word, text)
        attempts = world.json("show", "task")["agent"]["attempts"]
        check([a["failure"]["class"] for a in attempts] == classes, attempts)
        world.untouched()
        return "both reasons shown after %.1f s" % seconds


all_fail("both-fail-gemini-claude", "gemini,claude", {"gemini": "quota", "claude": "forbidden"}, ["quota", "auth"],
         ["daily quota", "failed to authenticate"])
all_fail("both-fail-codex-gemini", "codex,gemini", {"codex": "usage_limit", "gemini": "auth"}, ["quota", "auth"],
         ["usage limit", "api key not valid"])


@case("three-in-a-row")
def _(world):
    world.serve("gemini", fail="quota")
    world.serve("codex", fail="usage_limit")
    world.serve("claude")
    run = world.run("gemini,codex,claude", TASK)
    expect(run, 0, [("gemini", "quota"), ("codex", "quota"), ("claude", "done")])
    world.committed(run, "claude")


@case("model-reaches-its-cli")
def _(world):
    world.serve("gemini", fail="quota")
    world.serve("codex", fail="quota")
    world.serve("claude")
    run = world.run("gemini,codex,claude", TASK, "--model", "gemini-2.5-flash", "--model", "codex=gpt-5.5", "--model", "claude=haiku")
    expect(run, 0, [("gemini", "quota"), ("codex", "quota"), ("claude", "done")])
    for cli, model in (("gemini", "gemini-2.5-flash"), ("codex", "gpt-5.5"), ("claude", "haiku")):
        models = {r["model"] for r in world.asked(cli)}
        check(len(models) == 1 and model in models.pop(), cli, "was asked with", {r["model"] for r in world.asked(cli)})


@case("model-of-the-first-only")
def _(world):
    world.serve("gemini", fail="quota")
    world.serve("claude")
    run = world.run("gemini,claude", TASK, "--model", "gemini-2.5-flash")
    expect(run, 0, [("gemini", "quota"), ("claude", "done")])
    check(all("gemini" not in r["model"] for r in world.asked("claude")), "claude got the model of gemini")


# ---- one CLI

def repaired(cli):
    @case(cli + "-repairs")
    def _(world):
        repair = {"steps": [{"shell": "echo yes > repaired.txt"}, {"text": "Repaired."}]}
        world.serve(cli, script=lambda prompt: repair if "repaired.txt" in prompt else commit_by(cli))
        run = world.run(cli, TASK, "--validate", "test -f repaired.txt || { echo no repaired.txt here; exit 3; }", "--repairs", "1")
        expect(run, 0, [(cli, "done"), (cli, "done")])
        first, second = run.agent["attempts"]
        check(second["turn"] == "repair", "the second attempt is a", second["turn"])
        check(first["conversation"] == second["conversation"], "not the same conversation:", run)
        asked = world.asked(cli)
        repair_asked = [r for r in asked if "repaired.txt" in r["prompt"]]
        check(repair_asked and "no repaired.txt here" in repair_asked[0]["prompt"], "the model did not see what the validation said")
        check(repair_asked[0]["messages"] > asked[0]["messages"], "the model did not see the first turn again")
        check([v["ok"] for v in run.agent["validations"]] == [False, True], run.agent["validations"])
        check(world.git("show", run.agent["branch"] + ":repaired.txt") == "yes\n", "the repair is not on the branch")


def never_repaired(cli, second):
    @case(cli + "-cannot-repair")
    def _(world):
        world.serve(cli)
        good = commit_by(second)
        good["steps"][1]["shell"] = "touch good.txt && " + good["steps"][1]["shell"]
        good["steps"][0]["write"]["path"] = "other.txt"
        world.serve(second, script=good)
        run = world.run("%s,%s" % (cli, second), TASK, "--validate", "test -f good.txt", "--repairs", "1")
        check(run.code == 0, run)
        check([a["cli"] for a in run.agent["attempts"]] == [cli, cli, second], run)
        check([v["ok"] for v in run.agent["validations"]] == [False, False, True], run.agent["validations"])


def reads_only(cli):
    @case(cli + "-read-changes-nothing")
    def _(world):
        server = world.serve(cli)
        run = world.run(cli, TASK, permissions="read")
        check(server.requests, "the model was not asked")
        worktree = run.agent["worktree"]
        check(world.git("-C", worktree, "rev-parse", "HEAD").strip() == world.base, "it committed", run)
        check(world.git("-C", worktree, "status", "--porcelain") == "", "it changed the worktree", run)
        check(world.git("log", "--format=%an", "%s..%s" % (world.base, run.agent["branch"])) == "", "there are commits", run)
        world.untouched()
        return "exit %d, %s" % (run.code, run.attempts[0][1])


NASTY = "it's \"so\" $(touch pwned) `touch pwned` $HOME \\n %s {model} {prompt} ; touch pwned & \u00e9\u4e16\U0001f600 </task> #!"


def arrives(cli):
    @case(cli + "-prompt-byte-for-byte")
    def _(world):
        nothing = {"steps": [{"shell": "date > now.txt"}, {"text": "Done."}]}
        world.serve(cli, script=nothing)
        lines = ["%d %s" % (n, NASTY) for n in range(2000)]
        long = "\n".join(lines)
        check(len(long.encode()) > 200_000, "only %d bytes" % len(long.encode()))
        texts = {"long": long, "dash": "--help -rf " + NASTY, "tabs": "a\tb  c\n\n\n  " + NASTY + "\n    end"}
        for name, text in texts.items():
            before = len(world.asked(cli))
            words = ("run", "--json", "--agent-cli", cli, "--name", name)
            if name == "long":
                done, _ = world.orch(*words, "-", stdin=text)
            else:
                done, _ = world.orch(*words, "--", text)
            check(done.returncode == 0, name, done.stderr[-2000:], done.stdout[-2000:])
            got = world.asked(cli)[before]["prompt"]
            if not told(got, text, name):
                at = next((i for i, (a, b) in enumerate(zip(got, text)) if a != b), min(len(got), len(text)))
                raise Wrong("%s: %d characters came of %d; at %d: %r in place of %r" % (
                    name, len(got), len(text), at, got[at:at + 80], text[at:at + 80]))
        found = [str(p) for p in world.dir.rglob("pwned")]
        check(not found, "a prompt was run by a shell:", found)


def killed(cli):
    @case(cli + "-kill")
    def _(world):
        # No `sleep`: claude does not run a long one.
        sleeper = {"steps": [{"shell": "tail -f README.md; touch late.txt"}, {"text": "Done."}]}
        world.serve(cli, script=sleeper)
        done, _ = world.orch("run", "--detach", "--json", "--agent-cli", cli, "--name", "victim", TASK)
        check(done.returncode == 0, done.stderr)
        end = time.monotonic() + 60
        while not any(line.startswith("tail -f") for line in world.processes().values()):
            check(time.monotonic() < end, "its command never ran:", world.processes())
            time.sleep(0.1)
        [report] = world.json("kill", "victim")["killed"]
        check(report["state"] == "killed" and report["was_running"], report)
        world.nothing_runs(patience=2.0)
        agent = world.json("show", "victim")["agent"]
        check(agent["state"] == "killed", agent["state"])
        world.untouched()


# ---- our MCP server, given at launch

def call(tool, **args):
    """A step in which the model calls one of our tools."""
    return {"mcp": {"tool": tool, "args": args}}


def answers(world, cli):
    """What our tools answered the model of `cli`, in order, as documents."""
    found = []
    for request in world.asked(cli):
        for text in request.get("results", []):
            found += documents(text)
    return found


def documents(text):
    """The documents of ours in the text of a result, however deep the CLI packed it."""
    for _ in range(4):
        for at in [i for i, c in enumerate(text) if c == "{"]:
            try:
                value = json.JSONDecoder().raw_decode(text[at:])[0]
            except ValueError:
                continue
            inner = [c.get("text", "") for c in value.get("content", []) if isinstance(c, dict)] if "content" in value else None
            return sum((documents(t) for t in inner), []) if inner is not None else [value]
        text = text.replace('\\"', '"')
    return []


def reaches_us(cli, permissions):
    @case("%s-mcp-%s" % (cli, permissions))
    def _(world):
        steps = [call("whoami"), call("list_agents", op_id="a"), call("whoami", nonsense=1), *commit_by(cli)["steps"]]
        world.serve(cli, script={"steps": steps if permissions != "read" else steps[:3] + [{"text": "I looked."}]})
        before = world.configured()
        run = world.run(cli, TASK, "--name", "task", "--role", "writer", "--context-id", "Issue.7", permissions=permissions)
        check([a["cli"] for a in run.agent["attempts"]] == [cli], run)
        got = answers(world, cli)
        check(len(got) >= 2, "the tools answered", got, run)
        me, others = got[:2]
        check((me.get("name"), me.get("role"), me.get("context_id")) == ("task", "writer", "Issue.7"), "whoami says", me)
        check([a["name"] for a in others["agents"]] == ["task"], "list_agents says", others)
        # gemini looks at the schema itself, and does not ask us.
        refused = [r for request in world.asked(cli) for r in request.get("results", []) if "additional properties" in r or "op_id" in r]
        check(refused, "bad input was not refused", got)
        check(world.configured() == before, "the settings of the user were changed")
        if permissions != "read":
            expect(run, 0, [(cli, "done")])
            world.committed(run, cli)
        return "whoami after %.1f s" % (world.asked(cli)[1]["t"] - world.asked(cli)[0]["t"])


for name in ("gemini", "codex", "claude"):
    for level in ("read", "work"):
        reaches_us(name, level)


def works_with_us(cli):
    @case(cli + "-mcp-together")
    def _(world):
        """It reads a message sent before it started and one sent while it worked, and does a task."""
        person = world.mcp()
        task = person.call("create_task", text="review hello.txt", role="reviewer", op_id="t")["task_id"]

        def steps(prompt):
            return {"steps": [
                call("read_inbox"),
                {"shell": "touch %s/began; while [ ! -e %s/go ]; do sleep 0.1; done" % (world.worktree_tmp, world.worktree_tmp)},
                call("wait", seconds=20), call("read_inbox"), call("claim_task", op_id="c"),
                call("add_artifact", task_id=task, name="review", text="it greets"),
                call("complete_task", task_id=task, text="reviewed", op_id="e"),
                call("send_message", to="user", text="the review is done"), *commit_by(cli)["steps"]]}
        world.serve(cli, script=steps)
        # Before it starts there is nobody of that name: an agent that waits for its turn has one already.
        done, _ = world.orch("run", "--detach", "--json", "--agent-cli", cli, "--name", "task", "--role", "reviewer", TASK)
        check(done.returncode == 0, done.stderr)
        check(person.call("send_message", to="task", text="FIRST")["sent"], "the first message was not sent")
        end = time.monotonic() + 60
        while not (world.worktree_tmp / "began").exists():
            check(time.monotonic() < end, "it never came to its command", world.asked(cli)[-1:])
            time.sleep(0.1)
        check(person.call("send_message", to="role:reviewer", text="SECOND")["sent"][0]["to"] == "task", "a role leads nowhere")
        (world.worktree_tmp / "go").touch()
        done, _ = world.orch("wait", "task", "--timeout", "90s")
        check(done.returncode == 0, done.stdout, done.stderr, [r.get("results") for r in world.asked(cli)])
        got = answers(world, cli)
        texts = [m["text"] for g in got for m in g.get("messages", [])]
        check(any("FIRST" in t for t in texts) and any("SECOND" in t for t in texts), "it read", texts, got)
        check(sum("FIRST" in t for t in texts) == 1, "it read a message twice", texts)
        whole = person.call("list_tasks", task_id=task)["task"]
        check(whole["status"]["state"] == "TASK_STATE_COMPLETED", whole)
        check(whole["artifacts"][0]["parts"][0]["text"] == "it greets", whole)
        inbox = person.call("read_inbox")["messages"]
        check([m["from"] for m in inbox] == ["task"] and "the review is done" in inbox[0]["text"], inbox)
        person.end()


for name in ("gemini", "codex", "claude"):
    works_with_us(name)


def starts_another(cli):
    @case(cli + "-mcp-parent")
    def _(world):
        """It starts another agent of its kind, waits for its end, takes its work and goes on with its own."""
        part = "Write part.txt and commit it."
        commit = "git add -A && git -c user.name=%s -c user.email=%s@example.invalid commit -q -m 'add part.txt'" % (cli, cli)
        child = {"steps": [{"text": "A part.", "write": {"path": "part.txt", "content": "part by %s\n" % cli}},
                           {"text": "Now I'll commit it.", "shell": commit}, {"text": "The part is done."}]}
        spawn = call("spawn_task", prompt=part, name="part", role="helper", op_id="s")
        # Once is enough: a wait ends at once if there is something to read. The busiest machine needs more.
        waits = [call("wait", seconds=25, op_id="w%d" % n) for n in range(4)]
        parent = {"steps": [
            spawn, spawn, call("spawn_task", prompt="one more", op_id="t"), *waits, call("read_inbox"),
            {"shell": "git merge -q --no-edit ai_orch/part"}, *commit_by(cli)["steps"]]}
        world.serve(cli, script=lambda prompt: child if prompt.startswith(part) else parent)
        before = world.configured()
        run = world.run(cli, TASK, "--name", "task", "--may-start", "1")
        expect(run, 0, [(cli, "done")])
        got = answers(world, cli)
        started = [g for g in got if g.get("branch") == "ai_orch/part"]
        check(len(started) == 2 and started[0] == started[1], "the same wish twice was answered", got)
        said = [r for request in world.asked(cli) for r in request.get("results", [])]
        check(any("of the agents that may be started" in r for r in said), "one too many was not refused", said)
        agents = {a["session"]: a for a in world.json("list")["agents"]}
        check(sorted(agents) == ["part", "task"], "there are", sorted(agents))
        check(agents["part"]["state"] == "done" and agents["part"]["parent"] == run.agent["id"], "the child is", agents["part"])
        [asked] = {r["prompt"] for r in world.asked(cli) if r["prompt"].startswith(part)}
        check(asked.startswith(part + "\n\n[ai_orch] You are the agent part"), "the child was asked", asked)
        texts = [m["text"] for g in got for m in g.get("messages", [])]
        check(any("The agent part that you started is done" in t for t in texts), "it read", texts)
        branch = run.agent["branch"]
        check(world.git("show", branch + ":part.txt") == "part by %s\n" % cli, "the work of the child is not on the branch")
        check(world.git("show", branch + ":hello.txt") == "hello by %s\n" % cli, "its own work is not on the branch")
        who = world.git("log", "--format=%an", "%s..%s" % (world.base, branch)).split()
        check(who == [cli, cli], "commits on the branch are by", who, run)
        check(world.configured() == before, "the settings of the user were changed")
        world.untouched()
        return "its child and it done in %.1f s" % run.seconds


for name in ("gemini", "codex", "claude"):
    starts_another(name)


@case("mcp-official-client")
def _(world):
    """The official Python client goes through every tool."""
    python = world.bin / "mcp-python"
    if not python.exists():
        return "SKIPPED: the official client could not be had"
    done, _ = world.orch("run", "--detach", "--agent-cli", "sh", "--name", "worker", "--role", "reviewer", "exec tail -f README.md")
    check(done.returncode == 0, done.stderr)
    client = [str(python), str(Path(__file__).parent / "mcp_client.py"), *world.call]
    done = subprocess.run(client, cwd=world.repo, env=world.env, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, "the client says", done.stdout[-2000:], done.stderr[-3000:])
    world.orch("kill", "worker")
    return done.stdout.strip()


for name, second in (("gemini", "claude"), ("codex", "claude"), ("claude", "codex")):
    repaired(name)
    never_repaired(name, second)
    reads_only(name)
    arrives(name)
    killed(name)


@case("codex-sandbox")
def _(world):
    """codex may commit in its linked worktree, and write nowhere else that is ours."""
    world.serve("codex", script={"steps": [
        {"shell": "touch %s/escaped %s/escaped; git rev-parse --git-dir" % (world.home, world.repo)},
        *commit_by("codex")["steps"]]})
    run = world.run("codex", TASK)
    expect(run, 0, [("codex", "done")])
    world.committed(run, "codex")
    check(not (world.home / "escaped").exists() and not (world.repo / "escaped").exists(), "it wrote outside its worktree")
    check(not run.agent.get("not_committed"), run)


@case("codex-builtin-healthy")
def _(world):
    world.serve("codex")
    builtin(world)
    run = world.run("codex,claude", TASK)
    expect(run, 0, [("codex", "done")])
    world.committed(run, "codex")
    return "healthy run in %.1f s" % run.seconds


@case("missing-cli")
def _(world):
    """A CLI of the chain that is not installed costs no time."""
    world.serve("claude")
    run = world.run("cursor-agent,claude", TASK)
    expect(run, 0, [("cursor-agent", "missing_cli"), ("claude", "done")])
    world.committed(run, "claude")


def hangs(cli):
    @case(cli + "-hangs-until-timeout")
    def _(world):
        world.serve(cli, fail="hang")
        run = world.run(cli, TASK, "--timeout", "12s")
        expect(run, 7, [(cli, "timeout")])
        check(run.seconds < 30, "it took %.1f s to stop" % run.seconds)
        world.untouched()


for name in ("gemini", "codex", "claude"):
    hangs(name)


@case("codex-without-sandbox")
def _(world):
    """Where codex cannot have its sandbox, as in many containers, it can do nothing: claude takes over."""
    world.call = ["unshare", "-U", "--map-current-user", "--keep-caps", "sh", "-c",
                  'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all -- "$0" "$@"', *world.call]
    world.serve("codex")
    world.serve("claude")
    run = world.run("codex,claude", TASK)
    expect(run, 0, [("codex", "refused"), ("claude", "done")])
    message(run, 0, "sandbox")
    world.committed(run, "claude")


@case("claude-budget")
def _(world):
    world.serve("claude", tokens=(200_000, 4000))
    run = world.run("claude", TASK, "--budget", "0.5")
    expect(run, 5, [("claude", "budget")])
    check(run.agent["usage"]["cost_usd"] > 0.5, run.agent["usage"])
    done, _ = world.orch("run", "--agent-cli", "codex", "--budget", "0.5", "--", TASK)
    check(done.returncode == 2, "a budget for codex was not refused:", done.returncode, done.stderr)


@case("last-keeps-its-own-retries")
def _(world):
    """Nobody is left to turn to: claude tries again by itself until it works."""
    world.serve("claude", fail="server_error", fail_count=4)
    run = world.run("claude", TASK)
    expect(run, 0, [("claude", "done")])
    world.committed(run, "claude")
