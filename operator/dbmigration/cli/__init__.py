"""The command line: the engine's face for a person at a terminal and for a script in a pipe."""
