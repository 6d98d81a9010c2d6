"""What a set of migrations looks like: its graph, and its page for a README."""
