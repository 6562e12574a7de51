"""A tool server that speaks MCP by hand and misbehaves in the way that its argument names. Not a test itself."""

import json
import os
import signal
import subprocess
import sys
import time

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


def say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(request: dict, result: object) -> None:
    say({"jsonrpc": "2.0", "id": request["id"], "result": result})


def tools(*names: str) -> list[dict]:
    return [{"name": name, "description": f"does the {name} thing", "inputSchema": OBJECT} for name in names]


def hello(request: dict, version: str | None = None) -> None:
    version = version or request["params"]["protocolVersion"]
    answer(request, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "bad", "version": "7"}})


def page(request: dict, how: str) -> None:
    cursor = (request.get("params") or {}).get("cursor")
    if how == "pages":
        number = int(cursor or 0)
        more = {"nextCursor": str(number + 1)} if number < 2 else {}
        answer(request, {"tools": tools(f"t{number}", f"u{number}"), **more})
    elif how == "circle":
        answer(request, {"tools": tools("a"), "nextCursor": "again"})
    elif how == "nothing":
        answer(request, {"tools": []})
    elif how == "refuses":
        say({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "no key\nin the vault"}})
    elif how == "nonsense":
        answer(request, {"tools": "many"})
    elif how == "silent-list":
        time.sleep(3600)
    elif how == "traceback":
        raise KeyError("VAULT")
    elif how == "unread":
        while True:
            say({"jsonrpc": "2.0", "id": "x" * 10_000, "method": "ping"})
    else:
        answer(request, {"tools": tools("a", "b", "c")})


def main(how: str, note: str) -> None:
    with open(note, "w") as file:
        child = None
        if how in ("child", "silent", "daemon", "stubborn"):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=how == "daemon")
        file.write(json.dumps({"pids": [os.getpid(), *([child.pid] if child else [])], "environment": sorted(os.environ)}))
    begin(how)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("method") == "initialize":
            hello(request, "1999-01-01" if how == "old" else None)
        elif request.get("method") == "tools/list":
            page(request, how)
    if how in ("deaf", "stubborn"):
        time.sleep(3600)


def begin(how: str) -> None:
    """Do what goes wrong before the first request is read."""
    if how == "exits":
        sys.exit("no such vault\n")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "closes":
        os.close(1)
        time.sleep(3600)
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "silent":
        time.sleep(3600)
    if how == "garbage":
        while True:
            print("<html>not a server</html>", flush=True)
    if how == "long-line":
        print("x" * (33 * 2**20), flush=True)
    if how == "banner":
        print("Welcome!", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
