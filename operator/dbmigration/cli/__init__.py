"""The command line: the engine's face for a person at a terminal and for a script in a pipe."""

import gc

# Imports make a hundred thousand objects and no garbage: to look through them again and again is a tenth of a start.
gc.set_threshold(100_000, 20, 20)
