"""A run of the benchmark: backends take turns inside every round, and the machine is measured in each of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from lcl_ref.bench import memory_estimate, published
from lcl_ref.bench.machine import Machine
from lcl_ref.bench.process import BackendProcess
from lcl_ref.bench.workloads import Workload
from lcl_ref.suite.run.loading import BackendRef

OPS = ("forward", "step")

TRAIN = "train"
"""A step with an optimiser, which leaves weights changed; of backends that can."""


@dataclass
class Measurement:
    """One backend at one layer.

    Parameters
    ----------
    backend, workload : str
        Their names.
    factor : int
        Of a scaling series; 0 for a named layer.
    products : int
        Multiply-adds of one forward pass.
    seconds : dict
        Operation -> seconds of every round.
    limits : dict
        Operation -> seconds that the machine takes at least, at its rates of the same round.
    extra_bytes : dict
        Operation -> memory held at most beyond results, or None where the system does not tell.
    error_ratio : float or None
        Worst sampled error as a share of its proved limit; above 1 the answer is wrong.
    message : str
        Why there is nothing else: the backend was not run here.
    family : str
        The framework it runs on.
    published : bool
        Whether it is a layer that people install, called as it is.
    cold : dict
        Operation -> seconds of every round, where no call finds anything of its own in a cache.
    """

    backend: str
    workload: str
    factor: int
    products: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: {op: [] for op in (*OPS, TRAIN)})
    limits: dict[str, list[float]] = field(default_factory=lambda: {op: [] for op in (*OPS, TRAIN)})
    extra_bytes: dict[str, int | None] = field(default_factory=dict)
    error_ratio: float | None = None
    message: str = ""
    family: str = ""
    published: bool = False
    cold: dict[str, list[float]] = field(default_factory=lambda: {op: [] for op in (*OPS, TRAIN)})

    def median(self, op: str) -> float:
        """Return the median seconds of an operation."""
        return statistics.median(self.seconds[op])

    def over(self, op: str, others: Sequence[float], *, cold: bool = False) -> float:
        """Return how many times as long an operation takes as the seconds of `others` in the same rounds.

        The median of their quotients: what slows the machine down for some rounds slows both.
        """
        own = (self.cold if cold else self.seconds)[op]
        return statistics.median(mine / other for mine, other in zip(own, others, strict=False))


@dataclass(frozen=True)
class Settings:
    """How a run is made: rounds, seconds a backend may take at one layer, threads, seconds a call may take, clock."""

    rounds: int = 5
    seconds: float = 6.0
    threads: int = 1
    timeout: float = 60.0
    clock: str = "wall"


class Session:
    """Processes of backends, kept over all layers; leave it (``with``) to end them."""

    def __init__(
        self, refs: Sequence[BackendRef], settings: Settings, announce: Callable[[str], None] = lambda _: None
    ) -> None:
        self._settings, self._announce = settings, announce
        self._refs, self._published = {ref.name: ref for ref in refs}, {ref.name for ref in published.refs()}
        self._open: dict[str, BackendProcess] = {}
        self.machine = Machine(settings.threads, settings.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.close()
        for process in self._open.values():
            process.close()

    def measure(self, workload: Workload, factor: int = 0) -> Iterator[Measurement]:
        """Yield what every backend does at one layer."""
        free = memory_estimate.free_bytes()
        needs = {name: memory_estimate.needed(self._started(name).holds, workload) for name in self._refs}
        for name, need in needs.items():
            if need > free:
                text = f"needs about {need / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB may be used"
                yield self._measurement(name, workload, factor, text)
        for batch in memory_estimate.batches_that_fit(needs, free):
            yield from self._measure_together(batch, workload, factor)

    def _started(self, name: str) -> BackendProcess:
        """Return the process of a backend, started on first use."""
        if name not in self._open:
            self._announce(f"starting {name}")
            self._open[name] = BackendProcess(self._refs[name], self._settings.threads)
        return self._open[name]

    def _measure_together(self, names: Sequence[str], workload: Workload, factor: int) -> list[Measurement]:
        """Measure backends that fit side by side, and let them drop the layer afterwards."""
        found = [self._enter(name, workload, factor) for name in names]
        ready = [measurement for measurement in found if not measurement.message]
        for number in range(self._settings.rounds):
            self.machine.measure()
            for measurement in ready[:: -1 if number % 2 else 1]:
                if not measurement.message and self._has_time(measurement):
                    self._round(measurement, workload)
        for measurement in ready:
            self._ask(measurement, "drop")
        return found

    def _enter(self, name: str, workload: Workload, factor: int) -> Measurement:
        """Prepare a backend, warm it up, and take its error and memory."""
        self._announce(f"{workload.name}: {name}")
        measurement = self._measurement(name, workload, factor)
        if self._open[name].refusal:
            measurement.message = self._open[name].refusal
            return measurement
        if "refused" not in self._ask(measurement, "prepare", workload.name, factor):
            measurement.error_ratio = self._ask(measurement, "error").get("error_ratio")
        for op in OPS:
            if not measurement.message:
                measurement.extra_bytes[op] = self._ask(measurement, "memory", op).get("extra_bytes")
        return measurement

    def _measurement(self, name: str, workload: Workload, factor: int, message: str = "") -> Measurement:
        measurement = Measurement(name, workload.name, factor, workload.products, message=message)
        measurement.family, measurement.published = self._open[name].family, name in self._published
        return measurement

    def _has_time(self, measurement: Measurement) -> bool:
        """Return whether another round keeps to the seconds of this backend; two are always made."""
        taken = measurement.seconds["step"]
        return len(taken) < 2 or sum(map(sum, measurement.seconds.values())) < self._settings.seconds

    def _round(self, measurement: Measurement, workload: Workload) -> None:
        for op in (*OPS, TRAIN):
            answer = self._ask(measurement, "time", op, self._settings.clock)
            if "seconds" in answer:
                measurement.seconds[op].append(answer["seconds"])
                measurement.cold[op].append(answer["cold"])
                measurement.limits[op].append(self.machine.limit(workload, op, latest=True))

    def _ask(self, measurement: Measurement, *request: Any) -> dict[str, Any]:
        """Ask a backend; a refusal becomes the measurement's message."""
        answer = self._open[measurement.backend].ask(self._settings.timeout, *request)
        measurement.message = measurement.message or str(answer.get("refused", ""))
        return answer
