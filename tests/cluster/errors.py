"""What the cluster providers raise."""


class ClusterError(RuntimeError):
    """The cluster cannot be made or used; the message says what to do about it."""


class NotSupported(ClusterError):
    """This provider cannot do that; a test that needs it skips."""
