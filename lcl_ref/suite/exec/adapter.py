"""A layer in another process or language, ``exec:COMMAND``, behind the adapter protocol (docs/protocol.md).

The program is started once and asked one cell at a time; after a crash, a timeout or a line that is no answer it is
started again for the next cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.outside.documents import parsed
from lcl_ref.outside.text import cleaned, shown
from lcl_ref.suite import schema
from lcl_ref.suite.adapter import OPERATIONS, Capabilities, Declaration, Unsupported
from lcl_ref.suite.exec import wire
from lcl_ref.suite.exec.program import Ending, Program, cut
from lcl_ref.suite.judge.outcome import GIVEN_UP, MAX_LOSSES, Fault, NotRun

T = TypeVar("T")
Array = NDArray[Any]
Arrays = dict[str, Array]
Forms = dict[str, wire.Form]

PROTOCOL = "lcl-exec/1"
SCHEMA = "lcl-exec-1"


DECLINES = {
    "memory/*": "operands reach a program as bytes, in one order",
    "state/threads": "a program is asked one question at a time",
    "state/global-*": "a program has a process of its own",
}
"""Checks that cannot be asked of any program."""

NOT_DESCRIBED = {"describe/*": "not asked: the program does not say that it knows the command `describe`"}
"""What is not asked of a program that was written before the command."""


@dataclass(frozen=True)
class Limits:
    """Seconds a program may take to answer: to start, and for one cell."""

    start: float = 180.0
    case: float = 60.0


class ProgramError(Fault):
    """The program answered that it failed; it is still there."""

    def __init__(self, text: str) -> None:
        super().__init__("exception", f"the program says: {shown(text)}")


def forms_of(spec: Spec, op: str, dtype: str, batch: int) -> Forms:
    """Return shape and dtype of each result of `op` by its name in the protocol."""
    operation, shapes = OPERATIONS[op], spec.result_shapes(batch)
    return {operation.called.get(name, name): (shapes[name], dtype) for name in operation.results if name in shapes}


class Conversation:
    """One run of the program, from start to stop; every answer is validated against the schema.

    Parameters
    ----------
    argv : sequence of str
        The command.
    limits : Limits
        Seconds per answer.

    Attributes
    ----------
    greeting : dict
        The start answer.
    inline_bytes : int
        Operands of no more bytes travel inside the command.

    Raises
    ------
    Fault
        If the program does not start, or its start answer is not valid.
    """

    def __init__(self, argv: Sequence[str], limits: Limits) -> None:
        self._limits, self._program, self._id = limits, Program(argv), -1
        command = {"command": "start", "protocol": PROTOCOL, "folder": str(self._program.folder)}
        self.greeting = self._exchange(command, "start_answer", limits.start)
        self.inline_bytes: int = self.greeting.get("inline_bytes", 0)

    def run(self, spec: Spec, op: str, dtype: str, operands: Mapping[str, Array], forms: Forms) -> Arrays:
        """Ask for one operation and return its results.

        Raises
        ------
        Fault
            If no valid answer came; the program is ended, unless it is a `ProgramError`.
        Malformed
            If the results have other names, shapes or dtypes than `forms`.
        Unsupported
            If the program says so.
        """
        number = self._id + 1
        given, results = (self._program.folder / f"{number}-{name}.safetensors" for name in ("operands", "results"))
        try:
            command = {"command": "run", "op": op, "dtype": dtype, "spec": spec.to_dict()}
            command |= {"operands": self._pack(operands, given), "results": str(results)}
            answer = self.say(command)
            arrays = self._unpack(answer, results, forms)
        finally:
            given.unlink(missing_ok=True)
            results.unlink(missing_ok=True)
        wire.check_forms(arrays, forms)
        return arrays

    def _pack(self, operands: Mapping[str, Array], path: Path) -> Any:
        if sum(array.nbytes for array in operands.values()) <= self.inline_bytes:
            return {name: wire.encode(array) for name, array in operands.items()}
        wire.write_file(path, operands)
        return str(path)

    def _unpack(self, answer: Mapping[str, Any], path: Path, forms: Forms) -> Arrays:
        if "unsupported" in answer:
            raise Unsupported(shown(answer["unsupported"]))
        if "error" in answer:
            raise ProgramError(answer["error"])
        if answer["results"] == "file":
            return wire.read_file(path, forms)
        return {name: wire.decode(name, tensor) for name, tensor in answer["results"].items()}

    def describe(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """Ask what a layer is, by its fields as written; return the answer, with `spec` or `refused`.

        Raises
        ------
        Fault
            If no valid answer came, or the program failed.
        Unsupported
            If the program says so.
        """
        answer = self._exchange({"command": "describe", "layer": layer}, "describe_answer", self._limits.case)
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "error" in answer:
            raise ProgramError(answer["error"])
        return answer

    def say(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send one command and return its answer, which has the form of a run answer."""
        return self._exchange(command, "run_answer", self._limits.case)

    def _exchange(self, command: dict[str, Any], definition: str, seconds: float) -> dict[str, Any]:
        """Send one command and return its answer, valid and with the right id; end a program that gives none."""
        self._id += 1
        text = json.dumps({"id": self._id} | command, allow_nan=False, ensure_ascii=False)
        line = text.encode("utf-8", "surrogateescape") + b"\n"
        try:
            return self._valid(self._program.ask(line, seconds), command["command"], definition)
        except Fault:
            self._program.kill()
            raise

    def _valid(self, text: bytes, command: str, definition: str) -> dict[str, Any]:
        try:
            answer = parsed(text)
        except ValueError as error:
            hint = "one JSON object per command; print everything else to stderr"
            raise Fault("malformed", f"stdout: got {cut(text)}, expected {hint}") from error
        try:
            schema.validate(answer, SCHEMA, definition)
        except schema.Invalid as invalid:
            raise Fault("malformed", f"answer to {command}: {invalid}") from invalid
        if answer["id"] != self._id:
            got = f"id {answer['id']}, expected {self._id}: one answer per command, in order"
            raise Fault("malformed", f"answer to {command}: got {got}")
        valid: dict[str, Any] = answer
        return valid

    def stop(self) -> Ending:
        """Tell the program to stop and clean up after it."""
        return self._program.stop(json.dumps({"id": self._id + 1, "command": "stop"}).encode() + b"\n")

    def hang_up(self) -> Ending:
        """Close the program's input without a word, and clean up after it."""
        return self._program.stop(b"")


