"""What is measured: each case tells samples of its floor and of ours, taken in turn, and what they may come to."""
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

from world import Wrong, now


class Result:
    """One line of the table."""

    def __init__(self, case, unit, floor_what, floor, ours, factor=None, plus=0.0, limit=None):
        self.case, self.unit, self.floor_what = case, unit, floor_what
        self.floor, self.ours = floor, ours
        self.factor, self.plus, self.limit = factor, plus, limit

    def floor_median(self):
        return statistics.median(self.floor) if self.floor else None

    def median(self):
        return statistics.median(self.ours)

    def ratio(self):
        return self.median() / self.floor_median() if self.floor else None

    def allowed(self):
        """The most that ours may be; None: nothing is promised."""
        if self.limit is not None:
            return self.limit
        return None if self.factor is None else self.floor_median() * self.factor + self.plus

    def target(self):
        if self.limit is not None:
            return f"<= {self.limit:g}"
        if self.factor is None:
            return "-"
        return f"<= {self.factor:g}x" + (f" + {self.plus:g}" if self.plus else "")

    def ok(self):
        return self.allowed() is None or self.median() <= self.allowed()


class Skipped:
    """A case that cannot be measured here, and why."""

    def __init__(self, case, why):
        self.case, self.why = case, why


def pairs(n, floor, ours, burst=1):
    """Samples of both, in turn, the first of each pair changing; each the median of `burst` calls. One of each is thrown
    away: it fills caches."""
    floor(), ours()
    taken = ([], [])
    for i in range(n):
        for which in ((0, 1) if i % 2 == 0 else (1, 0)):
            taken[which].append(statistics.median((floor, ours)[which]() for _ in range(burst)))
    return taken


# ---- starts of the program

def starts(world, options, peers):
    hello = lambda: world.timed([world.hello], world.empty)
    for case, words, factor in (("--version", ["--version"], 1.0), ("list of nothing", ["list"], 1.5)):
        floor, ours = pairs(options.pairs, hello, lambda: world.timed([world.program, *words], world.empty), burst=20)
        yield Result(case, "ms", "hello, world", floor, ours, factor)
    for peer in peers:
        for case, words in (("--version", peer.version), ("list of nothing", peer.list)):
            if words:
                floor, theirs = pairs(options.pairs, hello, lambda: world.timed(words, world.empty), burst=5)
                yield Result(f"{peer.name}: {case}", "ms", "hello, world", floor, theirs)


# ---- an agent's start

class Bare:
    """The floor: the bare commands, one after the other."""

    def __init__(self, world, repository, commit):
        self.world, self.repository, self.commit = world, repository, commit

    def start(self, names):
        for name in names:
            path = self.world.base / "floor" / name
            for words in (["git", "worktree", "add", "-q", "-b", name, str(path), self.commit],
                          self.world.tmux("new-session", "-d", "-s", name, "-c", str(path), self.world.mark, self.world.fifo)):
                self.world.end(self.world.start(words), words)

    def clean(self, names, pids):
        for name in names:
            self.world.run(self.world.tmux("kill-session", "-t", f"={name}"))
        self.world.gone(pids)
        self.world.put_away(self.repository, [self.world.base / "floor" / n for n in names], names)


class Ours:
    """`ai_orch run --detach`, all at once."""

    def __init__(self, world, repository):
        self.world, self.repository = world, repository

    def start(self, names):
        calls = []
        for name in names:
            words = [self.world.program, "run", "--detach", "--agent-cli", "mark", "--name", name, "work"]
            calls.append((self.world.start(words), words))
        self.calls = calls

    def clean(self, names, pids):
        for pid, words in self.calls:
            self.world.end(pid, words)
        self.world.orch("kill", *names)
        self.world.gone(pids)
        worktrees = self.world.base.glob("home/.local/share/ai_orch/worktrees/*")
        self.world.put_away(
            self.repository, [d / n for d in worktrees for n in names], [f"ai_orch/{n}" for n in names])


class Theirs(Bare):
    """The start command of a peer; `{clean}` of it is its own affair."""

    def __init__(self, world, words):
        self.world, self.words = world, words

    def start(self, names):
        for name in names:
            words = [w.format(name=name, agent=self.world.mark, fifo=self.world.fifo) for w in self.words]
            self.world.end(self.world.start(words), words)

    def clean(self, names, pids):
        for pid in pids:
            os.kill(pid, 15)


