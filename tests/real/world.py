"""A private world for one case: home, repository, model servers, and the calls of ai_orch in it."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "fakemodel"))
from fake_anthropic import Anthropic    # noqa: E402
from fake_gemini import Gemini          # noqa: E402
from fake_openai import OpenAi          # noqa: E402
from fakelib import Server              # noqa: E402

APIS = {"claude": Anthropic, "codex": OpenAi, "gemini": Gemini}
CLOSED_PORT = 9         # nothing listens in our network namespace but what we start
CALL_LIMIT = 300


class Wrong(Exception):
    """The case did not come out as it should."""


def check(true, what, *more):
    if not true:
        raise Wrong(" ".join([what] + [str(m) for m in more]))


def commit_by(author):
    """The healthy model: writes a file and commits it in its own name."""
    commit = "git add -A && git -c user.name=%s -c user.email=%s@example.invalid commit -q -m 'add hello.txt'" % (author, author)
    return {"steps": [{"text": "I'll write the file.", "write": {"path": "hello.txt", "content": "hello by %s\n" % author}},
                      {"text": "Now I'll commit it.", "shell": commit},
                      {"text": "Done by %s." % author}]}


class Run:
    """A `run` that has ended."""

    def __init__(self, done, seconds):
        self.code, self.out, self.err, self.seconds = done.returncode, done.stdout, done.stderr, seconds
        try:
            self.doc = json.loads(self.out)
        except ValueError:
            self.doc = {}
        self.agent = self.doc.get("agent", {})

    @property
    def attempts(self):
        return [(a["cli"], a.get("failure", {}).get("class", a["result"])) for a in self.agent.get("attempts", [])]

    def __str__(self):
        told = ["  %s %s: %s" % (a["cli"], a["result"], a.get("failure", a.get("answer"))) for a in self.agent.get("attempts", [])]
        return "exit %d after %.1f s\n%s\n%s" % (self.code, self.seconds, "\n".join(told) or self.out[-2000:], self.err[-2000:])


class Mcp:
    """A client of our MCP server: the person's."""

    def __init__(self, command, cwd, env):
        self.server = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.id = 0
        self.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "test", "version": "1"})
        self.send(method="notifications/initialized")

    def send(self, **message):
        self.server.stdin.write(json.dumps(dict(message, jsonrpc="2.0")) + "\n")
        self.server.stdin.flush()

    def ask(self, method, **params):
        self.id += 1
        self.send(id=self.id, method=method, params=params)
        for line in self.server.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.id:
                return answer["result"]
        raise Wrong("the MCP server ended")

    def call(self, tool, **args):
        """What a tool answers; an error of it fails the case."""
        result = self.ask("tools/call", name=tool, arguments=args)
        check(not result.get("isError"), tool, args, result)
        return json.loads(result["content"][0]["text"])

    def end(self):
        self.server.stdin.close()
        check(self.server.wait(20) == 0, "the MCP server ended with", self.server.returncode)


