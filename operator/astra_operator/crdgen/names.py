"""What the five kinds are called at the API server and on the command line."""

from typing import NamedTuple

from astra_jobs.api.artifact import Kind


class Names(NamedTuple):
    """What a kind is called at the API server."""

    plural: str
    singular: str
    short: str


NAMES: dict[Kind, Names] = {
    "ToolCorpus": Names("toolcorpora", "toolcorpus", "tcorpus"),
    "ChainSynthesis": Names("chainsyntheses", "chainsynthesis", "chsyn"),
    "EnvSynthesis": Names("envsyntheses", "envsynthesis", "envsyn"),
    "SFTRun": Names("sftruns", "sftrun", "sft"),
    "RLRun": Names("rlruns", "rlrun", "rl"),
}


def kind_named(text: str) -> Kind | None:
    """Return the kind that a word means (kind, plural, singular or short name, in any case), or None."""
    word = text.lower().removesuffix(".astra.dev")
    return next((kind for kind, names in NAMES.items() if word in (kind.lower(), *names)), None)