def first_instruction(world, way, prefix, n=1, before_clean=lambda: None):
    """Milliseconds from before the first command to the first instruction of the last of n agents."""
    names = [world.name(prefix) for _ in range(n)]
    world.settle()
    before = now()
    way.start(names)
    pids, last = world.await_marks(n)
    before_clean()
    way.clean(names, pids)
    return (last - before) / 1e6


@contextlib.contextmanager
def standing_in(directory):
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir("/")


def agents(world, options, peers, case, files, factor, plus):
    repository, commit = world.repository(f"repo{files}", files)
    what = "git worktree add, tmux new-session"
    with standing_in(repository), warm(world):
        bare, ours = Bare(world, repository, commit), Ours(world, repository)
        floor, mine = pairs(options.pairs, lambda: first_instruction(world, bare, "f"),
                            lambda: first_instruction(world, ours, "o"))
        yield Result(f"start, {case} ({files} files)", "ms", what, floor, mine, factor, plus)
        for peer in peers:
            if peer.start:
                floor, theirs = pairs(options.pairs, lambda: first_instruction(world, bare, "f"),
                                      lambda: first_instruction(world, Theirs(world, peer.start), "t"))
                yield Result(f"{peer.name}: start, {case}", "ms", what, floor, theirs)
        if case == "small":
            n = 20
            floor, mine = pairs(options.pairs, lambda: first_instruction(world, bare, "f", n),
                                lambda: first_instruction(world, ours, "o", n))
            yield Result(f"{n} starts at once, {case}", "ms", f"{n} times the same, serial", floor, mine, 1.0)


def ready(world, options, peers):
    """A start for which a worktree was ready; then what making one costs a start meanwhile, which finds none."""
    files = 20_000
    repository, commit = world.repository("ready", files)
    with standing_in(repository), warm(world):
        bare, ours = Bare(world, repository, commit), Ours(world, repository)

        def taken():
            world.await_pool()
            return first_instruction(world, ours, "o", before_clean=world.await_pool)

        world.keep_ready(1)
        first, names = Ours(world, repository), [world.name("o")]
        first.start(names)
        pids, _ = world.await_marks(1)
        world.await_pool()
        floor, mine = pairs(options.pairs, lambda: first_instruction(world, bare, "f"), taken)
        first.clean(names, pids)
        yield Result(f"start, one is ready ({files} files)", "ms", "git worktree add, tmux new-session", floor, mine, 0.05)
        yield Result(f"start, one is ready ({files} files), all of it", "ms", "", [], mine, limit=30)

        def beside(number):
            world.keep_ready(number)
            other = Ours(world, repository)
            names = [world.name("b")]
            other.start(names)
            pids, _ = world.await_marks(1)
            if number:
                world.await_pool("new-")
            else:
                time.sleep(1.1)
            took = first_instruction(world, ours, "o")
            other.clean(names, pids)
            return took

        floor, mine = pairs(options.pairs, lambda: beside(0), lambda: beside(1))
        yield Result("start while another is made ready", "ms", "the same with pool = 0", floor, mine, 1.1)
        world.keep_ready(0)


def clean(world, options, peers):
    """The removal of a worktree in which nothing was left."""
    files = 20_000
    repository, commit = world.repository("clean", files)
    with standing_in(repository), warm(world):
        def bare():
            path = str(world.base / "floor" / world.name("f"))
            world.run(["git", "worktree", "add", "-q", "--detach", path, commit])
            world.settle()
            return world.timed(["git", "worktree", "remove", path])

        def ours():
            name = world.name("o")
            world.end(world.start(words := [world.program, "run", "--detach", "--agent-cli", "mark", "--name", name, "work"]), words)
            pids, _ = world.await_marks(1)
            world.orch("kill", name)
            world.gone(pids)
            world.settle()
            return world.timed([world.program, "clean", name])

        floor, mine = pairs(min(options.pairs, 7), bare, ours)
        yield Result(f"clean ({files} files)", "ms", "git worktree remove", floor, mine, 0.2)


