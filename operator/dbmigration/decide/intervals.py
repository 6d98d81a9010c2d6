"""How long it is until a resource is looked at again. What it waits for mostly wakes us; these are for events that are missed."""

from datetime import timedelta
from typing import Final

ACTIVE_LOOK: Final = timedelta(seconds=10)
"""How often a running Job is looked at, and how far apart two progress writes are at least."""
UNSTARTED_LOOK: Final = timedelta(seconds=5)
"""How often a Job whose pod has not started is looked at: kubelet and scheduler say why only in events that we do not watch."""
YOUNG: Final = timedelta(seconds=10)
"""A pod may have started so long before the API server says so: kubelet writes its status every few seconds."""
WAIT_LOOK: Final = timedelta(minutes=1)
"""For a ConfigMap, a DatabaseMigration or a restore: they wake us."""
PROMOTION_LOOK: Final = timedelta(minutes=5)
"""The other resource and the ConfigMap wake us where they are watched; they may be in a namespace that is not."""
REFUSED_LOOK: Final = timedelta(seconds=30)
QUEUE_LOOK: Final = timedelta(minutes=5)
"""A run that ends wakes whose turn it is."""
IDLE_LOOK: Final = timedelta(hours=1)
