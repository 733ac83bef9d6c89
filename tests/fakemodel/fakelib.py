"""What the stand-in model servers have in common: HTTP, the script of the "model", failures, the request log.

A script says what the model does: {"steps": [STEP, ...]}. One step is one turn of the model:

  text      what it says
  thinking  what it thinks, where the API shows that
  write     {"path", "content"}: it writes a file with the client's own tool
  shell     "cmd": it runs a command with the client's own tool
  tool      {"name", "args"}: it uses a tool by its exact name
  mcp       {"tool", "args"}: it uses a tool of the MCP server ai_orch, by the name that the client gives it
  sleep     seconds before it answers
  fail      a failure mode; with "fail_times": N only for the first N requests
  headers   {name: value}: more response headers

A step without a tool ends the turn; after the last step it says that nothing is left to do. The step is found by
counting the model's turns since the last thing a person said, so one server serves any number of conversations, and a
conversation that is resumed begins its script anew.

Requests that are no turn of the task (a title, a choice of model, a token count) get a bland answer and do not
advance the script: here they are called side requests. The log holds what the tools of the turn before came to.
"""
import argparse
import json
import os
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEFAULT = {"steps": [
    {"text": "I'll write the file first.", "write": {"path": "hello.txt", "content": "hello from the model\n"}},
    {"text": "Now I'll commit it.",
     "shell": "git add -A && git -c user.name=model -c user.email=model@example.invalid commit -q -m 'add hello.txt'"},
    {"text": "Done: hello.txt is written and committed."}]}

# Where the clients say in which directory they work: the write tools of some want an absolute path.
CWD = re.compile(r"(?:Primary working directory:|<cwd>|[Cc]urrent working directory is:?|Workspace Directories:\*{0,2}\s*-"
                 r"|Working directory:|working directory is)\s*`?(/[^\s<`\"\\]+)")
SIDE = re.compile(r"\s*(Generate a [^\n]{0,80}title|Please write a [^\n]{0,40}title|Summarize (this|the) (conversation|coding)"
                  r"|You are (a|performing) [^\n]{0,40}(title|CONTEXT CHECKPOINT))", re.I)


MCP = "ai_orch"        # the server whose tools a step `mcp` uses


def find_cwd(text):
    hits = CWD.findall(text)
    return hits[-1].rstrip(".,") if hits else None


def absolute(path, cwd):
    return path if path.startswith("/") or not cwd else os.path.join(cwd, path)


def chunks(text, n=24):
    return [text[i:i + n] for i in range(0, len(text), n)] or [""]


def new_id(prefix):
    return prefix + uuid.uuid4().hex[:24]