class World:
    def __init__(self, name, base, bin_dir, program):
        self.dir = Path(tempfile.mkdtemp(prefix=name + "-", dir=base))
        # A short path of its own: the tmux socket is below it.
        self.root = Path(tempfile.mkdtemp(prefix="orch-"))
        self.bin, self.call, self.servers = Path(bin_dir), [program], {}
        self.codex_builtin = False      # whether codex uses its own provider, which tries WebSockets first
        self.home, self.repo = self.dir / "home", self.dir / "repo"
        for d in ("home/.codex", "home/.gemini", "tmp", "repo"):
            (self.dir / d).mkdir(parents=True)
        places = [str(bin_dir)] + [str(Path(shutil.which(p)).parent) for p in ("node", "git", "tmux") if shutil.which(p)]
        self.env = {
            "PATH": ":".join(dict.fromkeys(places + ["/usr/local/bin", "/usr/bin", "/bin"])),
            "HOME": str(self.home), "AI_ORCH_ROOT": str(self.root / "o"), "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "TMPDIR": str(self.dir / "tmp"), "CLAUDE_CODE_TMPDIR": str(self.dir / "tmp"),
            "ANTHROPIC_API_KEY": "sk-ant-dummy", "FAKE_API_KEY": "sk-dummy", "CODEX_API_KEY": "sk-dummy", "GEMINI_API_KEY": "dummy",
            # Nothing but the model servers is there to talk to.
            "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        for cli in APIS:
            self.connect(cli, CLOSED_PORT)
        (self.home / ".gemini/settings.json").write_text(json.dumps({
            "security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False}, "telemetry": {"enabled": False}}))
        (self.home / ".gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.invalid\n")
        (self.repo / "README.md").write_text("hello\n")
        self.git("init", "-q", "-b", "main")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "init")
        self.base = self.git("rev-parse", "HEAD").strip()

    # ---- model servers

    def connect(self, cli, port):
        """Makes `cli` talk to `port`, as its user would configure it."""
        url = "http://127.0.0.1:%d" % port
        if cli == "claude":
            self.env["ANTHROPIC_BASE_URL"] = url
        elif cli == "gemini":
            self.env["GOOGLE_GEMINI_BASE_URL"] = url
        else:
            provider = 'openai_base_url = "%s/v1"\n' % url if self.codex_builtin else (
                'model_provider = "fake"\n[model_providers.fake]\nname = "fake"\nbase_url = "%s/v1"\n'
                'wire_api = "responses"\nenv_key = "FAKE_API_KEY"\n' % url)
            (self.home / ".codex/config.toml").write_text(
                "check_for_update_on_startup = false\n%s[analytics]\nenabled = false\n" % provider)

    def serve(self, cli, **how):
        """Starts the model server of `cli`: healthy, and committing in the name of `cli`, if `how` says nothing else."""
        self.refuse(cli)
        server = Server(APIS[cli], **dict({"script": commit_by(cli)}, **how)).start()
        self.servers[cli] = server
        self.connect(cli, server.port)
        return server

    def refuse(self, cli):
        """Lets nobody answer `cli`."""
        if cli in self.servers:
            self.servers.pop(cli).stop()
        self.connect(cli, CLOSED_PORT)

    def asked(self, cli):
        """The requests of the task that the model of `cli` got."""
        server = self.servers.get(cli)
        return [r for r in server.requests if r["kind"] == "main"] if server else []

    # ---- calls

    def git(self, *words):
        done = subprocess.run(["git", *words], cwd=self.repo, env=self.env, capture_output=True, text=True)
        check(done.returncode == 0, "git", words, done.stderr)
        return done.stdout

    def orch(self, *words, stdin=None, limit=CALL_LIMIT):
        """Calls ai_orch: (its end, seconds)."""
        began = time.monotonic()
        # Files, not pipes: what a call leaves running must not hold it up.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given = {"input": stdin.encode()} if stdin is not None else {"stdin": subprocess.DEVNULL}
            try:
                done = subprocess.run([*self.call, *words], cwd=self.repo, env=self.env, stdout=out, stderr=err, timeout=limit, **given)
            except subprocess.TimeoutExpired:
                raise Wrong("no end after %d s: ai_orch %s" % (limit, " ".join(words)[:200]))
            seconds = time.monotonic() - began
            for name, file in (("stdout", out), ("stderr", err)):
                file.seek(0)
                setattr(done, name, file.read().decode("utf-8", "replace"))
        return done, seconds

    def run(self, chain, task, *more, **how):
        """Calls `run --json` and waits for its end."""
        words = ("run", "--json", "--agent-cli", chain, "--permissions", how.pop("permissions", "work"))
        return Run(*self.orch(*words, *more, "--", task, **how))

    def json(self, *words):
        done, _ = self.orch(*words, "--json")
        check(done.returncode == 0, "exit", done.returncode, "of ai_orch", words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def events(self, session):
        done, _ = self.orch("logs", session, "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    # ---- what must be true

    def committed(self, run, author):
        """The branch holds one commit, made by the model of `author`, and the user's checkout is as it was."""
        branch = run.agent["branch"]
        who = self.git("log", "--format=%an", "%s..%s" % (self.base, branch)).split()
        check(who == [author], "commits on the branch are by", who, "not", author, run)
        check(self.git("show", branch + ":hello.txt") == "hello by %s\n" % author, "hello.txt is not by", author)
        self.untouched()

    def untouched(self):
        check(self.git("rev-parse", "HEAD").strip() == self.base, "HEAD of the checkout moved")
        check(self.git("status", "--porcelain") == "", "the checkout changed")

    def mcp(self):
        return Mcp([*self.call, "mcp"], self.repo, self.env)

    @property
    def worktree_tmp(self):
        """A directory that every agent may write, in whatever sandbox."""
        return self.dir / "tmp"

    def configured(self):
        """The settings of the user's CLIs, as they are."""
        files = [self.home / ".gemini/settings.json", self.home / ".codex/config.toml", self.home / ".gitconfig"]
        return {str(f): f.read_bytes() for f in files} | {
            str(d): sorted(p.name for p in d.glob("*")) for d in (self.home / ".gemini/extensions", self.home / ".gemini/policies")}

    # ---- the end

    def processes(self):
        """What runs in this world: {pid: command line}."""
        mine, found = str(self.dir).encode(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mine in (entry / "environ").read_bytes() or os.readlink(entry / "cwd").startswith(str(self.dir)):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    if line:        # a zombie has none
                        found[int(entry.name)] = line[:200]
            except OSError:
                continue
        return found

    def nothing_runs(self, patience=5.0):
        end = time.monotonic() + patience
        while self.processes() and time.monotonic() < end:
            time.sleep(0.1)
        left = self.processes()
        check(not left, "still running:", left)

    def close(self, keep):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for server in self.servers.values():
            server.stop()
        if not keep:
            for _ in range(20):
                shutil.rmtree(self.dir, ignore_errors=True)
                shutil.rmtree(self.root, ignore_errors=True)
                if not self.dir.exists() and not self.root.exists():
                    break
                time.sleep(0.1)
