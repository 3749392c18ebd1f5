"""Programs for `test_misbehaviour.py`: one that behaves, in plain Python, and a table of those that do not.

``python exec_programs.py NAME`` speaks lcl-exec/1 as the program NAME does. The table says which steps of the one that
behaves it replaces; `misbehaviour.toml`, beside the test, what becomes of the program.
"""

import base64
import json
import os
import signal
import struct
import subprocess
import sys
import time
from itertools import cycle, repeat
from pathlib import Path

FOREVER = 600


class Good:
    """A dense layer of rank 0 in float32, forward only; writes its process id, and its children's, to the file PIDS."""

    asked = 0

    def main(self):
        self.remember(os.getpid())
        for line in sys.stdin:
            message = json.loads(line)
            if message["command"] == "run":
                self.asked += 1
            known = message["command"] in {"start", "run", "stop"}
            getattr(self, message["command"] if known else "refuse")(message)

    def start(self, message):
        self.say({"id": message["id"]} | self.greeting())

    def run(self, message):
        self.say({"id": message["id"]} | self.answer(message))

    def stop(self, message):
        sys.exit(0)

    def refuse(self, message):
        self.say({"id": message["id"], "error": "no such command"})

    def greeting(self):
        who = {"protocol": "lcl-exec/1", "name": "good", "version": "1", "language": "Python", "inline_bytes": 1 << 20}
        return who | {"capabilities": self.capabilities()}

    def capabilities(self):
        return {"ops": ["forward"], "dtypes": ["float32"], "ranks": [0], "groups": False}

    def answer(self, message):
        return {"results": self.results(message)}

    def results(self, message):
        return {"y": self.tensor(*self.dense(message["operands"]))}

    def dense(self, operands):
        if isinstance(operands, str):
            operands = self.read(operands)
        (n, ci), (_, co) = operands["x"]["shape"], operands["weight"]["shape"]
        x, w = self.numbers(operands["x"]), self.numbers(operands["weight"])
        b = self.numbers(operands["bias"]) if "bias" in operands else [0.0] * co
        sums = [sum(x[s * ci + c] * w[c * co + f] for c in range(ci)) for s in range(n) for f in range(co)]
        return [n, co], [b[at % co] + total for at, total in enumerate(sums)]

    def read(self, path):
        """Return the tensors of a file in their inline form."""
        data = Path(path).read_bytes()
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:start]).items()
        pieces = {name: data[start:][slice(*entry["data_offsets"])] for name, entry in header}
        return {name: entry | {"data": base64.b64encode(pieces[name])} for name, entry in header}

    def numbers(self, tensor):
        data = base64.b64decode(tensor["data"])
        return list(struct.unpack(f"<{len(data) // 4}f", data))

    def tensor(self, shape, values, order="<"):
        data = struct.pack(f"{order}{len(values)}f", *values)
        return {"dtype": "F32", "shape": shape, "data": base64.b64encode(data).decode()}

    def say(self, message):
        self.write(json.dumps(message) + "\n")

    def write(self, text):
        sys.stdout.write(text)
        sys.stdout.flush()

    def remember(self, pid):
        with Path(os.environ["PIDS"]).open("a") as file:
            file.write(f"{pid}\n")

    def spawn(self):
        """Start a child that outlives this program and holds its pipes open."""
        command = ["sleep", str(FOREVER)]
        self.remember(subprocess.Popen(command).pid)


GOOD = object()
"""Among the parts of a step: the step of the program that behaves."""


def other(**steps):
    """Return a program with some steps of its own: a function, or parts that are done one after the other."""
    own = {name: step if callable(step) else in_order(getattr(Good, name), step) for name, step in steps.items()}
    return type("Other", (Good,), own)


def in_order(good, parts):
    def step(self, message):
        for part in parts:
            (good if part is GOOD else part)(self, message)

    return step


def write(text):
    return lambda self, _: self.write(text)


def leave(status):
    return lambda *_: sys.exit(status)


def sleep(*_):
    time.sleep(FOREVER)


def spawn(self, _):
    self.spawn()


def give(value):
    return lambda *_: value


def greet(**fields):
    return lambda self: Good.greeting(self) | fields


def forgetful(self):
    return {name: value for name, value in Good.greeting(self).items() if name != "capabilities"}


def give_y(**fields):
    """Give the right result with fields of its tensor replaced."""
    return lambda self, message: {"y": Good.results(self, message)["y"] | fields}


def give_file(make=lambda _: None):
    """Promise a file, after doing something to its path."""
    return lambda _, message: (make(Path(message["results"])), "file")[1]


def encoded(data):
    return base64.b64encode(data).decode()


def huge(path):
    with path.open("wb") as file:
        file.truncate(1 << 30)


def differing(self, message):
    shape, values = self.dense(message["operands"])
    return {"y": self.tensor(shape, [value + self.asked - 1 for value in values])}


