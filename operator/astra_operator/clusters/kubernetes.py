"""A real API server behind the protocol of ``base``: looks are answered from the index, writes go out and come back into it.

Whoever runs it feeds the index with events and lists (``resync``). It decides nothing about runs and tries nothing twice.
Creation decides races: a request or a workload is POSTed, and who finds it there already has lost. Only a ConfigMap that
exists is changed, and a Deployment of another size, by server-side apply, bound to its UID. A Secret is made and removed unseen.
"""

import base64
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes.client import ApiClient
from pydantic import ValidationError

from astra_jobs.api.artifact import Kind
from astra_jobs.api.base import GROUP
from astra_jobs.api.result import ProgressReport
from astra_operator.causes import Warned
from astra_operator.clusters.base import UNREAD, ClusterError, Event, Fenced, Gone, Object, RunKey, Unreachable
from astra_operator.clusters.index import Index
from astra_operator.clusters.index_trim import controller_of
from astra_operator.clusters.kubernetes_calls import APPLY, Call, Calls, Verb
from astra_operator.clusters.kubernetes_errors import Answer, failure
from astra_operator.clusters.kubernetes_events import EventWriter
from astra_operator.clusters.kubernetes_progress import fetch
from astra_operator.clusters.kubernetes_resources import RESOURCE_OF, RESOURCES, Resource
from astra_operator.clusters.kubernetes_served import Served
from astra_operator.clusters.kubernetes_team import TeamReader
from astra_operator.clusters.kubernetes_troubles import Troubles
from astra_operator.clusters.taken import taken
from astra_operator.desired.naming import LABEL_UID, MANAGER
from astra_operator.desired.pod import PROGRESS_PORT

_PAGE = 500
_LIST_PAUSES = (0.5, 1.0)
_POD_BYTES, _POD_SECONDS = 16_384, 2.0
_WRITER = {"fieldManager": MANAGER}


@dataclass(frozen=True)
class ClusterHooks:
    """What surrounds a cluster: may it write to a namespace now (the Lease), and who counts calls (verb, resource, code, seconds)."""

    may_write: Callable[[str], bool] = lambda namespace: True
    on_call: Callable[[str, str, int, float], None] = lambda verb, resource, code, seconds: None


