"""Databases that are made, used and dropped: on a server that was named, or on one started for it."""