class ExecAdapter:
    """The adapter of one command.

    Parameters
    ----------
    name : str
        What the report calls it.
    argv : sequence of str
        The command.
    limits : Limits
        Seconds per answer.

    Raises
    ------
    Fault
        If the program does not start, or its start answer is not valid.
    """

    def __init__(self, name: str, argv: Sequence[str], limits: Limits) -> None:
        self._argv, self._limits, self._losses = argv, limits, 0
        self._conversation: Conversation | None = Conversation(argv, limits)
        greeting = cleaned(self._conversation.greeting)
        said: dict[str, Any] = greeting["capabilities"]
        declines = DECLINES | ({} if greeting.get("describes") else NOT_DESCRIBED) | said.get("declines", {})
        self.version = f"{greeting['version']} ({greeting['language']})"
        self.declaration = Declaration(
            name=name,
            framework=greeting["name"],
            modules=(),
            summary="A program that speaks lcl-exec/1.",
            layout="canonical",
            capabilities=Capabilities(**({"channel_table": True} | said | {"declines": declines})),
        )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> ExecLayer:
        """Keep the canonical weights; they travel with each question."""
        return ExecLayer(self, spec, weight, bias, dtype)

    def run(self, spec: Spec, op: str, dtype: str, operands: Mapping[str, Array], batch: int) -> Arrays:
        """Ask the program, starting it again where it was lost.

        Raises
        ------
        Fault
            If the program was lost over this question.
        NotRun
            If too many questions in a row were.
        """
        forms = forms_of(spec, op, dtype, batch)
        return self._asked(lambda conversation: conversation.run(spec, op, dtype, operands, forms))

    def describe(self, layer: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the program what a layer is, by its fields as written; exceptions as `run`."""
        return self._asked(lambda conversation: conversation.describe(layer))

    def _asked(self, ask: Callable[[Conversation], T]) -> T:
        if self._losses == MAX_LOSSES:
            raise NotRun(GIVEN_UP)
        before, self._losses = self._losses, 0
        try:
            if self._conversation is None:
                self._conversation = Conversation(self._argv, self._limits)
            return ask(self._conversation)
        except ProgramError:
            raise
        except Fault:
            self._losses, self._conversation = before + 1, None
            raise

    def close(self) -> None:
        """Stop the program."""
        if self._conversation is not None:
            self._conversation.stop()
            self._conversation = None


@dataclass(frozen=True)
class ExecLayer:
    """A layer whose operations are questions to a program."""

    adapter: ExecAdapter
    spec: Spec
    weight: Array
    bias: Array | None
    dtype: str

    def forward(self, x: Array) -> Array:
        """Return ``y (n, o*, co)``."""
        return self._ask("forward", x=x)["y"]

    def vjp(self, x: Array, dy: Array) -> tuple[Array, Array, Array | None]:
        """Return ``(dx, dw, db)``."""
        results = self._ask("vjp", x=x, dy=dy)
        return results["dx"], results["dw"], results.get("db")

    def transpose(self, y: Array) -> Array:
        """Return ``xt (n, i*, ci)``."""
        return self._ask("transpose", y=y)["xt"]

    def _ask(self, op: str, **operands: Array) -> Arrays:
        batch = len(next(iter(operands.values())))
        operands["weight"] = self.weight
        if self.bias is not None and "bias" in OPERATIONS[op].operands:
            operands["bias"] = self.bias
        return self.adapter.run(self.spec, op, self.dtype, operands, batch)
