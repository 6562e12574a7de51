"""The index under events that come late, twice, in any order or never: what it ends with is what the cluster holds."""

import copy
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_operator.clusters.base import RunKey
from astra_operator.clusters.index import Index
from astra_operator.clusters.kubernetes_resources import RESOURCES
from astra_operator.desired import naming

Object = dict[str, Any]
NAMESPACES = ("one", "two")
KINDS = ("ToolCorpus", "ConfigMap", "Job", "PyTorchJob", "Pod", "Workload")
RESOURCE = {resource.kind: resource for resource in RESOURCES}


@dataclass
class World:
    """A cluster without a program: every write gets the next resourceVersion and leaves an event."""

    version: int = 0
    uids: int = 0
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    events: list[tuple[str, Object]] = field(default_factory=list)
    dead: dict[str, Object] = field(default_factory=dict)

    def write(self, kind: str, namespace: str, name: str, owner: Object | None, label: str, note: str) -> Object:
        self.version += 1
        slot = (kind, namespace, name)
        if slot not in self.objects:
            self.uids += 1
            metadata: Object = {"name": name, "namespace": namespace, "uid": f"u{self.uids}"}
            if label:
                metadata["labels"] = {naming.LABEL_UID: label}
            if owner is not None:
                above = {key: owner["metadata"][key] for key in ("name", "uid")}
                metadata["ownerReferences"] = [{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True} | above]
            self.objects[slot] = {"apiVersion": RESOURCE[kind].api_version, "kind": kind, "metadata": metadata}
        item = self.objects[slot]
        item["metadata"] |= {"resourceVersion": str(self.version), "annotations": {"astra.dev/note": note}}
        self.events.append(("MODIFIED", copy.deepcopy(item)))
        return item

    def delete(self, slot: tuple[str, str, str]) -> None:
        self.version += 1
        item = self.objects.pop(slot)
        item["metadata"]["resourceVersion"] = str(self.version)
        self.dead[item["metadata"]["uid"]] = item
        self.events.append(("DELETED", copy.deepcopy(item)))

    def pages(self, kind: str, namespace: str, size: int = 2) -> list[Object]:
        items = [copy.deepcopy(item) for slot, item in sorted(self.objects.items()) if slot[:2] == (kind, namespace)]
        for item in items:  # lists of an API server do not name the kind of their items
            del item["kind"], item["apiVersion"]
        chunks = [items[start : start + size] for start in range(0, max(1, len(items)), size)]
        return [{"metadata": {"resourceVersion": str(self.version)}, "items": chunk} for chunk in chunks]

    def children(self, uid: str) -> list[tuple[str, str, str]]:
        """What really belongs to a run, by the letter of the rule: its label, and controllers that lead to it."""
        work = {item["metadata"]["uid"] for item in self.objects.values() if is_workload_of(item, uid)}
        return sorted(
            slot
            for slot, item in self.objects.items()
            if (item["kind"] == "Workload" and owner_of(item) in work)
            or (item["kind"] in ("ConfigMap", "Job", "PyTorchJob", "Pod") and label_of(item) == uid and owner_of(item) == uid)
            or (item["kind"] == "Pod" and label_of(item) == uid and owner_of(item) in work)
        )

    def orphans(self, uid: str) -> list[tuple[str, str, str]]:
        """Pods of workloads of a run that are gone: known to have been its own, or of the name of one of its requests."""
        requests = {slot[1:] for slot in self.children(uid) if slot[0] == "ConfigMap"}
        work = {
            above
            for above, item in self.dead.items()
            if is_workload_of(item, uid)
            or (item["kind"] in ("Job", "PyTorchJob") and (item["metadata"]["namespace"], item["metadata"]["name"]) in requests)
        }
        return sorted(slot for slot, item in self.objects.items() if slot[0] == "Pod" and label_of(item) == uid and owner_of(item) in work)


def owner_of(item: Object) -> str:
    return str(item["metadata"].get("ownerReferences", [{"uid": ""}])[0]["uid"])


def label_of(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(naming.LABEL_UID, ""))


