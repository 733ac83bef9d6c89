"""A private world to measure in: home, tmux server, repositories, a fake agent CLI. And the clock."""
import os
import select
import subprocess
import time
from pathlib import Path

PATIENCE = 120


class Wrong(Exception):
    """Something did not do what is measured, so there is nothing to measure."""


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class World:
    def __init__(self, base, program):
        self.base = Path(base)
        self.program = str(program)
        self.hello = str(self.base / "bin/hello")
        self.mark = str(self.base / "bin/mark")
        self.claims = str(self.base / "bin/claims")
        self.mail = str(self.base / "bin/mail")
        self.fifo = str(self.base / "fifo")
        self.env = self._home("home", "root")
        self.empty = self._home("empty", "empty-root")
        self.socket = str(self.base / "root/tmux.sock")
        self.count = 0
        os.mkfifo(self.fifo)
        # Held open for reading and writing, so that no end of file comes between two agents.
        self.marks = os.open(self.fifo, os.O_RDWR | os.O_CLOEXEC)
        self.heard = b""
        profiles = self.base / "home/.config/ai_orch/agents"
        profiles.mkdir(parents=True)
        profiles.joinpath("mark.toml").write_text(
            f'name = "mark"\ncommand = "{self.mark}"\nargs = ["{self.fifo}"]\n')
        self.keep_ready(0)

    def _home(self, home, root):
        """An environment with a home of its own and nothing of the caller's."""
        path = self.base / home
        path.mkdir()
        path.joinpath(".gitconfig").write_text("[user]\nname = Bench\nemail = bench@example.invalid\n")
        return {"HOME": str(path), "AI_ORCH_ROOT": str(self.base / root), "GIT_CONFIG_NOSYSTEM": "1",
                "PATH": f"{self.base}/bin:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}

    # ---- worktrees that are ready

    def keep_ready(self, number):
        """How many worktrees are kept ready from now on; what is there is forgotten, and deleted at the end."""
        (self.base / "home/.config/ai_orch/config.toml").write_text(f"pool = {number}\n")
        pools = self.base / "home/.local/share/ai_orch/pool"
        if pools.exists():
            (self.base / "away").mkdir(exist_ok=True)
            pools.rename(self.base / "away" / self.name("pool"))

    def await_pool(self, begins=""):
        """Waits until a worktree is ready, or one is `new`. It is made when nobody else wants to work: on a busy machine that takes long."""
        deadline = time.monotonic() + 5 * PATIENCE
        while not any(path.name[:1] in "0123456789" if not begins else path.name.startswith(begins)
                      for path in self.base.glob("home/.local/share/ai_orch/pool/*/*")):
            if time.monotonic() > deadline:
                raise Wrong("no worktree was made ready")
            time.sleep(0.005)

    # ---- processes

    def start(self, words, env=None):
        """Starts a process with nothing on its standard streams (by vfork and exec); its pid."""
        null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", flag, 0) for fd, flag in
                ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY))]
        return os.posix_spawnp(words[0], words, env or self.env, file_actions=null)

    def end(self, pid, words):
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise Wrong(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")

    def timed(self, words, env=None):
        """Milliseconds from before the start of a process to after its end."""
        before = now()
        self.end(self.start(words, env), words)
        return (now() - before) / 1e6

    def run(self, words, cwd=None, stdin=None):
        """Runs a helper whose time does not matter; what it printed."""
        done = subprocess.run(words, cwd=cwd, env=self.env, input=stdin, capture_output=True, timeout=600)
        if done.returncode:
            raise Wrong(f"{' '.join(map(str, words))}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace")

    def orch(self, *words):
        return self.run([self.program, *words])

    def tmux(self, *words):
        return ["tmux", "-S", self.socket, *words]

    def name(self, prefix):
        self.count += 1
        return f"{prefix}-{self.count}"

    # ---- agents

    def await_marks(self, n):
        """Waits until n agents have told the clock: their pids, and when the last one did, in nanoseconds."""
        deadline = time.monotonic() + PATIENCE
        while self.heard.count(b"\n") < n:
            ready, _, _ = select.select([self.marks], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                came = self.heard.count(b"\n")
                raise Wrong(f"only {came} of {n} agents came to their first instruction")
            self.heard += os.read(self.marks, 1 << 16)
        lines = self.heard.decode().split("\n")
        self.heard = "\n".join(lines[n:]).encode()
        told = [tuple(map(int, line.split())) for line in lines[:n]]
        return [pid for pid, _ in told], max(at for _, at in told)

    def gone(self, pids):
        deadline = time.monotonic() + PATIENCE
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):
            if time.monotonic() > deadline:
                raise Wrong(f"still running: {pids}")
            time.sleep(0.002)

    def settle(self):
        """Nothing of what came before is still to be written: a sync would wait for it."""
        os.sync()

    # ---- repositories

    def repository(self, name, files):
        """A repository of so many files of a few kilobytes, in directories of fifty, packed as a clone is."""
        path = self.base / name
        self.run(["git", "init", "-q", "-b", "main", str(path)])
        lines = []
        for n in range(files):
            text = (f"line of file {n}, which is text like a source file's\n" * (1 + n * 7919 % 97))
            lines.append(f"M 100644 inline d{n // 2500:02}/e{n // 50 % 50:02}/f{n:06}.txt\ndata {len(text)}\n{text}\n")
        head = "commit refs/heads/main\ncommitter Bench <bench@example.invalid> 1700000000 +0000\ndata 4\ninit\n"
        self.run(["git", "fast-import", "--quiet"], cwd=path, stdin=(head + "".join(lines)).encode())
        self.run(["git", "reset", "-q", "--hard"], cwd=path)
        commit = self.run(["git", "rev-parse", "HEAD"], cwd=path).strip()
        return path, commit

    def tiny(self):
        """A repository whose size does not matter."""
        path = self.base / "tiny"
        return path if path.exists() else self.repository("tiny", 3)[0]

    def put_away(self, repository, paths, branches):
        """Forgets worktrees without deleting their files: ext4 without a journal passes over every inode that was freed in
        the last minutes, which makes each file that is made later dearer by so many others."""
        away = self.base / "away"
        away.mkdir(exist_ok=True)
        for path in paths:
            if path.exists():
                path.rename(away / self.name("w"))
        self.run(["git", "worktree", "prune"], cwd=repository)
        self.run(["git", "branch", "-q", "-D", *branches], cwd=repository)

    def close(self):
        subprocess.run([self.program, "kill", "--all"], env=self.env, capture_output=True)
        subprocess.run(self.tmux("kill-server"), env=self.env, capture_output=True)
