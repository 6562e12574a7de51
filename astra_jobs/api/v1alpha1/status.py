"""Status of a run: standard conditions, the attempt, progress. Always below 16 KB."""

from typing import Literal

from pydantic import Field

from astra_jobs.api.artifact import Artifact
from astra_jobs.api.base import Model

ConditionType = Literal["Succeeded", "Ready", "Reconciling", "Stalled", "Suspended", "InputsReady", "ServicesReady", "Outdated"]

RunPhase = Literal["Pending", "Waiting", "Running", "Suspended", "Succeeded", "Failed", "Stalled"]

REASONS: dict[str, str] = {
    "Pending": "The run was seen and nothing was started yet.",
    "WaitingForInput": "A run that this one refers to has no artifact yet, or does not exist.",
    "ReferenceCycle": "Runs refer to each other in a circle; none of them can ever start.",
    "InputsResolved": "Every input has an artifact.",
    "InvalidSpec": "The spec does not fit the kind's schema.",
    "Running": "A stage's workload is running.",
    "WaitingForCapacity": "The workload waits for CPU or memory.",
    "WaitingForNode": "A pod has a node, and that has not made its volumes, its sandbox or its container yet.",
    "Initialising": "A container of the pod that comes before the job's has not ended or is not ready yet.",
    "SidecarFailing": "A container that stands beside the job's ends again and again and keeps it from starting; the message names it.",
    "VolumeUnavailable": "A volume of the pod is not there yet: its claim is not bound, or the node could not attach or mount it.",
    "ClaimMissing": "A PersistentVolumeClaim that the pod mounts does not exist or is being deleted.",
    "SecretMissing": "A Secret or ConfigMap that the pod needs does not exist or lacks a key.",
    "ServiceAccountMissing": "The service account of the pods does not exist.",
    "PriorityClassMissing": "The PriorityClass of the pods does not exist.",
    "ContainerRefused": "The node will not start a container of the pod as it is described; its reason is in the message.",
    "NodeLost": "A pod's node does not answer, or the pod does not go when it is told to.",
    "NamespaceTerminating": "The namespace is being deleted; nothing can be made in it any more.",
    "WaitingForQuota": "The queue has not admitted the workload yet.",
    "Preempted": "The queue took the workload's quota away; it goes on from the last checkpoint when it is admitted again.",
    "LauncherMissing": "The cluster does not serve the workload's kind; the training operator is not installed.",
    "QueueMissing": "The run names a queue, and there is no such queue, or Kueue is not installed.",
    "QueueDeactivated": "The workload was taken out of its queue, by somebody or by Kueue itself; the message says how it gets back.",
    "NameTaken": "An object of the run cannot be made, because somebody else's has its name; the message names it and the remedy.",
    "Refused": "The cluster's admission refused an object of the run, or a pod of it; its reason is in the message.",
    "QuotaRefused": "A ResourceQuota or LimitRange of the namespace refused an object of the run, or a pod of it.",
    "PendingDeadlineExceeded": "A pod waited longer than limits.pendingDeadlineSeconds to start.",
    "SandboxRuntimeMissing": "The RuntimeClass of the sandbox does not exist, or the node could not make the pod's sandbox.",
    "Restarting": "The workload failed, hung or was suspended, and is started again from the last checkpoint.",
    "Suspended": "The user asked for no pods; progress is kept.",
    "NotSuspended": "Nobody asks for the run to be suspended.",
    "Finished": "All stages have ended and the artifact is committed.",
    "UpToDate": "What was asked for was found in the store; nothing was executed.",
    "BadInput": "The job refused its input; it will not be tried again until something changes.",
    "Failed": "The workload failed more often than limits.maxRestarts allows.",
    "Stuck": "The workload made no progress for limits.stallSeconds.",
    "DeadlineExceeded": "The attempt took longer than limits.deadlineSeconds.",
    "ImageUnavailable": "The pod's image cannot be pulled or the container cannot be made.",
    "SettingsInvalid": "The namespace's ConfigMap astra-team is missing or wrong.",
    "OutOfMemory": "The workload used more memory than it may.",
    "OutOfStorage": "The workload used more local storage than it may.",
    "InputUnavailable": "An input's artifact is missing or damaged in the store.",
    "StoreUnavailable": "The artifact store is full, not writable or out of reach.",
    "Superseded": "A newer start of the same workload has taken over; this one may not write any more.",
    "JudgeUnreliable": "A judge got too many known items wrong.",
    "TooManyUnscored": "Too many items could not be scored.",
    "ToolServerUnavailable": "An MCP server did not start, did not answer or spoke no MCP.",
    "NothingKept": "The filters left no record.",
    "LearningStarved": "Too few groups with reward variance could be found.",
    "CodeChanged": "The installed version differs from the one that the attempt was frozen with.",
    "CodeCurrent": "The attempt was frozen with the installed version.",
    "NoServices": "The stage needs no services.",
    "WaitingForServices": "The services of the stage are being made, or none of their pods is ready.",
    "ServiceFailing": "A service of the stage ends again and again; its last words are in the message.",
    "ServicesReady": "The services of the stage answer.",
}


