"""Pictures for the docs, each made by a command from the real thing, to be looked at."""
