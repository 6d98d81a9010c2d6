"""Whole processes, timed in turns with their peer, so that a machine whose speed drifts drifts for both."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One run of one process: wall-clock seconds and the largest resident memory in MB of that process alone."""

    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Series:
    """The samples of one candidate, in order."""

    samples: tuple[Sample, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def spread(self) -> str:
        """Smallest and largest, for judging how quiet the machine was."""
        return f"{min(s.seconds for s in self.samples):.3f}-{max(s.seconds for s in self.samples):.3f}"

    @property
    def peak_mb(self) -> float:
        return max(sample.peak_mb for sample in self.samples)

    def ratio_to(self, peer: "Series") -> float:
        """Median of the ratios round by round."""
        return statistics.median(a.seconds / b.seconds for a, b in zip(self.samples, peer.samples, strict=True))


def run_process(command: Sequence[str | Path], environment: Mapping[str, str], *, folder: Path | None = None) -> Sample:
    """Run to the end, in `folder`. Raises RuntimeError with the process's own words when it fails."""
    with Path(os.devnull).open("rb") as nothing:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            env=dict(environment),
            cwd=folder,
            stdin=nothing,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {complaint.decode(errors='replace')[-2000:]}")
    return Sample(seconds, usage.ru_maxrss / 1024)


def in_turns(candidates: Mapping[str, Callable[[], Sample]], *, rounds: int, warmup: int = 1) -> dict[str, Series]:
    """`rounds` rounds, each candidate once a round; the first `warmup` rounds are thrown away."""
    samples: dict[str, list[Sample]] = {name: [] for name in candidates}
    for each in range(rounds + warmup):
        for name, candidate in candidates.items():
            sample = candidate()
            if each >= warmup:
                samples[name].append(sample)
    return {name: Series(tuple(taken)) for name, taken in samples.items()}
