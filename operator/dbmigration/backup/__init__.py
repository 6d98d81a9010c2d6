"""Backups: a dump that was read to its end before anything is called a backup."""
