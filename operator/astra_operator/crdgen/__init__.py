"""Generates ``crds/`` from the models of ``astra_jobs.api.v1alpha1``: one file a kind, and the reference page.

DESIGN section 3. The models are the single source; nothing under ``crds/`` is written by hand, and
``python -m astra_operator.crdgen check`` fails when a file differs from what the models say.
"""
