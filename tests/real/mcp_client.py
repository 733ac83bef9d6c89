"""Goes through every tool of `ai_orch mcp` with the official Python client, good input and bad: mcp_client.py PROGRAM...

Called in a repository with an agent `worker` of the role `reviewer` at work. Prints a line for each tool; exit code 1 if
anything is not as it should be."""
import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

USED = set()


def check(true, *what):
    if not true:
        raise SystemExit("wrong: " + " ".join(str(w) for w in what))


async def main(program, *words):
    import os
    server = StdioServerParameters(command=program, args=[*words, "mcp"], env=dict(os.environ))
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        told = await session.initialize()
        info = getattr(told, "server_info", None) or told.serverInfo
        check(info.name == "ai_orch", "the server is called", info.name)
        offered = {tool.name: tool for tool in (await session.list_tools()).tools}

        async def call(tool, error=None, **args):
            """What `tool` answers; with `error`, it must answer that, and say what to do."""
            result = await session.call_tool(tool, args)
            wrong = result.is_error if hasattr(result, "is_error") else result.isError
            answer = json.loads(result.content[0].text)
            check(bool(wrong) == (error is not None), tool, args, answer)
            if error is not None:
                check(answer["error"]["code"] == error and answer["error"]["hint"], tool, args, answer)
            else:
                check("unread" in answer, tool, "does not say how much is unread:", answer)
                USED.add(tool)
            return answer

        me = await call("whoami")
        check(me["name"] == "user", me)
        [worker] = (await call("list_agents"))["agents"]
        check((worker["name"], worker["role"]) == ("worker", "reviewer"), worker)
        await call("send_message", to="worker", text="hello")
        await call("send_message", to="role:reviewer", text="hello, reviewers")
        await call("send_message", to=42, text="x", error="usage")
        await call("send_message", text="x", error="usage")
        await call("send_message", to="nobody", text="x", error="no_agent")
        await call("read_inbox")
        await call("read_inbox", max="many", error="usage")
        await call("ack", ids=[])
        await call("ack", ids=["no id"], error="usage")
        await call("ask_user", question="for agents only", error="usage")
        USED.add("ask_user")
        check((await call("wait", seconds=1))["came"] == "nothing", "it came too early")
        await call("wait", seconds=-1, error="usage")
        first = (await call("create_task", text="the first", op_id="1"))["task_id"]
        check((await call("create_task", text="the first", op_id="1"))["task_id"] == first, "it was created twice")
        second = (await call("create_task", text="the second", depends_on=[first], priority=9, hold=True))["task_id"]
        third = (await call("create_task", text="the third", priority=0))["task_id"]
        await call("create_task", text="", error="usage")
        await call("spawn_task", prompt="for agents only", error="only_agents")
        USED.add("spawn_task")
        await call("create_task", text="x", priority=300, error="usage")
        listed = [t["id"] for t in (await call("list_tasks"))["tasks"]]
        check([id for id in listed if id in (first, second, third)] == [first, second, third], "not all are listed:", listed)
        check(len(listed) == 4, "what the agent does itself is listed with them:", listed)
        await call("list_tasks", task_id="no such id", error="no_task")
        await call("list_tasks", task_id="x", error="usage")
        await call("claim_task", task_id=second, error="dependencies_open")
        check((await call("claim_task"))["task"]["id"] == first, "not the oldest of the highest priority that is ready")
        await call("update_task", task_id=first, text="half", state="working")
        await call("update_task", task_id=first, state="done", error="usage")
        await call("add_artifact", task_id=first, name="a", text="content")
        await call("add_artifact", task_id=first, name="a", error="usage")
        await call("complete_task", task_id=first, text="done")
        await call("complete_task", task_id=third, error="not_owner")
        check((await call("claim_task"))["task"]["id"] == second, "the second is not ready")
        await call("release_task", task_id=second, text="not me")
        await call("claim_task", task_id=second)
        await call("fail_task", task_id=second, text="no way")
        await call("claim_task", task_id=second, error="terminal")
        states = {t["id"]: t["state"] for t in (await call("list_tasks"))["tasks"]}
        check((states[first], states[second], states[third]) == ("completed", "failed", "submitted"), states)
        await call("reserve_files", globs=["src/**"], why="to move them", op_id="r")
        await call("reserve_files", globs=["../outside"], error="usage")
        check("src/**" in json.dumps(await call("list_reservations")), "what was reserved is not listed")
        await call("release_files", globs=["src/**"])
        check("src/**" not in json.dumps(await call("list_reservations")), "what was released is listed")
        for name in offered:
            await call(name, no_such_thing=1, error="usage")
        await call("who", error="usage")
        check(USED == set(offered), "tools that were not called:", set(offered) ^ USED)
        print("%d tools, good input and bad" % len(offered))


asyncio.run(main(*sys.argv[1:]))
