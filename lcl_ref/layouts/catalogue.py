"""The catalogue: who stores locally connected weights how. Data only; `lcl_ref.layouts.pattern` explains the patterns.

Sources are cited by project and file. Everything here was written from their documented behaviour and is checked by
the tests: live against the framework (``checked="live"``), or against loops written from the formula (``"loop"``).
"""

from __future__ import annotations

from lcl_ref.layouts.model import Layout

_PER_POSITION = {"position": "o* co"}
_OUTSIDE = {"position": "o* co", "channel": "co"}
_PER_CHANNEL = {"channel": "co"}

_NO_GROUPS = {"groups": "the source has no groups"}
_KERAS_BIAS = "The bias is reshaped, not transposed, into (1, co, o*): its shape says (o*, co), its memory is (co, o*)."
_KERAS_PADDING = "Padding same is lo = kernel // 2 whatever the stride (same_keras_local)."
_DEAD_ENTRIES = (
    "Dense entries that join no window: no output depends on them, but regularisers and optimisers count them."
)
_DEAD_TAPS = (
    "Taps that fall on padding (none without padding): not stored, they come back as 0; no output depends on them."
)
_LASAGNE = "The bias is one per channel by default, per position with untie_biases=True. Padding is same_keras_local."
_SHARED_BIAS = "One bias value per position: only a bias that is the same at all positions can be stored."


def _keras(prefix: str, of: str, source: str, version: str, ranks: tuple[int, ...]) -> list[Layout]:
    """Return the six layouts of tf_keras: three implementations, two data formats."""
    weights = {
        "impl1/channels_last": "(o*) (k* cg) co",
        "impl1/channels_first": "(o*) (cg k*) co",
        "impl2/channels_last": "i* cg o* co",
        "impl2/channels_first": "cg i* co o*",
        "impl3/channels_last": "o* co k* cg",
        "impl3/channels_first": "co o* cg k*",
    }
    other = "neurite holds 3-D layers" if prefix == "keras2" else "keras2 holds 1-D and 2-D layers"
    rows = []
    for name, weight in weights.items():
        first = name.endswith("first")
        rows.append(
            Layout(
                name=f"{prefix}/{name}",
                of=f"{of}, implementation={name[4]}, {name[6:]}",
                source=source,
                version=version,
                ranks=ranks,
                weight=weight,
                bias={"position": "co o*"} if first else _PER_POSITION,
                bias_reported="o* co" if first else "",
                form=("taps", "dense", "live")[int(name[4]) - 1],
                why={"ranks": other, **_NO_GROUPS},
                loses={"1": "", "2": _DEAD_ENTRIES, "3": _DEAD_TAPS}[name[4]],
                note=" ".join([_KERAS_BIAS] * first + [_KERAS_PADDING] * (name[4] != "1")),
                checked="live" if prefix == "keras2" else "loop",
            )
        )
    return rows


_CANONICAL = [
    Layout(
        name="canonical",
        of="this project: weight[oy, ox] is the HWIO kernel of that position",
        source="SPEC.md, clause 3",
        version="",
        ranks=(0, 1, 2, 3),
        weight="o* k* cg co",
        bias={"position": "o* co", "channel": "co"},
        groups=True,
        shared=True,
        table=True,
    ),
]

_KERAS = [
    *_keras(
        "keras2",
        "tf_keras LocallyConnected1D/2D",
        "keras-team/tf-keras, tf_keras/layers/locally_connected/",
        "2.21, and every Keras from 2.3",
        (1, 2),
    ),
    *_keras("neurite", "neurite LocallyConnected3D", "adalca/neurite, neurite/tf/layers.py", "", (3,)),
    Layout(
        name="keras1/channels_last",
        of="Keras 1 and 2.0 LocallyConnected1D/2D, dim_ordering tf",
        source="keras-team/keras, keras/layers/local.py",
        version="1.0 to 2.2",
        ranks=(1, 2),
        weight="(o*) (k* cg) co",
        bias=_PER_POSITION,
        why=_NO_GROUPS,
    ),
    Layout(
        name="keras1/channels_first",
        of="Keras 1 and 2.0 LocallyConnected2D, dim_ordering th",
        source="keras-team/keras, keras/layers/local.py",
        version="1.0 to 2.2",
        ranks=(2,),
        weight="(o*) (cg k*) co",
        bias={"position": "co o*"},
        bias_reported="o* co",
        why={"ranks": "its 1-D layer is channels_last only", **_NO_GROUPS},
        note=_KERAS_BIAS,
    ),
]

