"""Who answers the typed requests of the synthesis stages (SPEC 6)."""

from astra_jobs.api.base import Model, spec_field


class ChainDefects(Model):
    """Rates at which the procedural author plants labelled defects in chains, tasks and conversations."""

    unknown_tool: float = spec_field(0.03, about="proposed chains with a tool that the server does not have", unit="share", ge=0, le=0.9)
    wrong_chain: float = spec_field(
        0.05, about="chains whose later call does not need an earlier one's data, or break an argument", unit="share", ge=0, le=0.9
    )
    misleading_task: float = spec_field(0.03, about="chains described by a task that asks for other calls", unit="share", ge=0, le=0.9)
    vague_task: float = spec_field(0.05, about="tasks that lack the entity to start from, or name a tool", unit="share", ge=0, le=0.9)
    wrong_target: float = spec_field(0.02, about="tasks that state a tool that the server does not have", unit="share", ge=0, le=0.9)
    unrealistic_task: float = spec_field(0.02, about="tasks in a setting that nobody is ever in", unit="share", ge=0, le=0.9)
    needless_tool: float = spec_field(0.02, about="tasks that tell their own answer", unit="share", ge=0, le=0.9)
    changed_language: float = spec_field(0.03, about="augmentations that change the task's language or meaning", unit="share", ge=0, le=0.9)
    copied_task: float = spec_field(0.03, about="augmentations that hand back the task, or nearly", unit="share", ge=0, le=0.9)
    broken_result: float = spec_field(
        0.02, about="conversations with an emulated result that breaks its tool's result schema", unit="share", ge=0, le=0.9
    )
    endless: float = spec_field(0.005, about="trajectories that call on until the limit of turns", unit="share", ge=0, le=0.9)
    misunderstood_query: float = spec_field(0.02, about="trajectories that ask for what the task already says", unit="share", ge=0, le=0.9)
    wrong_plan: float = spec_field(0.02, about="trajectories whose first call is a wrong one", unit="share", ge=0, le=0.9)
    misread_result: float = spec_field(0.02, about="trajectories that go on with a value that no tool returned", unit="share", ge=0, le=0.9)
    lost_plan: float = spec_field(0.02, about="trajectories that go on calling what is of no use", unit="share", ge=0, le=0.9)
    failing_calls: float = spec_field(0.02, about="trajectories most of whose calls fail by their own fault", unit="share", ge=0, le=0.9)
    unneeded_calls: float = spec_field(
        0.05, about="trajectories that call tools at random before the right one", unit="share", ge=0, le=0.9
    )
    gives_up: float = spec_field(
        0.3, about="trajectories that stop at a failed call instead of trying again, of those that meet one", unit="share", ge=0, le=0.9
    )
    wrong_answer: float = spec_field(0.05, about="trajectories whose final answer contradicts the tools", unit="share", ge=0, le=0.9)
    sloppy: float = spec_field(
        0.02, about="trajectories with several faults, none of which is enough to fail an axis", unit="share", ge=0, le=0.9
    )
    unreadable_verdict: float = spec_field(0.01, about="answers of judges that cannot be read", unit="share", ge=0, le=0.9)


class ChainImperfections(Model):
    """Rates of labelled mild faults that a sound judge keeps, so that reinforcement has something left to mend."""

    early_stop: float = spec_field(
        0.0, about="trajectories that answer before all data was fetched, of those that need several calls", unit="share", ge=0, le=0.9
    )
    redundant_call: float = spec_field(0.0, about="trajectories that repeat one call", unit="share", ge=0, le=0.9)


class ProceduralChainAuthor(Model):
    """The LLM-free author: exact knowledge of the procedural worlds, with declared imperfection."""

    defects: ChainDefects = spec_field(ChainDefects, about="rates of planted, labelled defects, each of which a filter must drop")
    imperfections: ChainImperfections = spec_field(ChainImperfections, about="rates of mild, labelled faults that the judge keeps")


class ChainAuthor(Model):
    """Who proposes chains, writes tasks, acts and judges."""

    procedural: ProceduralChainAuthor = spec_field(about="the procedural author")


class EnvDefects(Model):
    """Rates at which the procedural author plants labelled defects in environments."""

    broken_structure: float = spec_field(
        0.04, about="decompositions with a cycle, a gap in ids or a wrong hop level", unit="share", ge=0, le=0.9
    )
    needless_dependency: float = spec_field(
        0.04, about="decompositions in which others depend on a node that needs no tool", unit="share", ge=0, le=0.9
    )
    poor_decomposition: float = spec_field(0.04, about="decompositions that break one of the four scores", unit="share", ge=0, le=0.9)
    wrong_answer: float = spec_field(0.04, about="tools that return another value than the answer", unit="share", ge=0, le=0.9)
    echoing_tool: float = spec_field(
        0.02, about="tools that take the answer as an argument or return it for any argument", unit="share", ge=0, le=0.9
    )
    unstable_tool: float = spec_field(
        0.02, about="tools whose result depends on the hash seed, the clock or randomness", unit="share", ge=0, le=0.9
    )
    forbidden_code: float = spec_field(0.02, about="tools that the static gate must refuse", unit="share", ge=0, le=0.9)
    runaway_tool: float = spec_field(0.01, about="tools that exceed time, memory or output", unit="share", ge=0, le=0.9)
    bad_call: float = spec_field(
        0.02, about="call statements that are not one call of the tool with literal keywords", unit="share", ge=0, le=0.9
    )
    ambiguous_data: float = spec_field(0.02, about="tools in which another row gives the same answer", unit="share", ge=0, le=0.9)


class ProceduralEnvAuthor(Model):
    """The LLM-free author of environments, with declared imperfection."""

    defects: EnvDefects = spec_field(EnvDefects, about="rates of planted, labelled defects")


class EnvAuthor(Model):
    """Who decomposes questions, judges them and writes tools."""

    procedural: ProceduralEnvAuthor = spec_field(about="the procedural author")
