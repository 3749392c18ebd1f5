"""The named layers that ``lcl bench`` times: published models, and shapes people have asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lcl_ref.core.spec import Spec


@dataclass(frozen=True)
class Workload:
    """A layer, a batch size, and where they come from."""

    name: str
    spec: Spec
    batch: int
    source: str

    @property
    def products(self) -> int:
        """Multiply-adds of one forward pass."""
        return self.batch * self.spec.connection_count

    @property
    def weight_bytes(self) -> int:
        """Size of the weight in float32."""
        return 4 * self.spec.parameter_count


def _image(size: int, channels: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> Spec:
    return Spec(
        input_size=(size, size),
        in_channels=channels,
        out_channels=outputs,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
    )


def _blocks(features: int, groups: int) -> Spec:
    return Spec(input_size=(), in_channels=features, out_channels=features, kernel_size=(), groups=groups)


WORKLOADS = (
    Workload("deepface-l4", _image(63, 16, 16, 9), 32, "DeepFace, layer L4: 16 filters of 9x9 on 63x63x16"),
    Workload(
        "deepface-l5", _image(55, 16, 16, 7, 2), 32, "DeepFace, layer L5: 16 filters of 7x7, stride 2, on 55x55x16"
    ),
    Workload("deepface-l6", _image(25, 16, 16, 5), 32, "DeepFace, layer L6: 16 filters of 5x5 on 25x25x16"),
    Workload("yolov1-local", _image(7, 1024, 256, 3, padding=1), 16, "YOLOv1, [local]: 256 filters of 3x3 on 7x7x1024"),
    Workload(
        "mhcflurry",
        Spec(input_size=45, in_channels=21, out_channels=8, kernel_size=3),
        512,
        "MHCflurry, LocallyConnected1D: 8 filters of 3 on peptides of 45x21",
    ),
    Workload("mlx-1881", _image(32, 3, 64, 3), 32, "MLX issue 1881: LocallyConnected2d on 32x32 images"),
    Workload("all-tnn", _image(36, 32, 16, 5, 2, 2), 32, "a middle layer of an All-TNN (topographic network)"),
    Workload("blocks-16", _blocks(2048, 16), 256, "block-diagonal linear map, 2048 features in 16 blocks"),
    Workload("blocks-256", _blocks(2048, 256), 256, "block-diagonal linear map, 2048 features in 256 blocks"),
    Workload("mnist-200", _image(28, 1, 8, 5), 200, "28x28 images of one channel, batch of 200"),
)
"""Every workload, in the order of the table. Batch sizes are those of the model's training or a usual one."""

FACTORS = (1, 2, 4, 8)
"""How much larger than its base each layer of a scaling series is."""

SERIES: dict[str, Callable[[int], Workload]] = {
    "batch": lambda factor: Workload("batch", _image(24, 16, 16, 5), 8 * factor, "scaling"),
    "positions": lambda factor: Workload("positions", _row(20 * factor + 4, 16), 16, "scaling"),
    "channels": lambda factor: Workload("channels", _image(20, 8 * factor, 16, 5), 16, "scaling"),
}
"""What grows -> the layer at a factor; products are proportional to the factor."""


def _row(length: int, channels: int) -> Spec:
    return Spec(input_size=(length, 24), in_channels=channels, out_channels=16, kernel_size=5)
