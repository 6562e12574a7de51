"""ToolCorpus: collect, normalise, filter, report (SPEC 1)."""
