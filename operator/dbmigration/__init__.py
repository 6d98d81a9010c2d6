"""Kubernetes operator and command line that back up, migrate and prove PostgreSQL databases."""
