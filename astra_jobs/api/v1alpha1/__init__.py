"""Version v1alpha1 of the five kinds."""

from astra_jobs.api.artifact import Kind
from astra_jobs.api.v1alpha1.chains import ChainSynthesis, ChainSynthesisSpec
from astra_jobs.api.v1alpha1.corpus import ToolCorpus, ToolCorpusSpec
from astra_jobs.api.v1alpha1.envs import EnvSynthesis, EnvSynthesisSpec
from astra_jobs.api.v1alpha1.rl import RLRun, RLRunSpec
from astra_jobs.api.v1alpha1.sft import SFTRun, SFTRunSpec

AnyRun = ToolCorpus | ChainSynthesis | EnvSynthesis | SFTRun | RLRun
MODELS: dict[Kind, type[AnyRun]] = {
    "ToolCorpus": ToolCorpus,
    "ChainSynthesis": ChainSynthesis,
    "EnvSynthesis": EnvSynthesis,
    "SFTRun": SFTRun,
    "RLRun": RLRun,
}

__all__ = [
    "MODELS",
    "AnyRun",
    "ChainSynthesis",
    "ChainSynthesisSpec",
    "EnvSynthesis",
    "EnvSynthesisSpec",
    "RLRun",
    "RLRunSpec",
    "SFTRun",
    "SFTRunSpec",
    "ToolCorpus",
    "ToolCorpusSpec",
]