class Condition(Model):
    """One fact about the run, in the standard form."""

    type: ConditionType = Field(description="what the fact is about")
    status: Literal["True", "False", "Unknown"] = Field(description="if it holds")
    reason: str = Field(max_length=80, description="why, in one word")
    message: str = Field(default="", max_length=1024, description="why, in one sentence")
    observed_generation: int = Field(default=0, description="generation of the spec that the fact is about")
    last_transition_time: str = Field(description="RFC 3339, moves only when status flips")


class Attempt(Model):
    """The attempt that status speaks of."""

    number: int = Field(description="number of the attempt, from 1")
    digest: str = Field(description="what is made: kind, frozen spec, inputs and rerun")
    restarts: int = Field(default=0, description="restarts so far that count towards limits.maxRestarts")
    start_time: str | None = Field(default=None, description="RFC 3339, when the attempt was opened")
    completion_time: str | None = Field(default=None, description="RFC 3339, when nothing was left to do")


class PastAttempt(Model):
    """What is left of an ended attempt."""

    number: int = Field(description="number of the attempt")
    digest: str = Field(description="what was to be made")
    outcome: str = Field(description="how it ended, in one word")
    artifact: Artifact | None = Field(default=None, description="what it made")


class Progress(Model):
    """How far the running stage is."""

    step: int = Field(default=0, description="steps done")
    total: int = Field(default=0, description="steps in all")
    percent: int = Field(default=0, description="percent of the stage")
    display: str = Field(default="", description="the same with its sign, for tables")
    eta_seconds: int | None = Field(default=None, description="seconds that the rest of the stage may take")
    message: str = Field(default="", max_length=200, description="what the job says about it")
    time: str = Field(default="", description="RFC 3339, when the job made its last step")


class Status(Model):
    """What is known of a run."""

    observed_generation: int = Field(default=0, description="generation of the spec that the status is about")
    phase: RunPhase | None = Field(
        default=None,
        description="where the run stands, in one word for people, derived from the conditions; Stalled goes on by itself once what the "
        "message names is put right, Failed once the spec is changed or the run is tried again",
    )
    conditions: list[Condition] = Field(default_factory=list, max_length=8, description="facts about the run, one of each type")
    attempt: Attempt | None = Field(default=None, description="the current or the last attempt")
    stage: str | None = Field(default=None, description="stage that runs, or ran last")
    progress: Progress | None = Field(default=None, description="how far the running stage is")
    metrics: dict[str, str] = Field(default_factory=dict, max_length=32, description="small numbers that the stages report, as text")
    artifact: Artifact | None = Field(default=None, description="what other runs use: the product of the current or the last attempt")
    artifacts: dict[str, Artifact] = Field(default_factory=dict, max_length=8, description="artifacts of the unsharded stages, by stage")
    history: list[PastAttempt] = Field(default_factory=list, max_length=5, description="attempts before this one, newest last")

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type, if it is set."""
        return next((item for item in self.conditions if item.type == kind), None)
