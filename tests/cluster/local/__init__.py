"""The `local` provider: a one-node Kubernetes cluster from Go modules and Debian packages alone.

It needs Linux, root, and a Debian-like machine; no Docker, no image registry. The node lives in namespaces of its own
(network, mounts, processes), so the machine's own network rules, mounts and containers are never touched, and ending
one process ends all of it.
"""
