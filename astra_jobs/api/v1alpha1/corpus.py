"""ToolCorpus: collects tool documents, normalises and filters them (SPEC 1)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from astra_jobs.api.base import Model, spec_field
from astra_jobs.api.credentials import CREDENTIAL, is_credential
from astra_jobs.api.v1alpha1.common import CommonSpec, ProceduralWorlds, Rate, Resource
from astra_jobs.api.v1alpha1.names import DataKey, Name, ObjectName, VariableName
from astra_jobs.api.v1alpha1.pod import RESERVED_PREFIXES


def _no_credential(word: str) -> str:
    if is_credential(word):
        raise PydanticCustomError("credential", "has the form of a credential, which no spec may hold")
    return word


Word = Annotated[
    str,
    StringConstraints(max_length=4096),
    AfterValidator(_no_credential),
    Field(json_schema_extra={"not": {"pattern": CREDENTIAL}}),
]


class SourceVariable(Model):
    """An environment variable of one source's server, whose value is in a Secret. The reference enters the digest, the value never."""

    name: VariableName = spec_field(about="name of the variable, unique in the list")
    secret: ObjectName = spec_field(about="name of the Secret in the same namespace; on a laptop the folder .astra/secrets/NAME")
    key: DataKey = spec_field(about="key in the Secret; on a laptop the file in that folder, readable by its owner only (mode 0600)")

    @model_validator(mode="after")
    def _free(self) -> Self:
        if self.name.startswith(RESERVED_PREFIXES):
            raise ValueError("name is set by the operator; choose another variable")
        return self


class McpSource(Model):
    """A Model Context Protocol server started as a process and spoken to over stdio."""

    command: list[Word] = spec_field(
        about="program and arguments that start the server, in the manifest's folder on a laptop and in /astra in a pod; a word with the "
        "form of a credential is refused: give it through env",
        min_length=1,
        max_length=64,
    )
    env: list[SourceVariable] = spec_field(
        list, about="environment variables out of Secrets, for this server's process alone; it sees no others of the job's", max_length=32
    )
    licence: str = spec_field("", about="licence of the tool documents, carried to every sample made from them", max_length=100)
    timeout_seconds: float = spec_field(30.0, about="longest wait for the server's start and for each answer", unit="s", gt=0, le=600)

    @model_validator(mode="after")
    def _variables_once(self) -> Self:
        names = [item.name for item in self.env]
        if len(set(names)) != len(names):
            raise ValueError("names in env must be unique")
        return self


class ProceduralSource(Model):
    """Procedural servers: one world, one server."""

    servers: int = spec_field(about="number of worlds, each one tool server", ge=1, le=100_000)
    worlds: ProceduralWorlds = spec_field(ProceduralWorlds, about="difficulty of the worlds")
    defects: float = spec_field(
        0.0,
        about="share of servers planted with one labelled defect each (too few tools, vague description, broken schema, duplicate)",
        unit="share",
        ge=0.0,
        le=0.9,
    )


class CorpusSource(Model):
    """Where tool documents come from; exactly one of the source fields is set."""

    name: Name = spec_field(about="name of the source, unique in the list")
    mcp: McpSource | None = spec_field(None, about="an MCP server over stdio")
    procedural: ProceduralSource | None = spec_field(None, about="procedural worlds")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.mcp is None) == (self.procedural is None):
            raise ValueError("set exactly one of mcp and procedural")
        return self


class CorpusFilters(Model):
    """What a server must have to stay (SPEC 1)."""

    min_tools_per_server: int = spec_field(3, about="servers with fewer tools are dropped", unit="tools", source="paper", ge=1, le=100)
    min_description_words: int = spec_field(
        2, about="tools whose description has fewer words are dropped as vague", unit="words", ge=0, le=50
    )


class Unreachable(Model):
    """What becomes of servers that cannot be read. All sources are tried first, whatever is chosen."""

    listed: Literal["Fail", "Drop"] = spec_field(
        "Fail",
        about="a source of the list that cannot be read: Fail ends the run with one report of all of them, Drop counts it as dropped",
    )
    max_share: Rate = spec_field(0.8, about="largest share of servers that may be dropped so; above it the run fails", unit="share")


class ToolCorpusSpec(CommonSpec):
    """What tool documents to collect and which to keep."""

    sources: list[CorpusSource] = spec_field(about="where tool documents come from", min_length=1, max_length=1000)
    unreachable: Unreachable = spec_field(Unreachable, about="what becomes of servers that cannot be read")
    filters: CorpusFilters = spec_field(CorpusFilters, about="which servers and tools are kept")

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("names in sources must be unique")
        return self


class ToolCorpus(Resource):
    """Tool documents, collected, normalised, filtered, grouped by server."""

    kind: Literal["ToolCorpus"] = "ToolCorpus"
    spec: ToolCorpusSpec
