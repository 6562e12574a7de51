"""When a new attempt opens, and what it freezes."""

from astra_jobs.api.request import Input
from astra_operator.clusters.base import Object, format_time
from astra_operator.desired.security import user_of
from astra_operator.frozen import Frozen, Live, attempt_digest, identity, input_digests, spec_model
from astra_operator.resolve import Resolution
from astra_operator.settings import TeamSettings
from astra_operator.site import Site


def spec_changed(frozen: Frozen, live: Live) -> bool:
    """Tell if the user asks for something else than the attempt makes.

    Both the spec as written and the effective spec must differ: writing a default out changes nothing, and neither does a newer
    version with other defaults. An invalid spec counts as changed when it was written differently.
    """
    if live.written == frozen.written or live.spec is None:
        return live.written != frozen.written
    model = spec_model(frozen.kind)
    return bool(identity(live.spec, model) != identity(frozen.spec, model))


def wants_new(frozen: Frozen | None, live: Live, resolution: Resolution, ended: bool) -> bool:
    """Decide if the run needs another attempt than its newest; ``ended`` tells that this one has nothing left to do."""
    if frozen is None or spec_changed(frozen, live):
        return True
    if resolution.inputs is None or input_digests(resolution.inputs) == input_digests(frozen.inputs):
        return False
    policy = live.common.on_input_change
    return policy == "Replace" or (policy == "Finish" and ended)


def freeze(run: Object, live: Live, inputs: tuple[Input, ...], number: int, site: Site) -> Frozen:
    """Freeze what an attempt is made from: the effective spec, the resolved inputs, and where and with what it runs."""
    assert live.spec is not None, "an invalid spec opens no attempt"
    return Frozen(
        number=number,
        kind=run["kind"],
        digest=attempt_digest(run["kind"], live.spec, inputs),
        written=live.written,
        spec=live.spec,
        inputs=list(inputs),
        store=site.team.store,
        isolation=site.team.isolation,
        **_isolation(site.team),
        image=site.team.image,
        store_secret=site.team.store_secret,
        pod_user=user_of(site.team.pod_user),
        pod_group=site.team.pod_group,
        code_version=site.settings.installed,
        start_time=format_time(site.now),
    )


def _isolation(team: TeamSettings) -> dict[str, str]:
    """Return what else is frozen where tools run in a pool; nothing of it matters where they run in the job's process."""
    if team.isolation == "Process":
        return {}
    image = team.sandbox_image or team.image
    users = team.sandbox_users
    return {"runtime_class": team.runtime_class, "network_policy": team.network_policy, "sandbox_image": image, "sandbox_users": users}