_JAX = [
    Layout(
        name="flax/conv_local",
        of="flax.linen ConvLocal (flax.nnx has none)",
        source="google/flax, flax/linen/linear.py",
        version="0.12.8",
        ranks=(1, 2, 3),
        weight="o* (cg k*) co",
        bias=_PER_POSITION,
        why={"groups": "ConvLocal raises NotImplementedError for feature_group_count"},
        checked="live",
    ),
]

_LUA_AND_TORCH = [
    Layout(
        name="torch7/spatial_convolution_local",
        of="torch7 nn.SpatialConvolutionLocal, THNN, and Conv2dLocal of PyTorch's pull request 1583",
        source="torch/nn, SpatialConvolutionLocal.lua; pytorch/pytorch, aten/src/THNN",
        version="PyTorch up to 1.x backend",
        ranks=(2,),
        weight="o* co cg k*",
        bias={"position": "co o*"},
        why=_NO_GROUPS,
    ),
    Layout(
        name="torch/ptrblck",
        of="the LocallyConnected2d of the PyTorch forum, copied into many repositories",
        source="ptrblck/pytorch_misc; quoted in pytorch/pytorch#499",
        version="",
        ranks=(2,),
        weight="1 co cg o* (k*)",
        bias={"position": "1 co o*"},
        why=_NO_GROUPS,
        checked="live",
    ),
    Layout(
        name="torch/unfold",
        of="torch.nn.functional.unfold followed by one product per position",
        source="pytorch/pytorch, torch/nn/functional.py (unfold)",
        version="2.13",
        ranks=(2,),
        weight="co (cg k*) (o*)",
        bias={"position": "co (o*)", "channel": "co"},
        why={"ranks": "unfold takes images only", **_NO_GROUPS},
        note="One form of an idiom with many: unfold fixes the order of a patch, (cg k*); the rest is its author's.",
        checked="live",
    ),
    Layout(
        name="mhcflurry",
        of="mhcflurry LocallyConnected1D (torch)",
        source="openvax/mhcflurry, mhcflurry/pytorch_layers.py",
        version="from February 2026; before, its converter stored patches as (cg k*)",
        ranks=(1,),
        weight="(o*) co (k* cg)",
        bias=_PER_POSITION,
        why=_NO_GROUPS,
    ),
    Layout(
        name="local_linear",
        of="LocalLinear of PyTorch issue 499",
        source="pytorch/pytorch#499",
        version="",
        ranks=(1,),
        weight="o* k* co",
        bias=_PER_POSITION,
        why={"absent": "it reads one input channel", **_NO_GROUPS},
    ),
    Layout(
        name="eir",
        of="EIR LCL, for genotypes",
        source="arnor-sigurdsson/EIR, eir/models/layers/lcl_layers.py",
        version="",
        ranks=(1,),
        weight="co o* k*",
        bias={"position": "(co o*)"},
        why={"absent": "it reads one input channel", **_NO_GROUPS},
        note="Windows tile the input (stride = kernel_size); its output is flattened as (co, o).",
    ),
    Layout(
        name="mlx/issue1881",
        of="the 1-D answer of MLX issue 1881: reshape and one batched product",
        source="ml-explore/mlx#1881",
        version="0.32.4",
        ranks=(1,),
        weight="(o*) co (k* cg)",
        bias=_OUTSIDE,
        bias_outside=True,
        why=_NO_GROUPS,
        note="Windows tile the input (stride = kernel_size).",
        checked="live",
    ),
]

