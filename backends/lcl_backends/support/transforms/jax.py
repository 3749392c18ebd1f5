"""Layers on JAX under `jax.jvp`, `jax.vjp` twice, `jax.vmap`, without `jax.jit`, and by `jax.export`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lcl_backends.support.transforms.transformed import Function, TransformedLayer


class JaxTransforms(TransformedLayer):
    """What JAX makes of the functions of a layer; `compiled_once` compiles what would run operation by operation."""

    def compiled_once(self, function: Function) -> Function:
        """Return a compiled function."""
        import jax

        compiled: Function = jax.jit(function)
        return compiled

    def pushed_forward(self, operands: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Use `jax.jvp`."""
        import jax

        push = self.compiled_once(lambda *both: jax.jvp(self.apply, *both))
        pair: tuple[Any, Any] = push(tuple(operands), tuple(tangents))
        return pair

    def pulled_back(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        """Use `jax.vjp`."""
        import jax

        found: Sequence[Any] = jax.vjp(self.apply, *operands)[1](cotangent)
        return found

    def pulled_back_twice(self, operands: Sequence[Any], cotangent: Any, tangents: Sequence[Any]) -> Sequence[Any]:
        """Use `jax.vjp` of `jax.vjp`."""
        import jax

        pull = self.compiled_once(
            lambda tangents, *moving: jax.vjp(lambda *given: tuple(self.pulled_back(*given)), *moving)[1](tangents)
        )
        found: Sequence[Any] = pull(tuple(tangents), cotangent, *operands)
        return found

    def mapped_over(self, function: Function, axes: Sequence[int | None]) -> Function:
        """Use `jax.vmap`."""
        import jax

        return self.compiled_once(jax.vmap(function, in_axes=tuple(axes)))

    def stacked(self, tensors: Sequence[Any], axis: int) -> Any:
        """Use `jax.numpy.stack`."""
        import jax.numpy as jnp

        return jnp.stack(tensors, axis)

    def modes(self) -> Mapping[str, Callable[[Function], Function]]:
        """Run operation by operation; and compile with the options of JAX itself, which small layers are not."""
        import jax

        return {"run without jax.jit": _eager, "compiled by jax.jit": jax.jit}

    def stored_and_loaded(self, x: Any) -> Function:
        """Use `jax.export`."""
        import jax
        import jax.export

        stored = jax.export.export(jax.jit(lambda x: self.apply(x, *self.held)))(x).serialize()
        loaded: Function = jax.export.deserialize(stored).call
        return loaded


def _eager(function: Function) -> Function:
    """Return a function that is not compiled as a whole."""

    def run(*operands: Any) -> Any:
        import jax

        with jax.disable_jit():
            return function(*operands)

    return run