class KubernetesCluster:
    """See ``base.Cluster``. Thread-safe; runs of one key must not be worked on by two threads at once."""

    def __init__(self, api: ApiClient, index: Index, hooks: ClusterHooks | None = None) -> None:
        self.index = index
        self._hooks = hooks or ClusterHooks()
        self._calls = Calls(api, self._hooks.on_call)
        self._teams = TeamReader(self._calls)
        self._served = Served(self._calls)
        self._told = Troubles(self._calls)
        self._events = EventWriter(self._calls, self._hooks.may_write)
        self._unsure: dict[str, list[Object]] = {}  # by run: what was to be made, and may have been, when no answer came

    # ---- looks, from memory

    def get_run(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """See ``base.Cluster``."""
        return self.index.run(RunKey(kind, namespace, name))

    def list_runs(self) -> list[Object]:
        """See ``base.Cluster``; costly with thousands of runs."""
        return self.index.runs()

    def children(self, uid: str) -> list[Object]:
        """See ``base.Cluster``; what may have been made without an answer is asked for first, or it would count as vanished."""
        while unsure := self._unsure.get(uid):
            self._refresh(unsure[0])
            unsure.pop(0)
        self._unsure.pop(uid, None)
        return self.index.children(uid)

    def refresh_pods(self, run: Object) -> bool:
        """See ``base.Cluster``."""
        pods, metadata = RESOURCE_OF["Pod"], run["metadata"]
        kind = {"apiVersion": pods.api_version, "kind": pods.kind}
        pages = self._pages(pods._replace(selector=f"{LABEL_UID}={metadata['uid']}"), metadata["namespace"])
        news = [self.index.put(item | kind, streamed=False) for page in pages for item in page["items"]]
        return any(news)

    # ---- writes

    def apply(self, objects: list[Object], owner: Object) -> list[str]:
        """See ``base.Cluster``."""
        return [item["metadata"]["name"] for item in objects if self._apply_one(_owned(item, owner), owner)]

    def admit(self, objects: list[Object], owner: Object) -> None:
        """See ``base.Cluster``; a server-side dry run of each creation."""
        for item in objects:
            owned = _owned(item, owner)
            answer = self._create(owned, {"dryRun": "All"})
            if answer.reason == "AlreadyExists":
                found = self._refresh(owned)
                if found is not None and not _same_owner(found, owned):
                    raise taken(found, owner)
            elif not answer.good:
                raise failure(_name(item), answer)

    def delete(self, item: Object) -> None:
        """See ``base.Cluster``; dependants go in the background."""
        self._check_lease(item)
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if item["kind"] in UNREAD:
            answer = self._send("delete", item, body=options)
            if not answer.good and answer.code != 404:
                raise failure(_name(item), answer)
            return
        options["preconditions"] = {"uid": item["metadata"]["uid"]}
        answer = self._send("delete", item, body=options)
        if answer.code == 409:  # another object has the name now, or the API server lost a race of its own
            found = self._refresh(item)
            if found is not None and found["metadata"]["uid"] == item["metadata"]["uid"]:
                raise failure(_name(item), answer)
        elif answer.code == 404 or (answer.good and answer.body.get("kind") == "Status"):
            self.index.remove(item, streamed=False)
        elif answer.good and "resourceVersion" in answer.body["metadata"]:
            self.index.put(answer.body, streamed=False)
        elif answer.good:  # seen of an object that was being deleted already: its answer says nothing that can be ordered
            self._refresh(item)
        else:
            raise failure(_name(item), answer)

    def write_status(self, run: Object, status: dict[str, Any]) -> None:
        """See ``base.Cluster``; refused by the API server, and tried again, when the run has changed since it was read."""
        self._check_lease(run)
        metadata = {field: run["metadata"][field] for field in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": run["apiVersion"], "kind": run["kind"], "metadata": metadata, "status": status}
        answer = self._send("update", run, "status", body, _WRITER)
        if answer.good:
            self.index.put(answer.body, streamed=False)
            return
        if answer.code not in (404, 409):
            raise failure(_name(run), answer)
        found = self._refresh(run)
        if found is None or found["metadata"]["uid"] != metadata["uid"]:
            raise Gone(f"{_name(run)} is gone")
        raise ClusterError(f"{_name(run)} has changed since it was read")

    def event(self, run: Object, event: Event) -> None:
        """See ``base.Cluster``."""
        self._events.put(run, event)

    def _apply_one(self, item: Object, owner: Object) -> bool:
        self._check_lease(item)
        if item["kind"] in UNREAD:
            return self._create_unread(item)
        known = self.index.find(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
        if known is not None and not _same_owner(known, item):
            known = self._refresh(item)  # memory may be behind, and what had the name may be gone
        if known is None and (known := self._create_new(item)) is None:
            return True
        if not _same_owner(known, item):
            raise taken(known, owner)
        if item["kind"] == "ConfigMap" and not _marked(known, item):
            self._mark(known, item)
        if item["kind"] == "Deployment" and not _marked(known, item):
            self._mark(known, item, item["spec"])
            return True
        return False

    def _create_new(self, item: Object) -> Object | None:
        """Make an object; return the one that has its name already, None when it was made."""
        try:
            answer = self._create(item, {})
        except Unreachable:
            self._unsure.setdefault(item["metadata"]["ownerReferences"][0]["uid"], []).append(item)
            raise
        if answer.good:
            self.index.put(answer.body, streamed=False)
            return None
        if answer.reason != "AlreadyExists":
            raise failure(_name(item), answer)
        known = self._refresh(item)
        if known is None:
            raise ClusterError(f"{_name(item)} was there and is gone; it is made in the next pass")
        return known

    def _create_unread(self, item: Object) -> bool:
        """Make a Secret with a new key. Nothing of the answer is kept, and one that is there already cannot be looked at."""
        key = base64.b64encode(secrets.token_hex(32).encode()).decode()
        answer = self._create(item | {"data": {"key": key}}, {})
        if not answer.good and answer.reason != "AlreadyExists":
            raise failure(_name(item), answer)
        return answer.good

    def _create(self, item: Object, query: dict[str, str]) -> Answer:
        # Strict: a field that the API server does not know is a fault of a builder, and would else be dropped in silence.
        resource, metadata = _resource(item), item["metadata"]
        query = _WRITER | {"fieldValidation": "Strict"} | query
        return self._calls.send(Call("create", resource.plural, resource.path(metadata["namespace"]), query, item))

    def _mark(self, known: Object, item: Object, spec: Object | None = None) -> None:
        """Set an object's labels and annotations, and its spec if one is given; never makes one, because the UID is named."""
        metadata = {field: item["metadata"][field] for field in ("name", "namespace", "labels", "annotations") if field in item["metadata"]}
        metadata["uid"] = known["metadata"]["uid"]
        body = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata} | ({"spec": spec} if spec else {})
        answer = self._send("patch", item, body=body, query=_WRITER | {"force": "true"})
        if answer.good:
            self.index.put(answer.body, streamed=False)
            return
        found = self._refresh(item) if answer.code in (404, 409, 422) else known  # another UID is an invalid field to the API server
        if found is None or found["metadata"]["uid"] != metadata["uid"]:
            raise ClusterError(f"{_name(item)} has changed since it was read")
        raise failure(_name(item), answer)

    # ---- pods, settings, the API server itself

    def progress(self, pod: Object) -> ProgressReport | None:
        """See ``base.Cluster``."""
        body = self._ask(pod, "/progress")
        try:
            return ProgressReport.model_validate_json(body) if body else None
        except ValidationError:
            return None

    def stacks(self, pod: Object) -> str:
        """See ``base.Cluster``."""
        return (self._ask(pod, "/stacks") or b"").decode(errors="replace")

    def team(self, namespace: str) -> dict[str, str]:
        """See ``base.Cluster``."""
        return self._teams.settings(namespace)

    def serves(self, api_version: str, kind: str) -> bool:
        """See ``base.Cluster``."""
        return self._served.kind(api_version, kind)

    def has_runtime(self, name: str) -> bool:
        """See ``base.Cluster``."""
        return self._served.runtime(name)

    def warnings(self, item: Object) -> list[Warned]:
        """See ``base.Cluster``."""
        return self._told.warnings(item)

    def terminating(self, namespace: str) -> bool:
        """See ``base.Cluster``."""
        return self._told.terminating(namespace)

    def may_watch(self, group: str, plural: str, namespace: str, name: str) -> bool:
        """Tell if events of an object can come at all; without a namespace, of those of its name in all namespaces."""
        return self._served.may_watch(group, plural, namespace, name)

    def now(self) -> datetime:
        """See ``base.Cluster``."""
        return datetime.now(UTC)

    # ---- lists

    def resync(self, namespaces: Iterable[str]) -> tuple[set[RunKey], int]:
        """List everything watched in some namespaces ("": in all) into the index.

        Returns the runs for which it was news, and how many events had been missed. Events that may not come are not missed.
        """
        changed: set[RunKey] = set()
        missed = 0
        namespaces = list(namespaces)
        for resource in RESOURCES:
            if resource.optional and not self.serves(resource.api_version, resource.kind):
                continue
            for namespace in namespaces:
                keys, late = self.index.replace(resource, namespace, self._pages(resource, namespace))
                changed |= keys
                missed += late if late and self._served.may_watch(resource.group, resource.plural, namespace) else 0
        return changed, missed

    def _pages(self, resource: Resource, namespace: str) -> Iterator[Object]:
        """List a collection in chunks. A list that expires half-way starts once more: what it brought already does no harm.

        A chunk that does not come is asked for again soon: all lists have to succeed in a row, and one bad answer must not cost the rest.
        """
        query = {"limit": str(_PAGE)} | ({"labelSelector": resource.selector} if resource.selector else {})
        expired = failed = 0
        token = ""
        while True:
            asked = query | ({"continue": token} if token else {})
            try:
                answer = self._calls.send(Call("list", resource.plural, resource.path(namespace), asked))
            except Unreachable as error:
                failed += 1
                if failed > len(_LIST_PAUSES):
                    raise
                time.sleep(max(error.after, _LIST_PAUSES[failed - 1]))
                continue
            if answer.code == 410 and expired < 3:
                expired, token = expired + 1, ""
                continue
            if not answer.good:
                raise failure(f"list of {resource.plural} in {namespace or 'all namespaces'}", answer)
            yield answer.body
            token = answer.body["metadata"].get("continue", "")
            if not token:
                return

    # ---- inside

    def _check_lease(self, item: Object) -> None:
        namespace = item["metadata"]["namespace"]
        if not self._hooks.may_write(namespace):
            raise Fenced(f"namespace {namespace}: this operator does not hold its Lease, so nothing is written there")

    def _send(
        self, verb: Verb, item: Object, subresource: str = "", body: Object | None = None, query: dict[str, str] | None = None
    ) -> Answer:
        resource, metadata = _resource(item), item["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], subresource)
        call = Call(verb, resource.plural, path, query or {}, body, APPLY if verb == "patch" else "application/json")
        return self._calls.send(call)

    def _refresh(self, item: Object) -> Object | None:
        """Read an object into the index; None, and forgotten, when it is gone."""
        answer = self._send("get", item)
        if answer.good:
            self.index.put(answer.body, streamed=False)
            return answer.body
        if answer.code != 404:
            raise failure(_name(item), answer)
        known = self.index.find(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
        if known is not None:
            self.index.remove(known, streamed=False)
        return None

    def _ask(self, pod: Object, path: str) -> bytes | None:
        status = pod.get("status", {})
        if status.get("phase") != "Running" or not status.get("podIP"):
            return None
        return fetch(status["podIP"], PROGRESS_PORT, path, _POD_BYTES, _POD_SECONDS)


def _owned(item: Object, owner: Object) -> Object:
    """Return an object as it is sent: in the run's namespace, controlled by it."""
    run = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": run["name"], "uid": run["uid"]}
    references = [reference | {"controller": True, "blockOwnerDeletion": True}]
    return item | {"metadata": item["metadata"] | {"namespace": run["namespace"], "ownerReferences": references}}


def _same_owner(known: Object, item: Object) -> bool:
    controller = controller_of(known)
    return controller is not None and controller["uid"] == item["metadata"]["ownerReferences"][0]["uid"]


def _marked(known: Object, item: Object) -> bool:
    """Tell if an object bears this project's labels as it is to have them, and of this project's annotations just those.

    Other labels may belong to a policy of the platform, which writes its own values at every request.
    """
    labels, annotations = (_own(item["metadata"].get(field)) for field in ("labels", "annotations"))
    have = _own(known["metadata"].get("annotations"))
    return have == annotations and labels.items() <= _own(known["metadata"].get("labels")).items()


def _own(marks: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (marks or {}).items() if key.startswith(f"{GROUP}/")}


def _resource(item: Object) -> Resource:
    resource = RESOURCE_OF.get(item["kind"])
    if resource is None:
        raise ValueError(f"kind {item['kind']} is not in the table of resources; add it to kubernetes_resources")
    return resource


def _name(item: Object) -> str:
    metadata = item["metadata"]
    return f"{item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