def littering(self, message):
    folder = Path(os.environ["TMPDIR"]) / str(self.asked)
    folder.mkdir()
    (folder / "scratch").touch()
    return Good.results(self, message)


def with_metadata(self, message):
    """Write the right result to a file whose header has metadata, and an odd length."""
    tensor = Good.results(self, message)["y"]
    data = base64.b64decode(tensor.pop("data"))
    entry = tensor | {"data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": {"by": "a port"}, "y": entry}).encode()
    header += b" " * (1 - len(header) % 2)
    Path(message["results"]).write_bytes(struct.pack("<Q", len(header)) + header + data)
    return "file"


PROGRAMS = {
    "Good": Good,
    "Exits": other(start=leave("out of luck")),
    "IsSilent": other(start=sleep),
    "GreetsInProse": other(start=write("Welcome!\n")),
    "ForgetsAField": other(greeting=forgetful),
    "MisspellsACapability": other(capabilities=lambda self: Good.capabilities(self) | {"dtype": []}),
    "SpeaksAnotherVersion": other(greeting=greet(protocol="lcl-exec/2")),
    "DiesOfASignal": other(start=lambda *_: os.kill(os.getpid(), signal.SIGSEGV)),
    "PrintsABanner": other(run=write("computing...\n")),
    "PrintsAfterItsAnswer": other(run=[GOOD, write("done\n")]),
    "AnswersHalfALineAndExits": other(run=[write('{"id": '), leave(0)]),
    "AnswersHalfALineAndWaits": other(run=[write('{"id": '), sleep]),
    "Drips": other(run=cycle([write(" "), lambda *_: time.sleep(0.05)])),
    "RepeatsAnId": other(run=lambda self, message: self.say({"id": 0} | self.answer(message))),
    "AnswersTwice": other(run=[GOOD, GOOD]),
    "AnswersNoJson": other(answer=give({"error": float("nan")})),
    "NestsWithoutEnd": other(run=write("[" * 100_000 + "\n")),
    "AnswersBytes": other(run=lambda *_: os.write(1, b"\xff\xfe\n")),
    "AnswersTwoWays": other(answer=give({"error": "no", "unsupported": "no"})),
    "Hangs": other(run=sleep),
    "HangsWithAChild": other(run=[spawn, sleep]),
    "FloodsOneLine": other(run=repeat(write("x" * 65536))),
    "FloodsManyLines": other(run=repeat(write("x\n" * 32768))),
    "FloodsStderr": other(run=repeat(lambda *_: sys.stderr.write("help " * 9999))),
    "ClosesStdout": other(run=[lambda *_: os.close(1), sleep]),
    "DiesAndLeavesAChild": other(run=[spawn, lambda *_: os._exit(4)]),
    "SaysItFailed": other(answer=give({"error": "out of memory"})),
    "LeavesOutAResult": other(results=give({})),
    "AddsAResult": other(results=lambda self, message: Good.results(self, message) | {"dx": self.tensor([1], [0.0])}),
    "AnswersAnotherShape": other(results=give_y(shape=[5, 3])),
    "AnswersAnotherDtype": other(results=give_y(dtype="F64", data=encoded(bytes(8 * 15)))),
    "AnswersTooFewBytes": other(results=give_y(data=encoded(bytes(57)))),
    "AnswersNoBase64": other(results=give_y(data="!!!")),
    "PromisesAFile": other(results=give_file()),
    "WritesOutsideItsFolder": other(results=give_file(lambda path: (path.parents[1] / "stray.safetensors").touch())),
    "AnswersWithALink": other(results=give_file(lambda path: path.symlink_to(__file__))),
    "AnswersWithAPipe": other(results=give_file(os.mkfifo)),
    "AnswersWithAHugeFile": other(results=give_file(huge)),
    "AnswersWithADamagedFile": other(results=give_file(lambda path: path.write_bytes(struct.pack(">Q", 2) + b"{}"))),
    "AnswersNan": other(results=lambda self, _: {"y": self.tensor([3, 5], [float("nan")] * 15)}),
    "SwapsBytes": other(results=lambda self, message: {"y": self.tensor(*self.dense(message["operands"]), order=">")}),
    "AnswersDifferently": other(results=differing),
    "IgnoresStop": other(stop=[]),
    "IgnoresStopAndTheEndOfItsInput": other(stop=[lambda *_: signal.signal(signal.SIGTERM, signal.SIG_IGN), sleep]),
    "LeavesAChild": other(stop=[spawn, GOOD]),
    "LeavesFiles": other(results=littering),
    "ChattersOnStderr": other(run=[lambda *_: os.write(2, b"debug " * 50_000), GOOD]),
    "AnswersInlineWhatCameAsAFile": other(greeting=greet(inline_bytes=0)),
    "WritesMetadataAndAnOddHeader": other(results=with_metadata),
    "DiesEveryThirdQuestion": other(run=[lambda self, _: self.asked == 3 and sys.exit(7), GOOD]),
    "AlwaysDies": other(run=leave(7)),
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]]().main()
