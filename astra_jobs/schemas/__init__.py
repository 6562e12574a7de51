"""JSON Schema, once for whoever keeps tool documents and whoever checks arguments (SPEC 1: both accept the same).

``prepared`` brings a document into the form that is kept, ``Check`` judges values against it. Schemas and values are
untrusted: nothing is ever fetched or opened for a schema, and what judging may cost is bounded before it is done.
"""

from astra_jobs.schemas.checks import Check, arguments_check, value_check
from astra_jobs.schemas.errors import SchemaRefused
from astra_jobs.schemas.listed import Listed
from astra_jobs.schemas.plain import size_of
from astra_jobs.schemas.prepare import Prepared, listed, prepared

__all__ = ["Check", "Listed", "Prepared", "SchemaRefused", "arguments_check", "listed", "prepared", "size_of", "value_check"]
