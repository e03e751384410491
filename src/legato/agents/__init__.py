"""What answers a turn: the registry of agents, the configuration that fills it, and the built-in ones."""
