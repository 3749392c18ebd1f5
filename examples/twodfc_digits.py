"""A fully connected layer written in two dimensions, six ways, on 1,797 real handwritten digits.

TwoDFC multiplies the image by a weight of its own shape and sums. Its first version (weights of variance 1, no bias)
learned far worse than `nn.Linear`, its second (with a bias) hardly better, its third (weights drawn as `nn.Linear`
draws them) the same. This draws the curves again, with two more: Linear without a bias, and version 3 with a bias of
variance 1. Both learn as well as Linear: the scale of the weights was the cause, not the missing bias.

Then version 3 and Linear are trained from the same weights, and end as close as float64 allows; the bounds are derived
in `drift_bound` and `loss_bound`.

    python twodfc_digits.py [--steps 3000] [--figure twodfc_digits.png]
"""

import argparse
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

RATE, BATCH, TRAINING, EVERY = 0.01, 200, 1500, 50


class TwoDFC(nn.Module):
    """Version 3; `normal` names the parameters that are drawn with variance 1 instead, `bias=False` is version 1."""

    def __init__(self, size, outputs, normal=(), bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, *size, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        bound = (size[0] * size[1]) ** -0.5
        for name, parameter in self.named_parameters():
            nn.init.normal_(parameter) if name in normal else nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x):
        y = (x[..., None] * self.weight).sum((1, 2))
        return y if self.bias is None else y + self.bias


def linear(size, outputs, bias=True):
    return nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], outputs, bias))


VARIANTS = {
    "TwoDFC 1: weight N(0, 1), no bias": lambda size: TwoDFC(size, 10, ("weight",), bias=False),
    "TwoDFC 2: weight N(0, 1), bias N(0, 1)": lambda size: TwoDFC(size, 10, ("weight", "bias")),
    "TwoDFC 3: drawn as Linear": lambda size: TwoDFC(size, 10),
    "TwoDFC 3 with bias N(0, 1)": lambda size: TwoDFC(size, 10, ("bias",)),
    "Linear": lambda size: linear(size, 10),
    "Linear without bias": lambda size: linear(size, 10, bias=False),
}


