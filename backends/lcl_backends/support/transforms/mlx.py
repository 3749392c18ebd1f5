"""Layers on MLX under `mlx.core.jvp`, `vjp` twice, `vmap`, `compile` and `export_function`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lcl_backends.support.transforms.transformed import Function, TransformedLayer


class MlxTransforms(TransformedLayer):
    """What MLX makes of the functions of a layer."""

    def pushed_forward(self, operands: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Use `mlx.core.jvp`."""
        import mlx.core as mx

        (y,), (y_dot,) = mx.jvp(self.apply, list(operands), list(tangents))
        return y, y_dot

    def pulled_back(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        """Use `mlx.core.vjp`."""
        import mlx.core as mx

        found: Sequence[Any] = mx.vjp(self.apply, list(operands), [cotangent])[1]
        return found

    def pulled_back_twice(self, operands: Sequence[Any], cotangent: Any, tangents: Sequence[Any]) -> Sequence[Any]:
        """Use `mlx.core.vjp` of `mlx.core.vjp`."""
        import mlx.core as mx

        found: Sequence[Any] = mx.vjp(self.pulled_back, [cotangent, *operands], list(tangents))[1]
        return found

    def mapped_over(self, function: Function, axes: Sequence[int | None]) -> Function:
        """Use `mlx.core.vmap`."""
        import mlx.core as mx

        mapped: Function = mx.vmap(function, in_axes=tuple(axes))
        return mapped

    def stacked(self, tensors: Sequence[Any], axis: int) -> Any:
        """Use `mlx.core.stack`."""
        import mlx.core as mx

        return mx.stack(list(tensors), axis)

    def modes(self) -> Mapping[str, Callable[[Function], Function]]:
        """Compile."""
        import mlx.core as mx

        return {"compiled by mlx.core.compile": mx.compile}

    def stored_and_loaded(self, x: Any) -> Function:
        """Use `mlx.core.export_function`."""
        import mlx.core as mx

        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "layer.mlxfn")
            mx.export_function(path, lambda x: self.apply(x, *self.held), x)
            loaded: Function = mx.import_function(path)  # type: ignore[assignment]  # its stubs say a pair
        return lambda x: loaded(x)[0]
