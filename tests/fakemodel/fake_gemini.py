#!/usr/bin/env python3
"""A stand-in for the Gemini API, as Gemini CLI uses it."""
import json
import re
from fakelib import MCP, Handler, SIDE, absolute, chunks, find_cwd, main, new_id

RPC = "type.googleapis.com/google.rpc."
QUOTA = ("You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: "
         "https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 50")
LOGIN = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."
MODEL = "models/gemini-nonexistent is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods."
BROKEN = "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"
# Answers with status 200 in which nothing usable is.
HOLLOW = {"empty": "STOP", "safety": "SAFETY", "malformed": "MALFORMED_FUNCTION_CALL"}


class Gemini(Handler):
    MODES = {   # HTTP status, Google's status, message, kind of details
        "rate_limit": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", "Minute"),
        "quota": (429, "RESOURCE_EXHAUSTED", QUOTA, "Day"),
        "plain_429": (429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", None),
        "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "key"),
        "auth401": (401, "UNAUTHENTICATED", LOGIN, None),
        "forbidden": (403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", None),
        "not_found": (404, "NOT_FOUND", MODEL, None),
        "context": (400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", None),
        "server_error": (500, "INTERNAL", BROKEN, None),
        "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", None),
        "unavailable": (503, "UNAVAILABLE", "The service is currently unavailable.", None),
        "disconnect": None,
        "truncate": None,
        "hang": None,
        **dict.fromkeys(HOLLOW),
    }

    def get(self):
        self.send_json(200, {"models": [{"name": "models/gemini-2.5-pro"}]})

    def fail(self, mode):
        if mode in HOLLOW:
            answer = {"candidates": [{"content": {"role": "model", "parts": []}, "finishReason": HOLLOW[mode], "index": 0}],
                      "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10}, "modelVersion": "fake", "responseId": new_id("r")}
            if "stream" not in self.path:
                return self.send_json(200, answer)
            self.start_sse()
            return self.sse(answer)
        code, status, message, kind = self.MODES[mode]
        error = {"code": code, "message": message, "status": status}
        if kind:
            error["details"] = self.details(kind)
        retry = self.server.retry_after if code in (429, 503) else None
        self.send_json(code, {"error": error}, {"Retry-After": retry} if retry else {})

    def details(self, kind):
        if kind == "key":
            return [{"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
                     "metadata": {"service": "generativelanguage.googleapis.com"}}]
        wait = self.server.retry_after or (2 if kind == "Minute" else self.server.reset_in)
        return [{"@type": RPC + "QuotaFailure", "violations": [
                    {"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                     "quotaId": "GenerateRequestsPer%sPerProjectPerModel-FreeTier" % kind,
                     "quotaDimensions": {"location": "global", "model": "gemini-2.5-pro"}, "quotaValue": "50"}]},
                {"@type": RPC + "Help", "links": [{"description": "Learn more about Gemini API quotas",
                                                   "url": "https://ai.google.dev/gemini-api/docs/rate-limits"}]},
                {"@type": RPC + "RetryInfo", "retryDelay": "%ss" % wait}]

    def post(self, body):
        m = re.match(r"/v\w+/(?:models|tunedModels)/([^:]+):(\w+)", self.path.split("?")[0])
        if not m:
            self.note("other")
            return self.send_json(404, {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}})
        model, verb = m.groups()
        if verb == "countTokens":
            self.note("count tokens")
            return self.send_json(200, {"totalTokens": self.server.tok_in})
        names = [f.get("name") for t in body.get("tools") or [] for f in t.get("functionDeclarations") or []]
        contents = body.get("contents") or []
        start = max([i for i, c in enumerate(contents) if said_by_person(c)] or [0])
        prompt = said_by_person(contents[start]) if contents else ""
        cwd = find_cwd(json.dumps(body.get("systemInstruction")).replace("\\n", "\n") + "\n".join(t for c in contents for t in texts(c)))
        script, step, mode = self.decide(
            bool(names) and not SIDE.match(prompt), prompt, sum(c.get("role") == "model" for c in contents[start:]),
            model=model, messages=len(contents), cwd=cwd, results=results(contents))
        if mode in ("disconnect", "hang"):
            return
        if mode and mode != "truncate":
            return self.fail(mode)
        if not names:
            step = dict(step, text=side_answer(body))
        parts = []
        if step.get("thinking"):
            parts.append({"text": step["thinking"], "thought": True})
        if step.get("text"):
            parts += [{"text": c} for c in chunks(step["text"])] if verb == "streamGenerateContent" else [{"text": step["text"]}]
        call = tool_call(step, cwd)
        if call:
            parts.append({"functionCall": {"name": call[0], "args": call[1]}})
        usage = {"promptTokenCount": self.server.tok_in, "candidatesTokenCount": self.server.tok_out,
                 "totalTokenCount": self.server.tok_in + self.server.tok_out, "thoughtsTokenCount": 0, "cachedContentTokenCount": 0}

        def answer(parts, **more):
            candidate = dict({"content": {"role": "model", "parts": parts}, "index": 0}, **more)
            return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "fake"}

        if verb != "streamGenerateContent":
            return self.send_json(200, answer(parts, finishReason="STOP"))
        self.start_sse(step.get("headers"))
        for part in parts:
            self.sse(answer([part]), delay=self.delay(script))
            if mode == "truncate":
                return self.abort()
        self.sse(answer([{"text": ""}], finishReason="STOP"))


def texts(content):
    return [p["text"] for p in content.get("parts") or [] if "text" in p and not p.get("thought")]


def results(contents):
    """What the tools of the turn before came to."""
    parts = contents[-1].get("parts") or [] if contents else []
    answers = [p["functionResponse"].get("response") or {} for p in parts if "functionResponse" in p]
    return [str(a.get("output") or a.get("error") or json.dumps(a)) for a in answers]


def said_by_person(content):
    """The text of a user turn, "" for results of tools and for what the client adds by itself."""
    if content.get("role") != "user" or any("functionResponse" in p for p in content.get("parts") or []):
        return ""
    added = re.compile(r"\s*<(session_context|system-reminder|hook_context)|This is the Gemini CLI. We are setting up the context")
    return "\n".join(t for t in texts(content) if t.strip() and not added.match(t))


def side_answer(body):
    """Which model to use, who speaks next, is it a loop: an answer of the shape that was asked for."""
    config = body.get("generationConfig") or {}
    shape = config.get("responseJsonSchema") or config.get("responseSchema")
    if not shape:
        return "Task"
    blank = {"number": 1, "integer": 1, "boolean": False, "array": [], "object": {}}
    answer = {}
    for name, p in (shape.get("properties") or {}).items():
        kind = str(p.get("type", "")).lower()
        answer[name] = (p.get("enum") or ["fake"])[0] if kind == "string" else blank.get(kind)
    if "next_speaker" in answer:
        answer["next_speaker"] = "user"
    return json.dumps(answer)


def tool_call(step, cwd):
    if "write" in step:
        return "write_file", {"file_path": absolute(step["write"]["path"], cwd), "content": step["write"]["content"]}
    if "shell" in step:
        return "run_shell_command", {"command": step["shell"], "description": "Run a command"}
    if "mcp" in step:
        return "mcp_%s_%s" % (MCP, step["mcp"]["tool"]), step["mcp"].get("args", {})
    if "tool" in step:
        return step["tool"]["name"], step["tool"].get("args", {})
    return None


if __name__ == "__main__":
    main(Gemini, __doc__)
