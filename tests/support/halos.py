"""What has to move for a layer over a grid of devices, counted site by site from the formula of the layer."""

import itertools


def needed(spec, shards):
    """Return how many elements of x, per sample, windows of devices see that are not theirs; `shards` has all axes."""
    total = 0
    for device in itertools.product(*map(range, shards)):
        seen = own = spec.in_channels
        for axis, at in enumerate(device):
            positions, sites = (share(size, shards[axis], at) for size in (spec.output_size[axis], spec.input_size[axis]))
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
