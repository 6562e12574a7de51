"""A tool server that prints given bytes: ``python scripted_server.py FILE``, FILE a JSON map from method to lines. Not a test itself.

In a line, ``@ID`` stands for the request's number, ``@HELLO`` for a sound answer to initialize; characters are bytes (Latin-1). A list
of lists gives other lines each time that a method is asked. What it is sent is written to FILE.heard.
"""

import json
import sys

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "3"}}


def main(file: str) -> None:
    with open(file, encoding="utf-8") as source:
        script = {"initialize": ["@HELLO"], **json.load(source)}
    times: dict[str, int] = {}
    with open(f"{file}.heard", "a", encoding="utf-8") as heard:
        for request in map(json.loads, sys.stdin):
            heard.write(json.dumps(request) + "\n")
            heard.flush()
            method = request.get("method", "an answer")
            lines = script.get(method, [])
            turn = times[method] = times.get(method, -1) + 1
            for line in lines[min(turn, len(lines) - 1)] if lines and isinstance(lines[0], list) else lines:
                say(line, request.get("id"))


def say(line: str, number: object) -> None:
    hello = json.dumps({"jsonrpc": "2.0", "id": number, "result": HELLO})
    sys.stdout.buffer.write(line.replace("@HELLO", hello).replace("@ID", json.dumps(number)).encode("latin-1") + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
