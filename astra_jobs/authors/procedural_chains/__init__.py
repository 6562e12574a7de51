"""The LLM-free author of ChainSynthesis (SPEC 6)."""

from astra_jobs.authors.procedural_chains.author import ProceduralChains

__all__ = ["ProceduralChains"]