_HISTORIC = [
    Layout(
        name="chainer",
        of="Chainer local_convolution_2d, LocalConvolution2D",
        source="chainer/chainer, chainer/functions/connection/local_convolution_2d.py",
        version="7",
        ranks=(2,),
        weight="co o* cg k*",
        bias={"position": "co o*"},
        why=_NO_GROUPS,
    ),
    Layout(
        name="theano",
        of="Theano conv2d(unshared=True), filter_flip=True (the default)",
        source="Theano/Theano, theano/tensor/nnet/abstract_conv.py",
        version="1.0",
        ranks=(2,),
        weight="co o* cg k*",
        bias=_OUTSIDE,
        bias_outside=True,
        flipped=True,
        groups=True,
        why={"ranks": "its 1-D and 3-D forms raise"},
    ),
    Layout(
        name="theano/unflipped",
        of="Theano conv2d(unshared=True), filter_flip=False",
        source="Theano/Theano, theano/tensor/nnet/abstract_conv.py",
        version="1.0",
        ranks=(2,),
        weight="co o* cg k*",
        bias=_OUTSIDE,
        bias_outside=True,
        groups=True,
        why={"ranks": "its 1-D and 3-D forms raise"},
    ),
    Layout(
        name="lasagne",
        of="Lasagne LocallyConnected2DLayer, flip_filters=True (the default)",
        source="Lasagne/Lasagne, lasagne/layers/local.py",
        version="0.2.dev",
        ranks=(2,),
        weight="co cg k* o*",
        bias={"channel": "co", "position": "co o*"},
        flipped=True,
        why={"groups": "its channelwise form is lasagne/channelwise"},
        note=_LASAGNE,
    ),
    Layout(
        name="lasagne/unflipped",
        of="Lasagne LocallyConnected2DLayer, flip_filters=False",
        source="Lasagne/Lasagne, lasagne/layers/local.py",
        version="0.2.dev",
        ranks=(2,),
        weight="co cg k* o*",
        bias={"channel": "co", "position": "co o*"},
        why={"groups": "its channelwise form is lasagne/channelwise"},
        note=_LASAGNE,
    ),
    Layout(
        name="lasagne/channelwise",
        of="Lasagne LocallyConnected2DLayer, channelwise=True, flip_filters=True",
        source="Lasagne/Lasagne, lasagne/layers/local.py",
        version="0.2.dev",
        ranks=(2,),
        weight="g k* o*",
        bias={"channel": "co", "position": "co o*"},
        flipped=True,
        groups=True,
        why={"absent": "each channel is a group of its own: groups = in_channels = out_channels"},
        note=_LASAGNE,
    ),
    Layout(
        name="darknet",
        of="darknet [local], as in YOLOv1",
        source="pjreddie/darknet, src/local_layer.c",
        version="f6afaabc",
        ranks=(2,),
        weight="(o* co cg k*)",
        bias={"position": "(co o*)"},
        why=_NO_GROUPS,
        note="In a .weights file the biases of a layer stand before its weights.",
    ),
    Layout(
        name="cuda_convnet",
        of="cuda-convnet and cuda-convnet2 type=local, ccn2 SpatialConvolutionLocal",
        source="cuda-convnet2, src/local_acts.cu",
        version="",
        ranks=(2,),
        weight="(o* cg k*) co",
        bias={"position": "(co o*) 1"},
        groups=True,
        note="Square images only.",
    ),
    Layout(
        name="pylearn2",
        of="pylearn2 FilterActs, LocalDot, Local",
        source="lisa-lab/pylearn2, pylearn2/packaged_dependencies/theano_linear/unshared_conv/",
        version="",
        ranks=(2,),
        weight="o* cg k* g p",
        bias=_OUTSIDE,
        bias_outside=True,
        groups=True,
        note="Square images and kernels only; its pad argument is never used.",
    ),
    Layout(
        name="caffe2/nchw",
        of="Caffe2 LC, LC1D, LC2D, LC3D, order NCHW",
        source="pytorch/pytorch, caffe2/operators/locally_connected_op*",
        version="1.x",
        ranks=(1, 2, 3),
        weight="o* co cg k*",
        bias=_PER_POSITION,
        groups=True,
    ),
    Layout(
        name="caffe2/nhwc",
        of="Caffe2 LC, LC2D, order NHWC",
        source="pytorch/pytorch, caffe2/operators/locally_connected_op*",
        version="1.x",
        ranks=(2,),
        weight="o* co k* cg",
        bias=_PER_POSITION,
        why={"ranks": "order NHWC is 2-D only", "groups": "order NHWC has no groups"},
    ),
    Layout(
        name="caffe",
        of="Caffe forks: Local (an unmerged branch of BVLC/caffe), LocalConnect (CaffeOnACL)",
        source="BVLC/caffe, src/caffe/layers/local_layer.cpp of the branch",
        version="",
        ranks=(2,),
        weight="co 1 (cg k*) (o*)",
        bias={"position": "1 1 co (o*)"},
        why=_NO_GROUPS,
    ),
    Layout(
        name="megengine",
        of="MegEngine LocalConv2d, F.local_conv2d (GroupLocal)",
        source="MegEngine/MegEngine, imperative/python/megengine/module/conv.py",
        version="1.x",
        ranks=(2,),
        weight="g o* cg k* p",
        bias=_OUTSIDE,
        bias_outside=True,
        groups=True,
        note="The group axis stays where there is one group; the module has no bias.",
    ),
    Layout(
        name="daal",
        of="Intel DAAL locallyconnected2d (removed by 2021)",
        source="oneapi-src/oneDAL, algorithms/neural_networks/layers/locallyconnected2d/",
        version="2019",
        ranks=(2,),
        weight="co o* cg k*",
        bias={"position": "co o*"},
        groups=True,
    ),
    Layout(
        name="cntk",
        of="CNTK Convolution(sharing=[...]), Net# Sharing",
        source="microsoft/CNTK, Source/Math/ConvolutionEngine.cpp",
        version="2.x",
        ranks=(1, 2, 3),
        weight="co o* cg k*",
        bias=_OUTSIDE,
        bias_outside=True,
        shared=True,
        why=_NO_GROUPS,
        note="With the map on the last axis; its sharing flag per axis is spec.shared.",
    ),
    Layout(
        name="neural_fortran",
        of="neural-fortran locally_connected2d_layer (which is 1-D)",
        source="modern-fortran/neural-fortran, src/nf/nf_locally_connected2d_layer.f90",
        version="",
        ranks=(1,),
        weight="co o* cg k*",
        bias={"position": "co o*"},
        memory="F",
        why=_NO_GROUPS,
        note="Fortran's index order; column-major in memory, which the returned array is too.",
    ),
    Layout(
        name="cxxnet",
        of="cxxnet LocallyConnectedLayer (in a fork; its forward pass is commented out)",
        source="cxxnet, src/layer/locally_connected_layer-inl.hpp",
        version="",
        ranks=(2,),
        weight="co cg (o*) (k*)",
        bias={"position": "co o*"},
        why=_NO_GROUPS,
    ),
]

