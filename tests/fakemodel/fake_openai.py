#!/usr/bin/env python3
"""A stand-in for the OpenAI Responses API, as Codex uses it.

Newer models of Codex have one tool `exec` that takes JavaScript, in which the other tools are functions."""
import json
import re
import time
from fakelib import MCP, Handler, SIDE, chunks, find_cwd, main, new_id

RPM = "Rate limit reached for gpt-5 in organization org-fake on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 2s."
TPM = "Rate limit reached for gpt-5 in organization org-fake on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s."
QUOTA = ("You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: "
         "https://platform.openai.com/docs/guides/error-codes/api-errors.")
CONTEXT = "Your input exceeds the context window of this model. Please adjust your input and try again."
BUSY = "Our servers are currently overloaded. Please try again later."
KEY = "Incorrect API key provided: sk-dummy. You can find your API key at https://platform.openai.com/account/api-keys."
MODEL = "The model `gpt-nonexistent` does not exist or you do not have access to it."


class OpenAi(Handler):
    MODES = {   # status, type, code, message
        "rate_limit": (429, "requests", "rate_limit_exceeded", RPM),
        "quota": (429, "insufficient_quota", "insufficient_quota", QUOTA),
        "usage_limit": (429, "usage_limit_reached", None, "The usage limit has been reached"),
        "usage_not_included": (429, "usage_not_included", None, "Usage not included in your plan"),
        "stream_rate_limit": (200, "", "rate_limit_exceeded", TPM),
        "stream_quota": (200, "", "insufficient_quota", QUOTA),
        "stream_overloaded": (200, "", "server_is_overloaded", BUSY),
        "stream_context": (200, "", "context_length_exceeded", CONTEXT),
        "auth": (401, "invalid_request_error", "invalid_api_key", KEY),
        "forbidden": (403, "invalid_request_error", "forbidden", "You are not allowed to use this resource."),
        "not_found": (404, "invalid_request_error", "model_not_found", MODEL),
        "context": (400, "invalid_request_error", "context_length_exceeded", CONTEXT),
        "bad_request": (400, "invalid_request_error", "invalid_value", "Invalid value for 'input'."),
        "server_error": (500, "server_error", "server_error", "The server had an error while processing your request. Sorry about that!"),
        "unavailable": (503, "server_error", "service_unavailable", "The engine is currently overloaded, please try again later."),
        "overloaded": (503, "server_error", "server_is_overloaded", BUSY),
        "disconnect": None,
        "truncate": None,
        "hang": None,
    }

    def get(self):
        if self.path.split("?")[0].endswith("/models"):
            return self.send_json(200, {"object": "list", "data": [{"id": "gpt-5", "object": "model", "owned_by": "fake"}]})
        super().get()

    def fail(self, mode):
        code, kind, error_code, message = self.MODES[mode]
        head = {"x-request-id": new_id("req_")}
        if code in (429, 503) and self.server.retry_after:
            head["retry-after"] = self.server.retry_after
        error = {"message": message, "type": kind, "param": None, "code": error_code}
        if mode in ("usage_limit", "usage_not_included"):      # a ChatGPT plan
            reset = int(time.time()) + self.server.reset_in
            error.update(plan_type="plus", resets_at=reset, resets_in_seconds=self.server.reset_in)
            for window, used, minutes, at in (("primary", "100.0", 300, reset), ("secondary", "40.0", 10080, reset + 5 * 86400)):
                head.update({"x-codex-%s-used-percent" % window: used, "x-codex-%s-window-minutes" % window: minutes,
                             "x-codex-%s-reset-at" % window: at})
        if not mode.startswith("stream_"):
            return self.send_json(code, {"error": error}, head)
        self.start_sse(head)
        self.sse({"type": "response.created", "response": {"id": "resp_fake"}}, "response.created")
        failed = {"id": "resp_fake", "object": "response", "status": "failed", "error": {"code": error_code, "message": message}, "usage": None}
        self.sse({"type": "response.failed", "response": failed}, "response.failed")

    def post(self, body):
        if not self.path.split("?")[0].endswith("/responses"):
            self.note("other")
            return self.send_json(404, {"error": {"message": "not found"}})
        given = body.get("input")
        given = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
        tools = declared(body.get("tools"), given)
        turns = turns_of(given)
        start = max([i for i, (role, text) in enumerate(turns) if role == "user" and typed(text).strip()] or [0])
        prompt = typed(turns[start][1]) if turns else ""
        cwd = find_cwd((body.get("instructions") or "") + "\n".join(text for _, text in turns))
        script, step, mode = self.decide(
            bool(tools) and not SIDE.match(prompt), prompt, sum(role == "assistant" for role, _ in turns[start:]),
            model=body.get("model"), messages=len(turns), cwd=cwd, results=results(given))
        if mode in ("disconnect", "hang"):
            return
        if mode and mode != "truncate":
            return self.fail(mode)
        items = []
        if step.get("thinking"):
            items.append({"type": "reasoning", "id": new_id("rs_"), "encrypted_content": None,
                          "summary": [{"type": "summary_text", "text": step["thinking"]}]})
        if step.get("text"):
            items.append({"type": "message", "id": new_id("msg_"), "role": "assistant", "status": "completed",
                          "content": [{"type": "output_text", "text": step["text"], "annotations": []}]})
        call = tool_call(step, tools)
        if call:
            items.append(call)
        self.answer(body, script, step, items, mode)

    def answer(self, body, script, step, items, mode):
        tok_in, tok_out = self.server.tok_in, self.server.tok_out
        usage = {"input_tokens": tok_in, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": tok_out,
                 "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": tok_in + tok_out}
        response = {"id": new_id("resp_"), "object": "response", "created_at": int(time.time()), "model": body.get("model"),
                    "status": "in_progress", "output": []}
        whole = dict(response, status="completed", output=items, usage=usage)
        if not body.get("stream"):
            return self.send_json(200, whole)
        self.start_sse(dict({"x-request-id": new_id("req_")}, **step.get("headers", {})))
        number = 0

        def event(kind, delay=0.0, **more):
            nonlocal number
            self.sse(dict({"type": kind, "sequence_number": number}, **more), kind, delay)
            number += 1

        event("response.created", response=response)
        for i, item in enumerate(items):
            at = {"item_id": item["id"], "output_index": i}
            if item["type"] == "message":
                part = item["content"][0]
                event("response.output_item.added", output_index=i, item=dict(item, status="in_progress", content=[]))
                event("response.content_part.added", content_index=0, part=dict(part, text=""), **at)
                for c in chunks(part["text"]):
                    event("response.output_text.delta", self.delay(script), content_index=0, delta=c, **at)
                event("response.output_text.done", content_index=0, text=part["text"], **at)
                event("response.content_part.done", content_index=0, part=part, **at)
            else:
                event("response.output_item.added", output_index=i, item=item)
            if item["type"] == "reasoning":
                summary = item["summary"][0]
                event("response.reasoning_summary_part.added", summary_index=0, part=dict(summary, text=""), **at)
                event("response.reasoning_summary_text.delta", summary_index=0, delta=summary["text"], **at)
                event("response.reasoning_summary_text.done", summary_index=0, text=summary["text"], **at)
            if item["type"] == "function_call":
                event("response.function_call_arguments.delta", delta=item["arguments"], **at)
                event("response.function_call_arguments.done", arguments=item["arguments"], **at)
            if mode == "truncate":
                return self.abort()
            event("response.output_item.done", output_index=i, item=item)
        event("response.completed", response=whole)


