"""Argo CD's way with Lua, as tests hold it: Lua 5.1, the libraries that it opens, tables for objects, and what becomes of empty ones.

Argo CD runs gopher-lua, a Lua 5.1. It opens the base, package and table libraries, and an ``os`` of two functions that scripts have to
require. An action may return an object in which every empty map has become an empty list, because a Lua table is both; Argo CD puts back
those that were there before.
"""

from pathlib import Path
from typing import Any

import yaml  # kubernetes brings it; resolves anchors as kubectl does
from lupa import lua51

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "manifests" / "gitops" / "argocd" / "argocd-cm.yaml"
HEALTHS = {"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}
_CLOSE = """
local date, time = os.date, os.time
for _, name in ipairs({"string", "math", "io", "os", "debug", "coroutine", "dofile", "loadfile"}) do _G[name] = nil end
getmetatable("").__index = nil
package.loaded["os"] = {date = date, time = time}
python = nil
"""


def settings() -> dict[str, str]:
    """Return the data of the patch, as it is in a cluster afterwards."""
    return yaml.safe_load(SETTINGS.read_text())["data"]


def health(run: Object, data: dict[str, str]) -> tuple[str, str]:
    """Return the status and message that the kind's check gives a run."""
    found = _call(run, data[f"resource.customizations.health.astra.dev_{run['kind']}"])
    assert set(found) <= {"status", "message"}, found
    assert found["status"] in HEALTHS, found
    return found["status"], found["message"]


def offered(run: Object, data: dict[str, str]) -> set[str]:
    """Return the actions that the run's kind offers for it, those left out that are disabled."""
    found = _call(run, _actions(run, data)["discovery.lua"])
    return {name for name, action in found.items() if not action["disabled"]}


def act(run: Object, action: str, data: dict[str, str]) -> Object:
    """Return the run that an action makes of a run."""
    (script,) = [item["action.lua"] for item in _actions(run, data)["definitions"] if item["name"] == action]
    return _mended(_call(run, script), run)


def merge_patch(old: Any, new: Any) -> Any:
    """Return the patch that Argo CD sends for what an action has changed: null is for what is gone."""
    changed = {key: item for key, item in new.items() if key not in old or old[key] != item}
    both = {key: merge_patch(old[key], item) for key, item in changed.items() if isinstance(item, dict) and isinstance(old.get(key), dict)}
    return {key: None for key in old if key not in new} | changed | both


def _actions(run: Object, data: dict[str, str]) -> Object:
    return yaml.safe_load(data[f"resource.customizations.actions.astra.dev_{run['kind']}"])


def _call(run: Object, script: str) -> Any:
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    to_table, from_table = _converters(lua)
    lua.execute(_CLOSE)
    lua.globals().obj = to_table(run)
    return from_table(lua.execute(script))


def _converters(lua: Any) -> tuple[Any, Any]:
    kind = type(lua.table())

    def to_table(value: Any) -> Any:
        if isinstance(value, dict):
            return lua.table_from({key: to_table(item) for key, item in value.items() if item is not None})
        if isinstance(value, list):
            return lua.table_from([to_table(item) for item in value])
        return value

    def from_table(value: Any) -> Any:
        if not isinstance(value, kind):
            return int(value) if isinstance(value, float) and value.is_integer() else value
        keys = list(value.keys())
        if keys == list(range(1, len(keys) + 1)):  # true of an empty table, which therefore becomes a list
            return [from_table(value[key]) for key in keys]
        return {key: from_table(value[key]) for key in keys}

    return to_table, from_table


def _mended(new: Any, old: Any) -> Any:
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _mended(item, old.get(key)) for key, item in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_mended(item, before) for item, before in zip(new, old, strict=False)] + new[len(old) :]
    return old if new == [] and isinstance(old, dict) else new
