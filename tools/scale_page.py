"""The tables of docs/scale.md: what layers cost on a cluster, and the largest that fit."""

from __future__ import annotations

from lcl_ref.core.spec import Spec
from lcl_ref.layers.planning import Cluster, placements, widest

DEVICES = (8, 64, 512)
BATCH = 8


def _cluster(devices: int) -> Cluster:
    return Cluster(devices, memory=80e9, multiply_adds=1e14, memory_speed=2e12, link=25e9)


def _square(size: int, kernel: int, stride: int = 1) -> Spec:
    return Spec(input_size=(size, size), in_channels=1, out_channels=1, kernel_size=kernel, stride=stride)


LAYERS = {
    "All-TNN (144 x 144, kernel 5, stride 2)": _square(144, 5, 2),
    "DeepFace L4 (63 x 63, kernel 9)": _square(63, 9),
    "weather (721 x 1440, kernel 3)": Spec(
        input_size=(721, 1440), in_channels=1, out_channels=1, kernel_size=3, padding=1
    ),
}


def _wide(spec: Spec, channels: int) -> Spec:
    return Spec.from_dict(spec.to_dict() | {"in_channels": channels, "out_channels": channels})


def costs_table(channels: int = 64, devices: int = 8) -> str:
    """Return what a step costs in each placement."""
    lines = ["| layer | weights, GB | placement | moved, MB | held, GB | step, ms |", "|---|---|---|---|---|---|"]
    for name, spec in LAYERS.items():
        wide = _wide(spec, channels)
        for one in placements(wide, BATCH, _cluster(devices)):
            held, weights = f"{one.memory / 1e9:.1f}", f"{4 * wide.parameter_count / 1e9:.1f}"
            moved, step = f"{one.moved / 1e6:,.1f}", f"{1e3 * one.seconds:,.1f}"
            lines.append(f"| {name} | {weights} | {one.name} | {moved} | {held} | {step} |")
    return "\n".join(lines)


def largest_table() -> str:
    """Return the most channels with which each layer fits, and its weights."""
    lines = [f"| layer | placement | {' | '.join(f'{count} devices' for count in DEVICES)} |", "|---|---|---|---|---|"]
    for name, spec in LAYERS.items():
        for placement in ("positions", "samples", "gathered"):
            cells = []
            for count in DEVICES:
                most = widest(lambda channels, spec=spec: _wide(spec, channels), BATCH, _cluster(count), placement)
                cells.append(f"{most:,} ({4 * _wide(spec, max(most, 1)).parameter_count / 1e9:,.0f} GB)")
            lines.append(f"| {name} | {placement} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """Return the tables by name."""
    return {"costs": costs_table(), "largest": largest_table()}