def is_workload_of(item: Object, uid: str) -> bool:
    return item["kind"] in ("Job", "PyTorchJob") and label_of(item) == uid and owner_of(item) == uid


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A history of writes and deletions: runs, their children, and objects that only pretend to be theirs."""
    world = World()
    for _ in range(draw(st.integers(1, 30))):
        if world.objects and draw(st.integers(0, 4)) == 0:
            world.delete(draw(st.sampled_from(sorted(world.objects))))
            continue
        kind, namespace = draw(st.sampled_from(KINDS)), draw(st.sampled_from(NAMESPACES))
        there = [item for slot, item in sorted(world.objects.items()) if slot[1] == namespace]
        runs = [item for item in there if item["kind"] == "ToolCorpus"]
        wanted = {"Pod": ("Job", "PyTorchJob", "ToolCorpus"), "Workload": ("Job", "PyTorchJob")}.get(kind, ("ToolCorpus",))
        owners = [item for item in there if item["kind"] in wanted]
        owner = draw(st.sampled_from(owners)) if owners and kind != "ToolCorpus" and draw(st.integers(0, 5)) else None
        honest = owner["metadata"].get("labels", {}).get(naming.LABEL_UID) or owner["metadata"]["uid"] if owner else ""
        label = "" if kind in ("ToolCorpus", "Workload") else honest
        if label and runs and draw(st.integers(0, 5)) == 0:  # stolen from another run
            label = draw(st.sampled_from(runs))["metadata"]["uid"]
        name = draw(st.sampled_from(["a", "b", "c"]))
        world.write(kind, namespace, name, owner, label, draw(st.sampled_from(["x", "y"])))
    return world


def feed(index: Index, events: list[tuple[str, Object]]) -> None:
    for kind, item in events:
        (index.remove if kind == "DELETED" else index.put)(copy.deepcopy(item))


def resync(index: Index, world: World) -> set[RunKey]:
    changed: set[RunKey] = set()
    for kind in KINDS:
        for namespace in NAMESPACES:
            changed |= index.replace(RESOURCE[kind], namespace, iter(world.pages(kind, namespace)))[0]
    return changed


def seen(index: Index) -> dict[tuple[str, str, str], tuple[str, str]]:
    found = {}
    for kind in KINDS:
        for namespace in NAMESPACES:
            for name in ("a", "b", "c"):
                item = index.find(kind, namespace, name)
                if item is not None:
                    found[kind, namespace, name] = (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
    return found


def truth(world: World) -> dict[tuple[str, str, str], tuple[str, str]]:
    return {slot: (item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for slot, item in world.objects.items()}


def assert_truth(index: Index, world: World) -> None:
    assert seen(index) == truth(world)
    assert len(index) == len(world.objects)
    runs = {item["metadata"]["uid"]: slot for slot, item in world.objects.items() if slot[0] == "ToolCorpus"}
    assert sorted(index.keys()) == sorted(runs.values())
    for uid in runs:
        listed = [(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]) for item in index.children(uid)]
        assert set(world.children(uid)) <= set(listed)
        assert set(listed) <= {*world.children(uid), *world.orphans(uid)}
        assert len(listed) == len(set(listed))
        for item in index.children(uid):
            real = world.objects[item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]]
            assert item["metadata"]["annotations"] == real["metadata"]["annotations"]


@given(world=worlds(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_order_duplicates_and_losses_end_in_the_truth_after_a_list(world: World, data: st.DataObject) -> None:
    index = Index()
    events = data.draw(st.lists(st.sampled_from(world.events), max_size=60)) if world.events else []
    feed(index, events)
    resync(index, world)
    assert_truth(index, world)
    assert resync(index, world) == set()


@given(world=worlds(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_events_after_the_list_change_nothing(world: World, data: st.DataObject) -> None:
    index = Index()
    resync(index, world)
    late = data.draw(st.lists(st.sampled_from(world.events), max_size=60))
    live = {item["metadata"]["uid"] for item in world.objects.values()}
    # All but the first sight of what had been deleted before the list: nothing tells that from a new object but its own deletion.
    gone = {item["metadata"]["uid"]: item for kind, item in world.events if kind == "DELETED"}
    feed(index, [(kind, item) for kind, item in late if item["metadata"]["uid"] in live])
    assert_truth(index, world)
    feed(index, late)
    feed(index, [("DELETED", item) for item in gone.values()])
    feed(index, late)
    resync(index, world)
    assert_truth(index, world)


@given(world=worlds(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_every_event_once_in_any_order_is_the_truth_without_a_list(world: World, data: st.DataObject) -> None:
    index = Index()
    feed(index, data.draw(st.permutations(world.events)))
    assert_truth(index, world)


@given(world=worlds(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_older_version_never_replaces_a_newer_one_and_the_dead_stay_dead(world: World, data: st.DataObject) -> None:
    index = Index()
    newest: dict[str, int] = {}
    dead: set[str] = set()
    for kind, item in data.draw(st.lists(st.sampled_from(world.events), max_size=60)):
        uid = item["metadata"]["uid"]
        feed(index, [(kind, item)])
        if kind == "DELETED":
            dead.add(uid)
        newest[uid] = max(newest.get(uid, 0), int(item["metadata"]["resourceVersion"]))
        for found, version in seen(index).values():
            assert found not in dead
            assert int(version) == newest[found] or found in dead


@given(world=worlds())
@settings(max_examples=40, deadline=None)
def test_what_was_made_after_the_list_was_taken_stays(world: World) -> None:
    index = Index()
    old = {(kind, namespace): world.pages(kind, namespace) for kind in KINDS for namespace in NAMESPACES}
    world.write("ToolCorpus", "one", "late", None, "", "x")
    feed(index, world.events)
    for (kind, namespace), pages in old.items():
        index.replace(RESOURCE[kind], namespace, pages)
    assert index.run(RunKey("ToolCorpus", "one", "late")) is not None


# ---- news and misses


def run_and_request() -> tuple[World, Object, Object]:
    world = World()
    run = world.write("ToolCorpus", "one", "a", None, "", "x")
    return world, run, world.write("ConfigMap", "one", "b", run, run["metadata"]["uid"], "x")


def test_news_name_the_run_and_repetitions_are_none() -> None:
    world, run, request = run_and_request()
    index, key = Index(), RunKey("ToolCorpus", "one", "a")
    assert index.put(copy.deepcopy(request)) is None  # its run is not known yet
    assert index.put(copy.deepcopy(run)) == key
    assert index.put(copy.deepcopy(run)) is None
    request = world.write("ConfigMap", "one", "b", None, "", "y")
    assert index.put(copy.deepcopy(request)) == key
    request = world.write("ConfigMap", "one", "b", None, "", "y")  # a version without a change that anybody reads
    assert index.put(copy.deepcopy(request)) is None
    found = index.find("ConfigMap", "one", "b")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == request["metadata"]["resourceVersion"]
    assert index.remove(copy.deepcopy(request)) == key
    assert index.remove(copy.deepcopy(request)) is None
    assert index.remove(copy.deepcopy(run)) == key


def test_a_miss_is_told_once_and_only_after_the_grace() -> None:
    world, run, _ = run_and_request()
    clock = [0.0]
    index = Index(grace=30, clock=lambda: clock[0])

    def replace() -> int:
        return index.replace(RESOURCE["ConfigMap"], "one", world.pages("ConfigMap", "one"))[1]

    feed(index, [("ADDED", run)])
    assert replace() == 0
    clock[0] = 29
    assert replace() == 0
    clock[0] = 31
    assert replace() == 1
    assert replace() == 0
    # An event that comes after the list, but within the grace, was no miss.
    world.write("ConfigMap", "one", "b", None, "", "y")
    assert replace() == 0
    feed(index, world.events[-1:])
    clock[0] = 100
    assert replace() == 0
    # Nor was a deletion whose event came late; one without an event was.
    world.delete(("ConfigMap", "one", "b"))
    assert replace() == 0
    feed(index, world.events[-1:])
    clock[0] = 200
    assert replace() == 0
    index.put(world.write("ConfigMap", "one", "c", run, run["metadata"]["uid"], "x"))
    world.delete(("ConfigMap", "one", "c"))
    assert replace() == 0
    clock[0] = 300
    assert replace() == 1


def test_a_list_older_than_a_deletion_that_is_known_is_no_miss() -> None:
    world, _, _ = run_and_request()
    clock = [0.0]
    index = Index(grace=30, clock=lambda: clock[0])
    old = world.pages("ConfigMap", "one")
    world.delete(("ConfigMap", "one", "b"))
    feed(index, world.events)
    assert index.replace(RESOURCE["ConfigMap"], "one", old) == (set(), 0)
    clock[0] = 31
    assert index.replace(RESOURCE["ConfigMap"], "one", world.pages("ConfigMap", "one")) == (set(), 0)


def test_own_writes_are_no_events() -> None:
    world, _, request = run_and_request()
    clock = [0.0]
    index = Index(grace=30, clock=lambda: clock[0])
    index.replace(RESOURCE["ConfigMap"], "one", world.pages("ConfigMap", "one"))
    index.put(copy.deepcopy(request), streamed=False)
    clock[0] = 31
    assert index.replace(RESOURCE["ConfigMap"], "one", world.pages("ConfigMap", "one"))[1] == 1


def test_a_list_that_breaks_off_removes_nothing() -> None:
    world, _, _ = run_and_request()
    index = Index()
    feed(index, world.events)

    def pages():
        yield {"metadata": {"resourceVersion": "99"}, "items": []}
        raise TimeoutError

    with pytest.raises(TimeoutError):
        index.replace(RESOURCE["ConfigMap"], "one", pages())
    assert index.find("ConfigMap", "one", "b") is not None


# ---- the chain of owners


def test_pods_of_a_deleted_workload_stay_children_even_for_an_operator_that_never_saw_it() -> None:
    world, run, request = run_and_request()
    uid = run["metadata"]["uid"]
    job = world.write("Job", "one", "b", run, uid, "x")
    pod = world.write("Pod", "one", "c", job, uid, "x")
    world.delete(("Job", "one", "b"))
    knew, fresh = Index(), Index()
    feed(knew, world.events)
    resync(fresh, world)
    for index in (knew, fresh):
        assert [item["kind"] for item in index.children(uid)] == ["ConfigMap", "Pod"]
        assert index.put(world.write("Pod", "one", "c", None, "", "z")) == RunKey("ToolCorpus", "one", "a")
        index.remove(request)
    # Without the request nothing vouches for a workload that was never seen.
    assert [item["kind"] for item in fresh.children(uid)] == []
    assert [item["metadata"]["name"] for item in knew.children(uid)] == [pod["metadata"]["name"]]


@pytest.mark.parametrize("how", ["no owner", "unknown owner", "another's workload", "another namespace", "a ConfigMap as owner"])
def test_a_stolen_label_makes_no_child(how: str) -> None:
    world, run, request = run_and_request()
    uid = run["metadata"]["uid"]
    other = world.write("ToolCorpus", "one", "b", None, "", "x")
    foreign = world.write("Job", "one", "c", other, other["metadata"]["uid"], "x")
    mine = world.write("Job", "one", "b", run, uid, "x")
    stranger = copy.deepcopy(foreign)
    stranger["metadata"] |= {"uid": "nowhere", "name": "nowhere"}
    owner = {"no owner": None, "unknown owner": stranger, "another's workload": foreign, "another namespace": mine}.get(how, request)
    world.write("Pod", "two" if how == "another namespace" else "one", "c", owner, uid, "x")
    index = Index()
    feed(index, world.events)
    assert [item["kind"] for item in index.children(uid)] == ["ConfigMap", "Job"]


def test_a_pod_s_labels_alone_do_not_wake_a_run() -> None:
    world, run, _ = run_and_request()
    thief = world.write("Pod", "one", "c", None, run["metadata"]["uid"], "x")
    index = Index()
    index.put(run)
    assert index.put(thief) is None


def test_queued_workloads_are_found_by_their_owner() -> None:
    world, run, _ = run_and_request()
    uid = run["metadata"]["uid"]
    job = world.write("Job", "one", "b", run, uid, "x")
    index = Index()
    feed(index, world.events)
    queued = world.write("Workload", "one", "c", job, "", "x")
    assert index.put(queued) == RunKey("ToolCorpus", "one", "a")
    assert [item["kind"] for item in index.children(uid)] == ["ConfigMap", "Job", "Workload"]


def test_a_kind_that_is_not_watched_is_an_error() -> None:
    with pytest.raises(KeyError):
        Index().put({"apiVersion": "v1", "kind": "Secret", "metadata": {"uid": "u", "resourceVersion": "1", "name": "n", "namespace": "n"}})


def test_threads_that_write_and_read_at_once_end_in_the_truth() -> None:
    world = World()
    for number in range(200):
        run = world.write("ToolCorpus", "one", f"r{number % 40}", None, "", str(number))
        request = world.write("ConfigMap", "one", f"c{number % 40}", run, run["metadata"]["uid"], str(number))
        if number % 7 == 0:
            world.delete(("ConfigMap", "one", request["metadata"]["name"]))
    index = Index()

    def write(seed: int) -> None:
        events = copy.deepcopy(world.events)
        random.Random(seed).shuffle(events)
        feed(index, events)

    def read() -> None:
        for _ in range(50):
            for key in index.keys():  # noqa: SIM118 -- not a mapping
                run = index.run(key)
                if run is not None:
                    assert all(item["metadata"]["labels"] for item in index.children(run["metadata"]["uid"]))
            index.replace(RESOURCE["ConfigMap"], "one", iter(world.pages("ConfigMap", "one")))

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(write, seed) for seed in range(4)] + [pool.submit(read) for _ in range(2)]:
            future.result()
    resync(index, world)
    found = {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in index.runs()}
    assert found == {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for slot, item in world.objects.items() if slot[0] == "ToolCorpus"
    }
    requests = {slot[2] for slot in world.objects if slot[0] == "ConfigMap"}
    assert {item["metadata"]["name"] for uid in found for item in index.children(uid)} == requests
    assert len(index) == len(world.objects)
