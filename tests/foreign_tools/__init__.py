"""Other migration tools, run for real: what they leave in a database is kept as fixtures of the engine's tests."""
