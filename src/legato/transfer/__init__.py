"""The files that sessions leave and come in as: our format, the readable ones, other people's. No store, no event loop."""
