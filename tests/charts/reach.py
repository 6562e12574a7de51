"""Who may reach whom under NetworkPolicies, as Kubernetes defines them: what a cluster's network would do, computed.

Pods are told by their namespace, the namespace's labels and their own; an address outside is told by its IP.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """One end of a connection: a pod, or an address when ``ip`` is set."""

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    namespace_labels: dict[str, str] = field(default_factory=dict)
    ip: str = ""


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Tell if a label selector takes labels."""
    rules = {
        "In": lambda item: labels.get(item["key"]) in item["values"],
        "NotIn": lambda item: labels.get(item["key"]) not in item["values"],
        "Exists": lambda item: item["key"] in labels,
        "DoesNotExist": lambda item: item["key"] not in labels,
    }
    exact = all(labels.get(key) == wanted for key, wanted in selector.get("matchLabels", {}).items())
    return exact and all(rules[item["operator"]](item) for item in selector.get("matchExpressions", []))


def allowed(policies: list[Object], source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    """Tell if the first may open a connection to the second: both its policies of egress and the other's of ingress must allow it."""
    return _lets(policies, "Egress", source, target, (port, protocol)) and _lets(policies, "Ingress", target, source, (port, protocol))


def _lets(policies: list[Object], direction: str, owner: Pod, peer: Pod, where: tuple[int, str]) -> bool:
    mine = [
        policy
        for policy in policies
        if not owner.ip
        and policy["metadata"]["namespace"] == owner.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], owner.labels)
    ]
    rules = [(policy["metadata"]["namespace"], rule) for policy in mine for rule in policy["spec"].get(direction.lower(), [])]
    return not mine or any(_takes(home, rule, direction, peer, where) for home, rule in rules)


def _takes(home: str, rule: Object, direction: str, peer: Pod, where: tuple[int, str]) -> bool:
    ports, peers = rule.get("ports"), rule.get("to" if direction == "Egress" else "from")
    fits = not ports or any((item["port"], item.get("protocol", "TCP")) == where for item in ports)
    return fits and (not peers or any(_is(home, item, peer) for item in peers))


def _is(home: str, item: Object, peer: Pod) -> bool:
    if "ipBlock" in item:
        block = item["ipBlock"]
        inside = bool(peer.ip) and ipaddress.ip_address(peer.ip) in ipaddress.ip_network(block["cidr"])
        return inside and not any(ipaddress.ip_address(peer.ip) in ipaddress.ip_network(part) for part in block.get("except", []))
    if peer.ip:
        return False
    near = selects(item["namespaceSelector"], peer.namespace_labels) if "namespaceSelector" in item else peer.namespace == home
    return near and selects(item.get("podSelector", {}), peer.labels)
