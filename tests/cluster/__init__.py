"""A Kubernetes cluster for the end-to-end tests and the demo, from one of three providers behind one interface.

`current`: a cluster the user names. `kind`: where a Docker daemon answers. `local`: one node built from package
registries alone, where there is neither. See `python -m tests.cluster --help`.
"""
