"""Who answers the typed requests of the synthesis stages (SPEC 6)."""

from astra_jobs.api.base import Model, spec_field


class ChainDefects(Model):
    """Rates at which the procedural author plants labelled defects in chains, tasks and conversations."""

    wrong_chain: float = spec_field(
        0.05, about="chains whose later call does not need an earlier one's data, or break an argument", unit="share", ge=0, le=0.9
    )
    vague_task: float = spec_field(0.05, about="tasks that lack the entity to start from, or name a tool", unit="share", ge=0, le=0.9)
    changed_language: float = spec_field(0.03, about="augmentations that change the task's language or meaning", unit="share", ge=0, le=0.9)
    unneeded_calls: float = spec_field(
        0.05, about="trajectories that call tools at random before the right one", unit="share", ge=0, le=0.9
    )
    gives_up: float = spec_field(
        0.3, about="trajectories that stop at a failed call instead of trying again, of those that meet one", unit="share", ge=0, le=0.9
    )
    wrong_answer: float = spec_field(0.05, about="trajectories whose final answer contradicts the tools", unit="share", ge=0, le=0.9)


class ChainImperfections(Model):
    """Rates of labelled mild faults that a sound judge keeps, so that reinforcement has something left to mend."""

    early_stop: float = spec_field(
        0.0, about="trajectories that answer with an intermediate value before all data was fetched", unit="share", ge=0, le=0.9
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


class ProceduralEnvAuthor(Model):
    """The LLM-free author of environments, with declared imperfection."""

    defects: EnvDefects = spec_field(EnvDefects, about="rates of planted, labelled defects")


class EnvAuthor(Model):
    """Who decomposes questions, judges them and writes tools."""

    procedural: ProceduralEnvAuthor = spec_field(about="the procedural author")
