"""The size of a sandbox pool; what it is isolated by is the team's to say (ConfigMap ``astra-team``), never a run's."""

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.v1alpha1.pod import Resources


class SandboxPool(Model):
    """Pods that run tool code, made for each stage that calls tools and gone with it. A laptop has none and ignores this."""

    replicas: int = spec_field(
        2, about="pods of the pool; a stage starts with fewer when the others are late", unit="pods", operational=True, ge=1, le=100
    )
    resources: Resources = spec_field(Resources, about="CPU, memory and local storage of each pod of the pool", operational=True)