_OTHER_PLATFORMS = [
    Layout(
        name="dl4j/nchw",
        of="DL4J LocallyConnected1D/2D, NCHW (NCW)",
        source="deeplearning4j, nn/conf/layers/LocallyConnected2D.java",
        version="1.0",
        ranks=(1, 2),
        weight="(o*) (cg k*) co",
        bias=_PER_CHANNEL,
        why=_NO_GROUPS,
        loses=_SHARED_BIAS,
        note="Early versions give the bias the shape (1, co). Padding is listed but never applied.",
    ),
    Layout(
        name="dl4j/nhwc",
        of="DL4J LocallyConnected2D, NHWC",
        source="deeplearning4j, nn/conf/layers/LocallyConnected2D.java",
        version="1.0, later releases",
        ranks=(2,),
        weight="(o*) (k* cg) co",
        bias=_PER_CHANNEL,
        why=_NO_GROUPS,
        loses=_SHARED_BIAS,
        note="Padding is listed but never applied.",
    ),
    Layout(
        name="bigdl/nchw",
        of="BigDL and analytics-zoo LocallyConnected2D, NCHW",
        source="intel-analytics/BigDL, nn/LocallyConnected2D.scala",
        version="",
        ranks=(2,),
        weight="(o*) co (cg k*)",
        bias={"position": "co (o*)"},
        bias_reported="(o*) co",
        why={"ranks": "its 1-D layer is bigdl/nhwc", **_NO_GROUPS},
        note="The bias has the shape (P, co) but is added to a (co, P) view: its memory is (co, o*).",
    ),
    Layout(
        name="bigdl/nhwc",
        of="BigDL and analytics-zoo LocallyConnected1D/2D, NHWC",
        source="intel-analytics/BigDL, nn/LocallyConnected2D.scala, nn/LocallyConnected1D.scala",
        version="",
        ranks=(1, 2),
        weight="(o*) co (k* cg)",
        bias={"position": "(o*) co"},
        why=_NO_GROUPS,
    ),
    Layout(
        name="arm_compute",
        of="ARM Compute Library NELocallyConnectedLayer, CLLocallyConnectedLayer",
        source="ARM-software/ComputeLibrary, NELocallyConnectedLayer.h",
        version="up to 20.x",
        ranks=(2,),
        weight="(o*) co cg k*",
        bias={"position": "(o*) co", "channel": "co"},
        why=_NO_GROUPS,
        note="Its dimensions are listed fastest first: [kx, ky, IFM, OFM, patches].",
    ),
    Layout(
        name="aidotnet",
        of="AiDotNet LocallyConnectedLayer",
        source="ooples/AiDotNet",
        version="",
        ranks=(2,),
        weight="o* co cg k*",
        bias=_PER_CHANNEL,
        why=_NO_GROUPS,
        loses=_SHARED_BIAS,
    ),
]

