"""One self-contained HTML page from the artifacts of a pipeline."""
