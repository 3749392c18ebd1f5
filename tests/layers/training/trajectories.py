"""Two systems trained side by side, and how far rounding alone can drive them apart.

The model is a block-diagonal layer; each block gives ten numbers, whose sum over blocks are the logits of ten digits.
Its systems start from the same weights and see the same data in the same order.

How far may they end up apart? The gradient of a weight is a sum of products, and every right system returns it within
the proved limit ``gamma(K) * S`` of the exact one (SPEC clause 12.2: K products, S the sum of their magnitudes). So
every right system is gradient descent with an error of at most that size in each gradient. The bound is measured on
such a system: the batched product, with each gradient moved by the full limit, up or down at random, in every step; the
largest deviation of several such runs is the bound. A right system has errors far below the limit, and of mixed signs;
one whose gradients are wrong leaves the bound within a few steps.
"""

from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import conv1d, cross_entropy, linear

PIXELS, OUTPUTS = 64, 10
BATCH, STEPS = 100, 200

OPTIMISERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "SGD with momentum and decay": lambda parameters: torch.optim.SGD(parameters, 0.02, 0.9, weight_decay=1e-3),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, 1e-3, weight_decay=1e-2),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, 1e-3),
}


class Loop(nn.Module):
    """One Linear per block."""

    def __init__(self, weight):
        super().__init__()
        self.weights = nn.ParameterList(weight.unbind())

    def forward(self, x):
        parts = zip(x.unflatten(1, (len(self.weights), -1)).unbind(1), self.weights, strict=True)
        return torch.stack([linear(part, own) for part, own in parts], dim=1)

    def blocks(self):
        return torch.stack(list(self.weights))


class Masked(nn.Module):
    """One Linear under a mask; what is hidden starts at zero and stays there."""

    def __init__(self, weight):
        super().__init__()
        self.count = len(weight)
        self.register_buffer("mask", torch.block_diag(*torch.ones_like(weight)))
        self.weight = nn.Parameter(torch.block_diag(*weight))

    def forward(self, x):
        return linear(x, self.weight * self.mask).unflatten(1, (self.count, OUTPUTS))

    def blocks(self):
        return self.weight.reshape(self.count, OUTPUTS, self.count, -1).diagonal(dim1=0, dim2=2).movedim(-1, 0)


class Grouped(nn.Module):
    """One grouped convolution of kernel size 1."""

    def __init__(self, weight):
        super().__init__()
        self.count = len(weight)
        self.weight = nn.Parameter(weight.reshape(self.count * OUTPUTS, -1, 1))

    def forward(self, x):
        return conv1d(x[..., None], self.weight, groups=self.count).unflatten(1, (self.count, OUTPUTS)).squeeze(-1)

    def blocks(self):
        return self.weight.reshape(self.count, OUTPUTS, -1)


class Batched(nn.Module):
    """One batched product."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, x):
        return torch.bmm(x.unflatten(1, (len(self.weight), -1)).transpose(0, 1), self.weight.mT).transpose(0, 1)

    def blocks(self):
        return self.weight


class Composed(nn.Module):
    """Two grouped convolutions in a row, the first of which starts as the identity: the same function, two weights."""

    def __init__(self, weight):
        super().__init__()
        self.count, inputs = len(weight), weight.shape[2]
        self.first = nn.Parameter(torch.eye(inputs, dtype=weight.dtype).repeat(self.count, 1)[..., None])
        self.second = nn.Parameter(weight.reshape(self.count * OUTPUTS, -1, 1))

    def forward(self, x):
        hidden = conv1d(x[..., None], self.first, groups=self.count)
        return conv1d(hidden, self.second, groups=self.count).unflatten(1, (self.count, OUTPUTS)).squeeze(-1)

    def blocks(self):
        first = self.first.reshape(self.count, -1, self.second.shape[1])
        return self.second.reshape(self.count, OUTPUTS, -1) @ first


class Image(nn.Module):
    """TwoDFC: one block that reads the whole image, as a broadcast product summed over the image."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.reshape(OUTPUTS, 1, 8, 8).permute(1, 2, 3, 0).contiguous())

    def forward(self, x):
        return (x.reshape(-1, 8, 8, 1) * self.weight).sum((1, 2))[:, None]

    def blocks(self):
        return self.weight.permute(3, 0, 1, 2).reshape(1, OUTPUTS, PIXELS)


SYSTEMS = {"masked": Masked, "grouped": Grouped, "batched": Batched}


@cache
def digits(dtype):
    """Images as ``(n, 64)`` in 0 ... 1, and labels."""
    data = load_digits()
    return torch.from_numpy(data.data / 16).to(dtype), torch.from_numpy(data.target)


def batches(dtype, steps=STEPS):
    """The same batches in the same order for everybody."""
    x, labels = digits(dtype)
    for step in range(steps):
        chosen = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        yield x[chosen], labels[chosen]


def start(dtype, blocks=8):
    """Weights ``(blocks, outputs, inputs)`` as Linear draws them."""
    stream, inputs = torch.Generator().manual_seed(0), PIXELS // blocks
    drawn = torch.rand(blocks, OUTPUTS, inputs, generator=stream, dtype=torch.float64)
    return ((2 * drawn - 1) * inputs**-0.5).to(dtype)


def train(model, optimiser, dtype, disturb=None, steps=STEPS):
    """Train in place and return the blocks of weights."""
    rule = optimiser(model.parameters())
    for x, labels in batches(dtype, steps):
        rule.zero_grad()
        logits = model(x).sum(1)
        logits.retain_grad()
        cross_entropy(logits, labels).backward()
        if disturb is not None:
            disturb(model, x, logits.grad)
        rule.step()
    return model.blocks().detach()


def largest_gap(one, other):
    """The largest difference of two tensors."""
    return (one.double() - other.double()).abs().max().item()


def growth_bound(optimiser, dtype, blocks=8, runs=3, steps=STEPS):
    """How far gradients at the edge of their proved limit drive the batched system from itself."""
    roundoff = torch.finfo(dtype).eps / 2
    gamma = BATCH * roundoff / (1 - BATCH * roundoff)
    stream = torch.Generator().manual_seed(1)

    def disturb(model, x, cotangent):
        sizes = torch.einsum("ngi,no->goi", x.unflatten(1, (blocks, -1)).abs(), cotangent.abs())
        signs = 2 * torch.randint(2, sizes.shape, generator=stream) - 1
        model.weight.grad += gamma * sizes * signs

    plain = train(Batched(start(dtype, blocks)), optimiser, dtype, steps=steps)
    disturbed = (train(Batched(start(dtype, blocks)), optimiser, dtype, disturb, steps) for _ in range(runs))
    return max(largest_gap(plain, one) for one in disturbed)
