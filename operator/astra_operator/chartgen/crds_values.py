"""The chart ``astra-crds``: the five CRDs as templates, so that an upgrade changes them, and kept when the release goes."""

from astra_jobs.api.artifact import KINDS, Kind
from astra_operator.chartgen.values import Chart, Values
from astra_operator.crdgen.documents import HEADER, crd, to_yaml
from astra_operator.crdgen.names import NAMES

NAME = "astra-crds"
INTRO = """Every run of a cluster lives in these definitions, so they have a release of their own, once a cluster, before any other chart:

```
helm install astra-crds charts/astra-crds --namespace astra-system --create-namespace
```

An upgrade of the release upgrades the definitions. Uninstalling it keeps them, and every run with them; who wants all of it gone
deletes them: `kubectl delete crd -l app.kubernetes.io/name=astra-crds`. Where they were applied with kubectl before, the first install
needs `--take-ownership --force-conflicts`, and the first upgrade `--force-conflicts`.
"""


class CrdsValues(Values):
    """There is nothing to choose."""


def template(kind: Kind, version: str) -> str:
    """Return a kind's CRD as the chart's template."""
    definition = crd(kind)
    definition["metadata"] |= {
        "labels": {
            "app.kubernetes.io/name": NAME,
            "app.kubernetes.io/part-of": "astra",
            "app.kubernetes.io/version": version,
            "app.kubernetes.io/managed-by": "Helm",
        },
        "annotations": {"helm.sh/resource-policy": "keep"},
    }
    text = HEADER + to_yaml(definition)
    if "{{" in text:
        raise ValueError(f"{kind}: a description holds '{{{{', which Helm would take for an action; write it in other words")
    return text


CHART = Chart(
    name=NAME,
    model=CrdsValues,
    about="The five resources of ASTRA on Kubernetes: ToolCorpus, ChainSynthesis, EnvSynthesis, SFTRun, RLRun.",
    intro=INTRO,
    files=lambda version: {f"templates/{NAMES[kind].plural}.yaml": template(kind, version) for kind in KINDS},
    owned=("templates/*.yaml",),
)
