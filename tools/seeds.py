"""The four source documents the suite grew from: their code, the systems it stands for, and what is wrong in it.

Data, from which `tools.seeds_page` generates docs/seeds.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A system of the source documents: its id, what it is, the registered adapters that are it, its errata."""

    id: str
    system: str
    adapters: tuple[str, ...]
    errata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snippet:
    """A piece of code: where it stands, whether it runs, what it computes once it does, its rows and its errata."""

    id: str
    what: str
    runs: str
    computes: str
    rows: tuple[str, ...]
    errata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A snippet as printed, or a port that trusts it, shown to `lcl diagnose`.

    Parameters
    ----------
    snippet : str
        Id of the snippet, or the erratum of a framework.
    how : str
        How it is used.
    layer : str
        Name of the layer in ``errata``.
    mistake : str
        Id of the deviation that must be named; empty where the snippet is right, or one of the following.
    words : str
        What is said instead where a layer gives no answer of the right form.
    error : str
        What keeps the snippet from running at all.
    """

    snippet: str
    how: str
    layer: str
    mistake: str = ""
    words: str = ""
    error: str = ""


SNIPPETS = (
    Snippet(
        "S0.1",
        "`LCL`, 1-D",
        "yes",
        "`y[p,o] = sum x[p*k+m, c] w[p, o, m*C+c]`, windows that tile",
        ("R1",),
        ("A1", "A2", "A3", "A6", "A7", "A8"),
    ),
    Snippet(
        "S0.2",
        "`__call__`, 2-D",
        "a function without its class",
        "the same with two axes, and a bias",
        ("R2",),
        ("A3", "A4", "A5"),
    ),
    Snippet(
        "S1.1",
        "loop of Linear",
        "after three repairs",
        "two blocks of 2 -> 3, one sample",
        ("R3",),
        ("B1", "B2", "B3", "B4"),
    ),
    Snippet(
        "S1.2", "masked Linear", "after three repairs", "`y = ((M * W) x + b)`", ("R4",), ("B1", "B5", "B6", "B7", "B8")
    ),
    Snippet(
        "S1.3",
        "Conv1d, shared weight",
        "after two repairs",
        "`kron(W, I) x`: blocks interleaved",
        ("R5",),
        ("B1", "B9", "B10"),
    ),
    Snippet("S1.4", "Conv1d, grouped", "yes", "block-diagonal, 4 -> 4", ("R6",), ("B11", "X3")),
    Snippet(
        "S1.5",
        "module with grouped Conv1d",
        "for a batch above 1",
        "two blocks of 1 -> 2",
        ("R6",),
        ("B1", "B11", "B12"),
    ),
    Snippet("S1.6", "two grouped Conv1d", "never", "was to be `W2 @ W1` in every block", ("R7",), ("B1", "B13", "B14")),
    Snippet("S1.7", "reshape, then Linear (words)", "yes", "`y[s,o] = sum W[o,i] x[s,i]`: one weight", ("R5",)),
    Snippet(
        "S2.1",
        "formula `c_g = c*G + g`",
        "maths",
        "grouped convolution, groups = outputs",
        ("R9", "R12"),
        ("C5", "C6", "C7"),
    ),
    Snippet(
        "S2.2",
        "`LocallyConnectedConv2d`",
        "one sample, one group",
        "a dense convolution",
        ("R10", "R11"),
        ("C1", "C2", "C3", "C4", "C9", "C10"),
    ),
    Snippet(
        "S2.3", "`tf.keras.layers.LocallyConnected2D`", "left Keras 3", "another layer", ("R13",), ("C8", "X1", "X4")
    ),
    Snippet(
        "S3.1", "`TwoDFC`", "yes", "`y[o] = sum x[h,w] w[h,w,o]`", ("R15", "R16"), ("D1", "D2", "D3", "D4", "D5", "D7")
    ),
    Snippet("S3.2", "`TwoDFCv2`", "yes", "the same with a bias", ("R15",), ("D1", "D3", "D4", "D6")),
    Snippet(
        "S3.3",
        "`TwoDFCv3`",
        "needs `np`",
        "the same, weights drawn as `nn.Linear` does",
        ("R15",),
        ("D1", "D2", "D3", "D4", "D5", "D7"),
    ),
)

SHOWN = (
    Shown("S0.1", "its own weight", "Line"),
    Shown("S0.1", "its weight on the patches of torch.unfold", "ChannelsBeforeTaps", "patch/channel-major"),
    Shown("S0.2", "made a class; a bias per channel or position", "Picture"),
    Shown("S0.2", "a bias of one number per position", "PictureWithStrayBias", "bias/first-channel"),
    Shown("S1.1", "each sample by itself", "LoopOfSamples", "precision/single"),
    Shown("S1.1", "a batch", "LoopOfBatch", words="RuntimeError: shape"),
    Shown("S1.2", "repaired so that it runs", "MaskedLinear", "nonfinite/masked-dense"),
    Shown("S1.3", "repaired so that it runs", "TiedConv", "blocks/interleaved"),
    Shown("S1.4", "fed with the axis it wants", "GroupedConv"),
    Shown("S1.4", "fed with rows (n, c) as they are", "BareConv", "batch/taken-for-channels"),
    Shown("S1.5", "repaired so that it runs", "SqueezedConv", "output/squeezed"),
    Shown("S1.6", "built", "OddOutputs", error="ValueError"),
    Shown("S1.7", "done as the words say", "TiedLinear"),
    Shown("S2.1", "G inputs per output, groups = outputs", "ChannelLocal"),
    Shown("S2.1", "G taken for the number of groups", "ChannelLocalByGroups", "groups/interleaved-input"),
    Shown("S2.2", "each sample by itself", "LocallyConnectedConv2d", "padding/half-window-resized"),
    Shown("S2.2", "a batch", "LocallyConnectedConv2dOfBatch", words="RuntimeError: Given groups=2"),
    Shown("S2.2", "a batch, its shapes repaired", "LocallyConnectedConv2dReshaped", "batch/filters-interleaved"),
    Shown("S2.3", "looked for where it is said to be", "keras_layer", error="AttributeError"),
    Shown("S2.3", "of tf_keras, channels first, the bias as its shape says", "KerasBias", "bias/reshaped"),
    Shown("S3.1", "on images", "TwoDFC"),
    Shown("S3.2", "on images", "TwoDFCv2"),
    Shown("S3.3", "on images", "TwoDFCv3"),
    Shown("S3.3", "its weight reshaped into Linear", "LinearOfTwoDFC", "weights/read-as-ohwi"),
    Shown(
        "S3.3",
        "fed by a loader of grey images, with an axis of one channel",
        "GreyImages",
        words="the output has shape",
    ),
    Shown("X2", "Flax's ConvLocal with taps before channels", "ConvLocal", "patch/channel-major"),
    Shown("X3", "MLX's conv1d in float64", "Float64Conv", "precision/single-sums"),
)

_LOCAL_KERAS = ("keras.local1", "keras.local2", "keras.local3")
_GROUPED = ("torch.grouped_conv", "jax.grouped_conv", "mlx.grouped_conv", "keras3.grouped_conv")

ROWS = (
    Row("R1", "1-D windows that tile, reshape and matmul", ("mlx.reshape",), ("A1", "A2", "A3", "A6", "A7", "A8")),
    Row("R2", "2-D windows that tile, einsum, both kinds of bias", ("mlx.einsum",), ("A3", "A4", "A5")),
    Row("R3", "loop of Linear, batched", ("torch.loop",), ("B1", "B2", "B3", "B4")),
    Row("R4", "masked Linear", ("torch.masked",), ("B5", "B6", "B7", "B8")),
    Row(
        "R5",
        "one weight for all blocks: convolution in block and interleaved order, Linear on a reshape",
        ("torch.tied_conv", "torch.tied_conv.interleaved", "torch.tied_linear"),
        ("B9", "B10"),
    ),
    Row("R6", "grouped convolution of kernel size 1", _GROUPED, ("B11", "B12", "X3")),
    Row("R7", "two grouped convolutions in a row", ("torch.two_grouped_convs",), ("B13", "B14")),
    Row(
        "R8", "batched product, einsum, mapped Linear", ("torch.unfold", "mlx.einsum", "torch.vmap", "flax.vmap_dense")
    ),
    Row("R9", "channel-local convolution by its formula", ("numpy.channel_loop",), ("C5", "C6", "C7")),
    Row("R10", "channel-local convolution, repaired", ("torch.conv",), ("C1", "C2", "C4", "C9", "C10")),
    Row("R11", "the batch in the groups", ("torch.batch_in_groups",), ("C3",)),
    Row("R12", "depthwise; grouped with shuffled channels (a table)", ("torch.conv", "numpy.channel_loop"), ("C7",)),
    Row("R13", "LocallyConnected1D/2D of tf_keras, six layouts", _LOCAL_KERAS, ("C8", "X1", "X4")),
    Row("R14", "JAX's and Flax's own local convolutions", ("jax.local", "flax.conv_local"), ("X2",)),
    Row("R15", "TwoDFC", ("torch.twodfc",), ("D1", "D2", "D3", "D4", "D5", "D6", "D7")),
    Row("R16", "Linear on the flattened image", ("torch.linear", "torch.linear.channels_first"), ("D2",)),
    Row("R17", "overlap, stride, dilation, padding", ("mlx.windows", "jax.patches", "torch.unfold"), ("A2", "X4")),
    Row("R18", "local in space and in channels", ("jax.local", "numpy.fast"), ()),
    Row("R19", "unfold and grouped convolution; shifts; a mask", ("torch.grouped_conv", "torch.shift_add"), ("A6",)),
    Row("R20", "the formula as loops, float64", ("numpy.loop",), ()),
)

ERRATA: Mapping[str, str] = {
    "A1": "the scale of the first weights leaves out the kernel size",
    "A2": "the length must be windows times kernel size: no tail is dropped, no single sample taken",
    "A3": "any shape of the right area is swallowed; windows of a 4 x 9 image are scattered",
    "A4": "no class in two dimensions, and a bias of three shapes makes three models",
    "A5": '`"bias" in self` needs a module that is a dict, and `hasattr` is true without a bias',
    "A6": "a patch is (tap, channel), in torch.unfold and JAX (channel, tap)",
    "A7": "cost is linear in the number of positions at a fixed window only",
    "A8": "`len(x)` is baked into a shapeless compilation",
    "B1": "indentation and `super().__init__()` lost, `nn.Module([...])`, `nn.Sequence`",
    "B2": "the loop takes one sample, and anything of four numbers for one",
    "B3": "a buffer from `torch.zeros` rounds float64 to float32, and breaks gradcheck, autocast and vmap",
    "B4": "writing into the buffer makes backward quadratic in the number of blocks",
    "B5": "pruning in every call changes the keys of the state, breaks copies, and leaves the mask behind",
    "B6": "masked weights start with the scale of the dense layer, too small by the root of the number of blocks",
    "B7": "`0 * NaN`: one bad input reaches all blocks of the masked form",
    "B8": "hidden weights count in norms and decay, and revive when pruning is removed",
    "B9": "a view before the shared convolution interleaves blocks; shapes hide it",
    "B10": "`view(B, C)` of the result needs as many outputs as inputs",
    "B11": "Conv1d takes a batch of as many rows as channels for one sample",
    "B12": "`squeeze()` drops a batch of 1 and a single output",
    "B13": "odd outputs need no second convolution, and other groups in it mix blocks",
    "B14": "the first of two layers is useless only if no rank is lost between them",
    "C1": "torch is not imported",
    "C2": "it runs for one sample and one group only, and is then a dense convolution",
    "C3": "filters in the order (output, sample) meet the wrong samples; the bias must be repeated",
    "C4": "an even kernel grows the map",
    "C5": "`c*G + g` needs in_channels = out_channels * G",
    "C6": "more channels per output are more parameters, not fewer",
    "C7": "a grouped convolution is not fully connected",
    "C8": "LocallyConnected2D is another layer, and has left Keras",
    "C9": "first weights of variance 1 whatever the fan-in",
    "C10": "groups that do not divide the channels are accepted",
    "D1": "numpy is not imported; a size must be a tuple",
    "D2": "the weight of Linear is (outputs, inputs), the transpose",
    "D3": "images with a channel axis, single images and other ranks are swallowed",
    "D4": "a product of samples, pixels and outputs is built",
    "D5": "initialisers take pixels times outputs for the fan-in",
    "D6": "the scale of the weights is the cause, not the missing bias",
    "D7": "equal trajectories need an elementwise optimiser; tools that look for Linear skip it",
    "X1": "tf_keras reshapes its channels-first bias instead of transposing it",
    "X2": "JAX and Flax put channels before taps; ConvLocal refuses groups",
    "X3": "convolutions of MLX take float64 and compute float32; grouped ones refuse it",
    "X4": "weights that meet only padding never train; tf_keras stores, masks or omits them",
}