def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(p.get("text", "") for p in content or [] if isinstance(p, dict))


def results(given):
    """What the tools of the turn before came to."""
    last = []
    for item in reversed(given):
        if not item.get("type", "message").endswith("_output"):
            break
        last.insert(0, text_of(item.get("output")) or json.dumps(item.get("output")))
    return last


def typed(text):
    """What a person said in a user message, without the blocks that the client adds."""
    added = r"\s*<(environment_context|user_instructions|system-reminder|INSTRUCTIONS|permissions|turn_aborted|skill|hook)|\s*# AGENTS\.md"
    return "" if re.match(added, text or "") else text or ""


def declared(tools, given):
    """The tools by name. Newer models get them as an item of the input."""
    tools = list(tools or [])
    for item in given:
        if item.get("type") == "additional_tools":
            tools += item.get("tools") or []
    named = {}
    for tool in tools:
        if tool.get("type") == "namespace":
            named.update({t.get("name"): dict(t, namespace=tool.get("name")) for t in tool.get("tools") or []})
        else:
            named[tool.get("name") or tool.get("type")] = tool
    return named


def turns_of(given):
    """(role, text) for each turn; text and call of one turn come back as neighbouring items."""
    turns = []
    for item in given:
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") in ("user", "developer", "system"):
            turns.append(("user" if item["role"] == "user" else "system", text_of(item.get("content"))))
        elif kind.endswith("_output"):
            turns.append(("tool", ""))
        elif (kind == "message" or kind.endswith("_call")) and (not turns or turns[-1][0] != "assistant"):
            turns.append(("assistant", ""))
    return turns


def tool_call(step, tools):
    def call(kind, prefix, name, **more):
        item = dict({"type": kind, "id": new_id(prefix), "call_id": new_id("call_"), "name": name, "status": "completed"}, **more)
        namespace = (tools.get(name) or {}).get("namespace")
        return dict(item, namespace=namespace) if namespace else item

    def custom(name, text):
        return call("custom_tool_call", "ctc_", name, input=text)

    def function(name, args):
        return call("function_call", "fc_", name, arguments=json.dumps(args))

    def is_custom(name):
        return (tools.get(name) or {}).get("type") == "custom"

    if "mcp" in step:
        name, args = "mcp__%s__%s" % (MCP, step["mcp"]["tool"]), step["mcp"].get("args", {})
        if is_custom("exec"):
            return custom("exec", "text(JSON.stringify(await tools.%s(%s)));" % (name, json.dumps(args)))
        # Where functions stand in namespaces, the name of the server is one.
        return function(step["mcp"]["tool"] if step["mcp"]["tool"] in tools else name, args)
    patch = None
    if "write" in step:
        lines = "".join("+%s\n" % line for line in step["write"]["content"].splitlines())
        patch = "*** Begin Patch\n*** Add File: %s\n%s*** End Patch\n" % (step["write"]["path"], lines)
    if is_custom("exec") and patch:
        return custom("exec", "text(await tools.apply_patch(%s));" % json.dumps(patch))
    if is_custom("exec") and "shell" in step:
        return custom("exec", "text(await tools.exec_command(%s));" % json.dumps({"cmd": step["shell"]}))
    if patch and "apply_patch" in tools:
        return custom("apply_patch", patch) if is_custom("apply_patch") else function("apply_patch", {"input": patch})
    if patch:
        step = {"shell": "apply_patch <<'END_OF_PATCH'\n%sEND_OF_PATCH" % patch}
    if "shell" in step:
        if "exec_command" in tools:
            return function("exec_command", {"cmd": step["shell"]})
        if "shell_command" in tools:
            return function("shell_command", {"command": step["shell"]})
        return function("shell", {"command": ["bash", "-lc", step["shell"]]})
    if "tool" in step:
        tool = step["tool"]
        return custom(tool["name"], tool["input"]) if "input" in tool else function(tool["name"], tool.get("args", {}))
    return None


if __name__ == "__main__":
    main(OpenAi, __doc__)
