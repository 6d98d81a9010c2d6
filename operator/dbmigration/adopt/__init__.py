"""Databases that another tool migrated until now: what it recorded there, and which files of ours that is."""