def crowd(world, options, peers):
    """Starts at once, again and again, where one of each crowd finds a worktree ready: how many failed."""
    n, rounds = 32, options.rounds
    repository, _ = world.repository("crowd", 100)
    failed = 0
    with standing_in(repository), warm(world):
        world.keep_ready(1)
        for _ in range(rounds):
            names = [world.name("c") for _ in range(n)]
            calls = [world.start([world.program, "run", "--detach", "--agent-cli", "mark", "--name", name, "work"])
                     for name in names]
            came = sum(os.waitpid(pid, 0)[1] == 0 for pid in calls)
            failed += n - came
            pids, _ = world.await_marks(came)
            world.orch("kill", *names)
            world.gone(pids)
            world.orch("clean", *names)
        world.keep_ready(0)
    yield Result(f"{n} starts at once, {rounds} times: failures", "", "", [], [failed], limit=0)


@contextlib.contextmanager
def warm(world, n=1):
    """With n agents at work, so that the tmux server runs; their names and pids."""
    names = [world.name("w") for _ in range(n)]
    pids = []
    for at in range(0, n, 10):
        some = names[at:at + 10]
        calls = [world.start([world.program, "run", "--detach", "--agent-cli", "mark", "--name", name, "work"])
                 for name in some]
        pids += world.await_marks(len(some))[0]
        for call in calls:
            world.end(call, ["ai_orch", "run"])
    try:
        yield names, pids
    finally:
        world.orch("kill", *names)
        world.gone(pids)


# ---- many agents

def hundred(world, options, peers):
    with standing_in(world.tiny()), warm(world, 100):
        tmux = world.tmux("list-sessions")
        floor, ours = pairs(options.pairs, lambda: world.timed(tmux), lambda: world.timed([world.program, "list"]), burst=5)
        yield Result("list of 100 live agents", "ms", "tmux list-sessions", floor, ours, 2.0, 5.0)
        for peer in peers:
            if peer.list:
                floor, theirs = pairs(options.pairs, lambda: world.timed(tmux), lambda: world.timed(peer.list), burst=5)
                yield Result(f"{peer.name}: list beside 100", "ms", "tmux list-sessions", floor, theirs)


def resume(world, options, peers):
    case = "resume of 100 agents"
    try:
        world.orch("resume", "--help")
    except Wrong:
        yield Skipped(case, "this ai_orch has no verb `resume`")
        return
    took = []
    with standing_in(world.tiny()), warm(world, 100) as (names, _):
        for _ in range(options.resumes):
            # Those of this world, and no others of the machine.
            ours = [p.name for p in Path("/proc").glob("[0-9]*") if "__keep" in words_of(p.name)]
            keepers = [int(n) for n in ours if any(w.startswith(str(world.base)) for w in words_of(n))]
            world.run(world.tmux("kill-server"))
            world.gone(keepers)
            before = now()
            world.orch("resume", *names)
            took.append((world.await_marks(len(names))[1] - before) / 1e6)
    yield Result(case, "ms", "", [], took, limit=10_000)


# ---- at rest

REST = 20


def words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def children(pid):
    return [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]