_ONE_POSITION = {"ranks": "a block-diagonal linear map has rank 0: Spec(input_size=(), kernel_size=(), groups=blocks)"}

_BLOCKS = [
    Layout(
        name="block/h_in_out",
        of="block-diagonal linear (h, in, out): RecurrentGemma BlockDiagonalLinear",
        source="google-deepmind/recurrentgemma, layers.py",
        version="1.0",
        ranks=(0,),
        weight="g cg p",
        bias={"position": "g p", "channel": "g p"},
        groups=True,
        why=_ONE_POSITION,
    ),
    Layout(
        name="block/h_out_in",
        of="block-diagonal linear (h, out, in): xLSTM LinearHeadwiseExpand, Monarch blockdiag_multiply",
        source="NX-AI/xlstm, components/linear_headwise.py; HazyResearch/fly, blockdiag_multiply.py",
        version="",
        ranks=(0,),
        weight="g p cg",
        bias={"position": "co", "channel": "co"},
        groups=True,
        why=_ONE_POSITION,
    ),
    Layout(
        name="notears",
        of="NOTEARS and DAGMA LocallyConnected [d, m1, m2]",
        source="xunzheng/notears, notears/locally_connected.py",
        version="",
        ranks=(0,),
        weight="g cg p",
        bias={"position": "g p", "channel": "g p"},
        groups=True,
        why=_ONE_POSITION,
        note="d linear maps side by side: groups = d, in_channels = d * m1, out_channels = d * m2.",
    ),
]

_ONE_KERNEL = {"absent": "a convolution has one kernel for all positions: shared=True", "ranks": "use block/h_in_out"}

_CONVOLUTIONS = [
    Layout(
        name="torch/conv",
        of="torch.nn.Conv1d/2d/3d: OIHW",
        source="pytorch/pytorch, torch/nn/modules/conv.py",
        version="2.13",
        ranks=(1, 2, 3),
        weight="co cg k*",
        bias=_PER_CHANNEL,
        groups=True,
        shared=True,
        why=_ONE_KERNEL,
        loses=_SHARED_BIAS,
        checked="live",
    ),
    Layout(
        name="hwio",
        of="Keras, TensorFlow, flax and haiku convolutions: HWIO",
        source="keras-team/keras, google/flax",
        version="",
        ranks=(1, 2, 3),
        weight="k* cg co",
        bias=_PER_CHANNEL,
        groups=True,
        shared=True,
        why=_ONE_KERNEL,
        loses=_SHARED_BIAS,
        checked="live",
    ),
    Layout(
        name="mlx/conv",
        of="mlx.nn.Conv1d/2d/3d: OHWI",
        source="ml-explore/mlx, python/mlx/nn/layers/convolution.py",
        version="0.32.4",
        ranks=(1, 2, 3),
        weight="co k* cg",
        bias=_PER_CHANNEL,
        groups=True,
        shared=True,
        why=_ONE_KERNEL,
        loses=_SHARED_BIAS,
        checked="live",
    ),
]

ROWS = (
    *_CANONICAL,
    *_KERAS,
    *_JAX,
    *_LUA_AND_TORCH,
    *_HISTORIC,
    *_OTHER_PLATFORMS,
    *_BLOCKS,
    *_CONVOLUTIONS,
)
