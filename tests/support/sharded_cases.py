"""What sharded layers are asked, and what has to move for them, counted site by site from the formula of the layer."""

import itertools

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.tasks import cell_exists


def needed(spec, shards):
    """Return how many elements of x, per sample, windows of devices see that are not theirs; `shards` has all axes."""
    total = 0
    for device in itertools.product(*map(range, shards)):
        seen = own = spec.in_channels
        for axis, at in enumerate(device):
            sizes = spec.output_size[axis], spec.input_size[axis]
            positions, sites = (share(size, shards[axis], at) for size in sizes)
            there = {
                position * spec.stride[axis] + tap * spec.dilation[axis] - spec.padding[axis][0]
                for position in positions
                for tap in range(spec.kernel_size[axis])
            } & set(range(spec.input_size[axis]))
            seen, own = seen * len(there), own * len(there & set(sites))
        total += seen - own
    return total


def share(size, shards, at):
    """Return what a shard has of so many: as many as the others, the last ones fewer or none."""
    most = -(-size // shards)
    return range(min(at * most, size), min((at + 1) * most, size))


def cut_cases(tier, axes):
    """Return the exact cases of a tier whose gradients are in the golden data and that have so many axes not shared."""
    store = Store(default_root())
    entries = {name: store.entries[name] for name in in_tier(tier, []) if name in store.entries}
    plain = {name: one for name, one in entries.items() if one["values"] not in ("rounded", "nonfinite", "complex")}
    return [
        name
        for name, one in plain.items()
        if "file" in one and store.spec(name).shared.count(False) >= axes and cell_exists(one, "vjp", "float32")
    ]
