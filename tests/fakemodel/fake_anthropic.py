#!/usr/bin/env python3
"""A stand-in for the Anthropic Messages API, as Claude Code uses it."""
import json
import time
from fakelib import MCP, Handler, SIDE, absolute, chunks, find_cwd, main, new_id

RATE = "This request would exceed your organization's rate limit of 50 requests per minute. For details, refer to: https://docs.claude.com/en/api/rate-limits."
OAUTH = "OAuth token has expired. Please obtain a new token or refresh your existing token."
CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
CAP = "You have reached your specified API usage limits. You will regain access on 2099-01-01 at 00:00 UTC."


class Anthropic(Handler):
    MODES = {   # status, type, message
        "rate_limit": (429, "rate_limit_error", RATE),
        # A subscription whose window is used up; more of it is in the headers.
        "quota": (429, "rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
        "credit": (400, "invalid_request_error", CREDIT),
        "usage_cap": (400, "invalid_request_error", CAP),
        "auth": (401, "authentication_error", "invalid x-api-key"),
        "oauth_expired": (401, "authentication_error", OAUTH),
        "forbidden": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
        "not_found": (404, "not_found_error", "model: claude-nonexistent-9"),
        "context": (400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum"),
        "server_error": (500, "api_error", "Internal server error"),
        "unavailable": (503, "api_error", "Service Unavailable"),
        "overloaded": (529, "overloaded_error", "Overloaded"),
        "stream_overloaded": (200, "overloaded_error", "Overloaded"),
        "disconnect": None,     # before the answer
        "truncate": None,       # in the middle of it
        "hang": None,
    }

    def fail(self, mode):
        code, kind, message = self.MODES[mode]
        head = {"request-id": new_id("req_")}
        if code in (429, 503, 529) and self.server.retry_after:
            head["retry-after"] = self.server.retry_after
        if mode == "quota":
            reset, unified = int(time.time()) + self.server.reset_in, "anthropic-ratelimit-unified-"
            head.update({unified + "status": "rejected", unified + "representative-claim": "five_hour",
                         unified + "reset": reset, unified + "5h-status": "rejected", unified + "5h-reset": reset,
                         unified + "5h-utilization": "1.0", unified + "overage-status": "rejected",
                         unified + "overage-disabled-reason": "org_level_disabled",
                         "retry-after": self.server.reset_in, "x-should-retry": "true"})
        error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": head["request-id"]}
        if mode.startswith("stream_"):
            self.start_sse(head)
            return self.sse(error, "error")
        self.send_json(code, error, head)

    def post(self, body):
        path = self.path.split("?")[0]
        if path.endswith("/count_tokens"):
            self.note("count tokens")
            return self.send_json(200, {"input_tokens": self.server.tok_in})
        if not path.endswith("/v1/messages"):
            self.note("other")
            return self.send_json(404, {"type": "error", "error": {"type": "not_found_error", "message": "not found"}})
        names = [t.get("name") for t in body.get("tools") or []]
        messages = body.get("messages") or []
        start = max([i for i, m in enumerate(messages) if said_by_person(m)] or [0])
        prompt = said_by_person(messages[start]) if messages else ""
        cwd = find_cwd(json.dumps(body.get("system")).replace("\\n", "\n") + "\n".join(t for m in messages for t in texts(m.get("content"))))
        script, step, mode = self.decide(
            bool(names) and not SIDE.match(prompt), prompt, sum(m.get("role") == "assistant" for m in messages[start:]),
            model=body.get("model"), messages=len(messages), cwd=cwd, results=results(messages))
        if mode in ("disconnect", "hang"):
            return
        if mode and mode != "truncate":
            return self.fail(mode)
        if not names:
            step = dict(step, text=side_answer(body))
        content = []
        if step.get("thinking") and body.get("thinking"):
            content.append({"type": "thinking", "thinking": step["thinking"], "signature": "ZmFrZQ=="})
        if step.get("text"):
            content.append({"type": "text", "text": step["text"]})
        call = tool_call(step, cwd)
        if call:
            content.append({"type": "tool_use", "id": new_id("toolu_"), "name": call[0], "input": call[1]})
        self.answer(body, script, step, content, mode)

    def answer(self, body, script, step, content, mode):
        stop = "tool_use" if content and content[-1]["type"] == "tool_use" else "end_turn"
        usage = {"input_tokens": self.server.tok_in, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                 "output_tokens": self.server.tok_out, "service_tier": "standard"}
        message = {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": body.get("model"),
                   "content": content, "stop_reason": stop, "stop_sequence": None, "usage": usage}
        head = dict({"request-id": new_id("req_")}, **step.get("headers", {}))
        if not body.get("stream"):
            return self.send_json(200, message, head)
        self.start_sse(head)

        def event(kind, delay=0.0, **more):
            self.sse(dict({"type": kind}, **more), kind, delay)

        event("message_start", message=dict(message, content=[], stop_reason=None, usage=dict(usage, output_tokens=1)))
        for i, block in enumerate(content):
            kind = block["type"]
            if kind == "text":
                empty, deltas = {"type": "text", "text": ""}, [{"type": "text_delta", "text": c} for c in chunks(block["text"])]
            elif kind == "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": block["thinking"]},
                          {"type": "signature_delta", "signature": block["signature"]}]
            else:
                empty = dict(block, input={})
                deltas = [{"type": "input_json_delta", "partial_json": c} for c in chunks(json.dumps(block["input"]))]
            event("content_block_start", index=i, content_block=empty)
            for delta in deltas:
                event("content_block_delta", self.delay(script), index=i, delta=delta)
            if mode == "truncate":
                return self.abort()
            event("content_block_stop", index=i)
        event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
        event("message_stop")


def texts(content):
    if isinstance(content, str):
        return [content]
    return [b.get("text", "") for b in content or [] if b.get("type") == "text"]


def results(messages):
    """What the tools of the turn before came to."""
    content = messages[-1].get("content") if messages else []
    blocks = [b for b in content if b.get("type") == "tool_result"] if isinstance(content, list) else []
    return ["\n".join(texts(b.get("content"))) for b in blocks]


def said_by_person(message):
    """The text of a user message, "" for results of tools and for reminders."""
    content = message.get("content")
    if message.get("role") != "user" or (isinstance(content, list) and any(b.get("type") == "tool_result" for b in content)):
        return ""
    return "\n".join(t for t in texts(content) if t.strip() and not t.lstrip().startswith("<system-reminder>"))


def side_answer(body):
    shape = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if not shape:
        return "Task"
    blank = {"string": "Task", "boolean": False}
    properties = (shape.get("schema") or {}).get("properties", {})
    return json.dumps({name: blank.get(p.get("type")) for name, p in properties.items()})


def tool_call(step, cwd):
    if "write" in step:
        return "Write", {"file_path": absolute(step["write"]["path"], cwd), "content": step["write"]["content"]}
    if "shell" in step:
        return "Bash", {"command": step["shell"], "description": "Run a command"}
    if "mcp" in step:
        return "mcp__%s__%s" % (MCP, step["mcp"]["tool"]), step["mcp"].get("args", {})
    if "tool" in step:
        return step["tool"]["name"], step["tool"].get("args", {})
    return None


if __name__ == "__main__":
    main(Anthropic, __doc__)
