"""The rows of the table: each a ``measure(bench)`` that returns its lines."""
