"""The way to a model: the port, and what drives it."""