def usage(pid):
    """Ticks of CPU so far, and each thread's voluntary context switches."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    switches = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                switches[task.name] = int(line.split()[1])
    return int(fields[11]) + int(fields[12]), switches


def private_kb(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def rest(world, options, peers):
    with standing_in(world.tiny()), warm(world) as ((name,), (agent,)):
        running = [world.program, "run", "--agent-cli", "mark", "--name", world.name("r"), "work"]
        logs = [world.program, "logs", "-f", name]
        run, follower = world.start(running), world.start(logs)
        world.await_marks(1)
        keeper = int(Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[1])
        who = {"a keeper": (keeper, 1), "run": (run, 0), "logs -f": (follower, 0)}
        # What follows the start is over: the board is posted, tmux has drawn, threads without work have ended.
        time.sleep(12)
        before = {what: usage(pid) for what, (pid, _) in who.items()}
        time.sleep(REST)
        for what, (pid, agents_own) in who.items():
            (ticks, switches), (ticks0, switches0) = usage(pid), before[what]
            yield Result(f"{what} at rest: CPU in {REST} s", "ticks", "", [], [ticks - ticks0], limit=0)
            woken = sum(n - switches0.get(thread, 0) for thread, n in switches.items())
            yield Result(f"{what} at rest: wake-ups", "", "", [], [woken], limit=15)
            yield Result(f"{what} at rest: children", "", "", [], [len(children(pid)) - agents_own], limit=0)
            yield Result(f"{what} at rest: private memory", "KiB", "", [], [private_kb(pid)], limit=6 * 1024)
        world.orch("kill", running[5])
        os.waitpid(run, 0)
    os.waitpid(follower, 0)


# ---- tasks

def claims(world, options, peers):
    """Processor time for each claim: what a busy machine does not change. On a file system in memory, where the root usually is."""
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else world.base

    def each(side, n, processes):
        with tempfile.TemporaryDirectory(dir=memory) as root, tempfile.TemporaryDirectory(dir=world.base) as state:
            words = [world.claims, side, f"{state}/state", f"{root}/root", str(n), str(processes)]
            _, processor_ms, done = world.run(words).split()
            if int(done) != n:
                raise Wrong(f"{done} of {n} tasks were claimed")
            return float(processor_ms) * 1e3 / n

    for n, processes, promise in ((10_000, 32, {"limit": 400}), (100, 1, {"factor": 2.0})):
        floor, ours = pairs(min(options.pairs, 5), lambda: each("floor", n, processes), lambda: each("ours", n, processes))
        yield Result(f"a claim, {processes} of {n} tasks at once", "us", "lock, append, post", floor, ours, **promise)


# ---- mail

WAKES = 200
DRIP = 20


def mail(world, options, peers):
    """From a send to the wake of whoever waits; then what a hundred agents cost that are written to."""
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else world.base

    def each(side):
        with tempfile.TemporaryDirectory(dir=memory) as root, tempfile.TemporaryDirectory(dir=world.base) as state:
            Path(state, "root").symlink_to(root)
            lines = world.run([world.mail, side, state, str(WAKES)]).split()
            return statistics.median(map(int, lines)) / 1e3

    what = "write, rename, inotify"
    for side, case in (("wake", "a file posted to its reader's wake"), ("send", "a message sent to its reader's wake")):
        floor, ours = pairs(min(options.pairs, 5), lambda: each("floor"), lambda: each(side))
        yield Result(case, "us", what, floor, ours, 3.0)
    with standing_in(world.tiny()), warm(world, 100) as (names, agents):
        state, root = world.base / "home/.local/state/ai_orch", world.base / "root"
        project = next(path.name for path in state.iterdir() if (path / "agents").is_dir())
        place = [str(state), str(root), project]
        readers = [world.start([world.mail, "reader", *place, name]) for name in names]
        keepers = [int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in agents]
        try:
            # All inboxes have their directories, and who waits waits.
            world.run([world.mail, "drip", *place, ",".join(names), "50", "4"])
            time.sleep(5)
            # What is promised is one message a second among all of them; the other says how that grows.
            for rate, whose, limit in ((1, "one", 2), (100, "each", None)):
                before = [processor_ns(pid) for pid in readers + keepers]
                sent = int(world.run([world.mail, "drip", *place, ",".join(names), str(rate), str(DRIP)]))
                used = sent + sum(processor_ns(pid) for pid in readers + keepers) - sum(before)
                yield Result(f"100 agents, {whose} gets a message each s: of a core", "%", "", [],
                             [used / (DRIP * 1e9) * 100], limit=limit)
        finally:
            for pid in readers:
                os.kill(pid, 15)
                os.waitpid(pid, 0)


def processor_ns(pid):
    """The processor time of a process so far, to the nanosecond: ticks are too coarse for what hardly does anything."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def all_cases(world, options, peers):
    sizes = [("small", 1_000, 1.0, 0.0), ("medium", 20_000, 0.75, 0.0)]
    if options.large:
        sizes.append(("large", 100_000, 0.75, 0.0))
    yield "starts", starts(world, options, peers)
    yield "list", hundred(world, options, peers)
    yield "claims", claims(world, options, peers)
    yield "mail", mail(world, options, peers)
    yield "rest", rest(world, options, peers)
    yield "resume", resume(world, options, peers)
    for size, files, factor, plus in sizes:
        yield size, agents(world, options, peers, size, files, factor, plus)
    yield "ready", ready(world, options, peers)
    yield "crowd", crowd(world, options, peers)
    # What was deleted makes files that are made in the next minutes dearer, for floor and ours alike.
    yield "clean", clean(world, options, peers)