class Server(ThreadingHTTPServer):
    """A server on the loopback interface. `handler` is the API, the rest is what it is to do."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler, script=None, fail=None, fail_count=-1, fail_after=0, fail_side=False, retry_after=None,
                 reset_in=3600, tokens=(1200, 34), chunk_delay=0.0, port=0, log=None):
        if fail and fail not in handler.MODES:
            raise ValueError("no failure mode %r: %s" % (fail, ", ".join(sorted(handler.MODES))))
        self.script, self.fail, self.fail_left, self.fail_after = script, fail, fail_count, fail_after
        self.fail_side, self.retry_after, self.reset_in = fail_side, retry_after, reset_in
        self.tok_in, self.tok_out = tokens
        self.chunk_delay, self.log = chunk_delay, log
        self.requests = []      # what came, in order
        self.lock = threading.Lock()
        self.seen, self.step_fails = 0, {}
        super().__init__(("127.0.0.1", port), handler)
        self.port = self.server_address[1]

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):      # clients that are killed just go away
            super().handle_error(request, client_address)

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def stop(self):
        self.shutdown()
        self.server_close()

    def script_for(self, prompt):
        script = self.script(prompt) if callable(self.script) else self.script
        return script or DEFAULT

    def note(self, record):
        with self.lock:
            self.requests.append(record)
            if self.log:
                with open(self.log, "a") as f:
                    f.write(json.dumps(record, ensure_ascii=False) + "\n")

    def failure(self, step, key):
        """How this request of the task must fail, or None."""
        with self.lock:
            n, self.seen = self.seen, self.seen + 1
            if self.fail and self.fail_left != 0 and n >= self.fail_after:
                self.fail_left -= 1 if self.fail_left > 0 else 0
                return self.fail
            if step.get("fail"):
                used = self.step_fails.get(key, 0)
                if used < step.get("fail_times", 10 ** 9):
                    self.step_fails[key] = used + 1
                    return step["fail"]
        return None


class Handler(BaseHTTPRequestHandler):
    """One request. The APIs implement `get` and `post`."""

    protocol_version = "HTTP/1.1"
    MODES = {}

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.note("head")
        self.send_json(200, {})

    def do_GET(self):
        self.note("get")
        self.get()

    def do_POST(self):
        body = self.body()
        try:
            self.post(body)
        except ConnectionError:
            self.note("client gone")
            self.close_connection = True

    def note(self, kind, **facts):
        self.server.note(dict({"t": round(time.time(), 3), "kind": kind, "path": self.path}, **facts))

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raw = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0] or b"0", 16)
                raw += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    break
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            return json.loads(raw or b"{}")
        except ValueError:
            return {}

    def decide(self, main, prompt, index, **facts):
        """What the model does now: (script, step, failure mode)."""
        server = self.server
        if main:
            script = server.script_for(prompt)
            steps = script.get("steps", [])
            step = steps[index] if index < len(steps) else {"text": "Nothing is left to do."}
            mode = server.failure(step, (prompt, index))
        else:
            script, step = {}, {"text": "Task"}
            mode = server.fail if server.fail_side and server.fail_left != 0 else None
        self.note("main" if main else "side", step=index if main else None, fail=mode, prompt=prompt, **facts)
        time.sleep(step.get("sleep", 0))
        if mode == "disconnect":
            self.abort()
        elif mode == "hang":
            time.sleep(10 ** 6)
        return script, step, mode

    def delay(self, script):
        return script.get("chunk_delay", self.server.chunk_delay)

    def send_json(self, code, value, headers=None):
        data = json.dumps(value).encode()
        self.send_response(code)
        for name, text in dict({"Content-Type": "application/json", "Content-Length": len(data)}, **(headers or {})).items():
            self.send_header(name, str(text))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def start_sse(self, headers=None):
        self.send_response(200)
        fixed = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "close"}
        for name, text in dict(fixed, **(headers or {})).items():
            self.send_header(name, str(text))
        self.end_headers()
        self.close_connection = True

    def sse(self, value, event=None, delay=0.0):
        head = "event: %s\n" % event if event else ""
        self.wfile.write((head + "data: %s\n\n" % json.dumps(value)).encode())
        self.wfile.flush()
        time.sleep(delay)

    def abort(self):
        """Drops the connection without a proper end."""
        self.close_connection = True
        try:
            self.connection.shutdown(2)
        except OSError:
            pass

    def get(self):
        self.send_json(404, {"error": {"message": "not found"}})

    def post(self, body):
        raise NotImplementedError


def main(handler, about):
    """The server by itself, for trying things by hand."""
    p = argparse.ArgumentParser(description=about)
    p.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    p.add_argument("--log", help="append every request as a line of JSON")
    p.add_argument("--script", help="JSON file that says what the model does")
    p.add_argument("--fail", choices=sorted(handler.MODES), help="how requests of the task fail")
    p.add_argument("--fail-count", type=int, default=-1, help="how many of them (-1: all)")
    p.add_argument("--fail-after", type=int, default=0, help="how many go well first")
    p.add_argument("--fail-side", action="store_true", help="side requests fail too")
    p.add_argument("--retry-after", help="Retry-After of 429, 503 and 529")
    p.add_argument("--reset-in", type=int, default=3600, help="seconds until a quota is there again")
    p.add_argument("--chunk-delay", type=float, default=0.0, help="seconds between the pieces of an answer")
    p.add_argument("--tokens", default="1200,34", help="tokens read and written, reported for each turn")
    options = vars(p.parse_args())
    options["tokens"] = tuple(int(n) for n in options["tokens"].split(","))
    if options["script"]:
        with open(options["script"]) as f:
            options["script"] = json.load(f)
    server = Server(handler, **options)
    print(server.port, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
