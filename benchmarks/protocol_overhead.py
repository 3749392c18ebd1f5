"""What the protocol costs a question: `python benchmarks/protocol_overhead.py`.

A program that answers at once is asked through two bare pipes, and then by the suite. The difference is the suite's
share: packing and unpacking tensors, JSON, the schema, the time limit. Exit status 1 where it costs more than 1 ms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from lcl_ref import Spec
from lcl_ref.suite.exec import wire
from lcl_ref.suite.exec.adapter import Arrays, Conversation, Limits, forms_of

QUESTIONS = 400
LIMIT_MS = 1.0
LIMITS = Limits()

SPEC = Spec(input_size=(9, 8), in_channels=5, out_channels=7, kernel_size=(3, 2), stride=2)
SHAPES = {"x": SPEC.x_shape(2), "weight": SPEC.weight_shape, "bias": (*SPEC.output_size, SPEC.out_channels)}
FORMS = forms_of(SPEC, "forward", "float32", 2)

ECHO = """
import json, sys
greeting, reply, results = json.loads(sys.argv[1]), json.loads(sys.argv[2]), bytes.fromhex(sys.argv[3])
for line in sys.stdin:
    message = json.loads(line)
    if message["command"] == "run" and reply == "file":
        with open(message["results"], "wb") as file:
            file.write(results)
    answer = greeting if message["command"] == "start" else {"results": reply}
    print(json.dumps({"id": message["id"]} | answer), flush=True)
"""
"""Answers what it was given as arguments, whatever it is asked."""


def echo_command(folder: Path, inline: bool) -> list[str]:
    """Return the command of the program, its tensors inside the lines or in files."""
    y = {name: np.zeros(shape, dtype) for name, (shape, dtype) in FORMS.items()}
    wire.write_file(folder / "y", y)
    capabilities = {"ops": ["forward"], "dtypes": ["float32"]}
    greeting = {"protocol": "lcl-exec/1", "name": "echo", "language": "Python", "version": "1"}
    greeting |= {"inline_bytes": 1 << 20 if inline else 0, "capabilities": capabilities}
    reply = {name: wire.encode(array) for name, array in y.items()} if inline else "file"
    texts = [json.dumps(greeting), json.dumps(reply), (folder / "y").read_bytes().hex()]
    return [sys.executable, "-S", "-c", ECHO, *texts]


def milliseconds(question: Callable[[], object]) -> float:
    """Return the median time of one question."""
    times = []
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        question()
        times.append(time.perf_counter() - began)
    return median(times) * 1e3


def through_pipes(command: list[str], folder: Path, operands: Arrays, inline: bool) -> float:
    """Ask with nothing in between: a line that was made before goes out, a line comes back and is not looked at."""
    given = {name: wire.encode(array) for name, array in operands.items()} if inline else str(folder / "x")
    message = {"id": 1, "command": "run", "op": "forward", "dtype": "float32", "spec": SPEC.to_dict()}
    line = json.dumps(message | {"operands": given, "results": str(folder / "results")}).encode() + b"\n"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:

        def question() -> None:
            program.stdin.write(line)
            program.stdin.flush()
            program.stdout.readline()
            (folder / "results").unlink(missing_ok=True)

        return milliseconds(question)


def through_the_suite(command: list[str], operands: Arrays) -> float:
    """Ask as `lcl run` does."""
    conversation = Conversation(command, LIMITS)
    result = milliseconds(lambda: conversation.run(SPEC, "forward", "float32", operands, FORMS))
    conversation.hang_up()
    return result


def main() -> int:
    """Print one row per way tensors travel."""
    rng = np.random.default_rng(0)
    operands = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    print(f"median of {QUESTIONS} questions with {sum(array.nbytes for array in operands.values())} bytes of operands")
    print(f"{'tensors':8}{'pipes ms':>10}{'suite ms':>10}{'overhead ms':>13}")
    worst = 0.0
    for inline in (True, False):
        with tempfile.TemporaryDirectory() as name:
            command = echo_command(Path(name), inline)
            pipes = through_pipes(command, Path(name), operands, inline)
            suite = through_the_suite(command, operands)
        worst = max(worst, suite - pipes)
        print(f"{'inline' if inline else 'file':8}{pipes:10.3f}{suite:10.3f}{suite - pipes:13.3f}")
    return 1 if worst > LIMIT_MS else 0


if __name__ == "__main__":
    sys.exit(main())
