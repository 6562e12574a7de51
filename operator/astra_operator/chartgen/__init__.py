"""Generates what of ``charts/`` follows from models: values with comments, their schema, the README, Chart.yaml and the chart's CRDs.

One closed pydantic model per chart (``*_values``) is the single source of its values; versions are pyproject's. The templates are
written by hand, and ``python -m astra_operator.chartgen check`` fails when a generated file differs from what the models say.
"""