def digits():
    """Images of 8 x 8 enlarged to 16 x 16, grey from 0 to 1, in a fixed random order, and their labels."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(data.images / 16).float()[order]
    return images.repeat_interleave(2, 1).repeat_interleave(2, 2), torch.from_numpy(data.target)[order]


def batches(images, labels, steps):
    stream = torch.Generator().manual_seed(1)
    for _ in range(steps):
        chosen = torch.randint(TRAINING, (BATCH,), generator=stream)
        yield images[chosen], labels[chosen]


def descend(model, x, labels):
    """Take one step of gradient descent."""
    loss = cross_entropy(model(x), labels)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.sub_(gradient, alpha=RATE)


@torch.no_grad()
def judge(model, images, labels):
    """Return loss and accuracy on the digits kept aside."""
    logits, expected = model(images[TRAINING:]), labels[TRAINING:]
    return cross_entropy(logits, expected).item(), (logits.argmax(1) == expected).double().mean().item()


def curves(name, images, labels, steps):
    """Train one variant and return ``(step, loss, accuracy)`` as it goes."""
    torch.manual_seed(0)
    began, model, seen = time.perf_counter(), VARIANTS[name](images.shape[1:]), []
    for step, (x, y) in enumerate(batches(images, labels, steps)):
        if step % EVERY == 0:
            seen.append((step, *judge(model, images, labels)))
        descend(model, x, y)
    seen.append((steps, *judge(model, images, labels)))
    _, loss, accuracy = seen[-1]
    seconds = time.perf_counter() - began
    print(
        f"{name:<40} start {seen[0][1]:7.3f}  end {loss:.3f}  accuracy {accuracy:.3f}  {seconds:5.1f} s",
        flush=True,
    )
    return seen


def longest_input(images):
    """The largest length of an image, with the 1 that the bias is multiplied by."""
    return (images.double().flatten(1).square().sum(1).max().item() + 1) ** 0.5


def drift_bound(images, weight, steps):
    """How far rounding can drive two right systems apart in `steps` steps, as the length of the difference of weights.

    The loss is convex and its gradient changes by at most L = |x|^2 / 2 times a change of the weights (the softmax has
    slope 1/2 at most), so one exact step shortens or keeps every distance if RATE * L <= 2. What is left is the
    rounding of each step, in each of the two systems: of the logits (K products, SPEC clause 12.2), through the
    softmax; of the softmax itself; of the sum over the batch; of the update. `weight` is the longest weight seen.
    """
    unit, products, longest = 2.0**-53, images[0].numel() + 1, longest_input(images)
    assert RATE * longest**2 / 2 <= 2, "a step could lengthen a distance"
    size = longest * weight  # of a logit, and of the sum of the magnitudes of its terms
    of_logits = 0.5 * 10**0.5 * products * unit * size
    of_softmax = (2 * size + 16) * unit
    of_gradient = longest * (of_logits + of_softmax + 2 * (BATCH + 1) * unit)
    of_update = unit * (weight + 2 * RATE * longest)
    return 2 * steps * (RATE * of_gradient + of_update)


def loss_bound(images, weight, drift):
    """How far the losses of two systems may be apart whose weights are `drift` apart, both judged in float64.

    The cross-entropy of one image changes by at most sqrt(2) times a change of its logits, hence sqrt(2) * |x| times
    one of the weights. Judging rounds in each of the two systems: every logit (the loss changes by at most twice the
    largest error), the exponentials and the logarithm of ten terms, and the mean over the digits kept aside.
    """
    unit, products, count = 2.0**-53, images[0].numel() + 1, len(images) - TRAINING
    longest = longest_input(images)
    size = longest * weight
    of_judging = unit * (2 * products * size + 16 * (size + 4) + (count + 1) * (2 * size + 3))
    return 2**0.5 * longest * drift + 2 * of_judging


def twins(images, labels, steps):
    """Train version 3 and Linear from the same weights; return the gaps of weights and end losses, with bounds."""
    images = images.double()
    torch.manual_seed(0)
    image = TwoDFC(images.shape[1:], 10).double()
    flat = linear(images.shape[1:], 10).double()
    flat[1].weight.data = image.weight.data[0].flatten(0, 1).T.contiguous()
    flat[1].bias.data = image.bias.data.clone()
    longest = 0.0
    for x, y in batches(images, labels, steps):
        descend(image, x, y)
        descend(flat, x, y)
        longest = max(longest, nn.utils.parameters_to_vector(flat.parameters()).norm().item())
    gap = torch.cat([(image.weight[0].flatten(0, 1).T - flat[1].weight).flatten(), image.bias - flat[1].bias])
    losses = judge(image, images, labels)[0], judge(flat, images, labels)[0]
    drift = drift_bound(images, longest, steps)
    return (gap.norm().item(), drift), (abs(losses[0] - losses[1]), loss_bound(images, longest, drift))


def draw(results, figure):
    shown = Figure(figsize=(11, 4.2), layout="constrained")  # without pyplot: no display is asked for
    axes = shown.subplots(1, 2)
    for number, (name, seen) in enumerate(results.items()):
        steps, losses, accuracies = zip(*seen, strict=True)
        style = {"linestyle": ("-", "-", "-", ":", "--", "-.")[number], "linewidth": 2, "alpha": 0.85}
        axes[0].plot(steps, losses, label=name, **style)
        axes[1].plot(steps, accuracies, **style)
    axes[0].set(xlabel="step of gradient descent", ylabel="loss on digits kept aside", yscale="log")
    axes[1].set(xlabel="step of gradient descent", ylabel="accuracy", ylim=(0, 1))
    axes[0].legend(fontsize=8)
    shown.savefig(figure, dpi=110, metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--figure", type=Path, default=Path("twodfc_digits.png"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # the tensors are small: threads would wait for each other
    images, labels = digits()
    print(f"{TRAINING} digits to learn from, {len(images) - TRAINING} kept aside; {chosen.steps} steps at rate {RATE}")
    results = {name: curves(name, images, labels, chosen.steps) for name in VARIANTS}
    draw(results, chosen.figure)
    print(f"curves drawn to {chosen.figure}")
    print("version 3 and Linear from the same weights, float64:")
    for what, (gap, bound) in zip(("weights", "end losses"), twins(images, labels, chosen.steps), strict=True):
        print(f"{what:<10} {gap:.1e} apart, bound {bound:.1e}")
        assert gap <= bound, "one of the two is not what it says"


if __name__ == "__main__":
    main()
