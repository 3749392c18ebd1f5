"""Programs for `test_exec_misbehaviour.py`: one that behaves, in plain Python, and a catalogue of those that do not.

``python exec_programs.py NAME`` speaks lcl-exec/1 as the class NAME does. A class says what becomes of its cell: the
kind of error, or the state, and words of the message.
"""

import base64
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

FOREVER = 600
MAX_LINE = 1 << 24


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

    def y_with(self, message, **fields):
        """Return the right result with fields of its tensor replaced."""
        return {"y": Good.results(self, message)["y"] | fields}


class AtStart(Good):
    """Goes wrong before the first question: every cell gets that error."""


class Exits(AtStart):
    expected = "crash", "exit status 1; its stderr ends: out of luck"

    def start(self, message):
        sys.exit("out of luck")


class IsSilent(AtStart):
    expected = "timeout", "no answer within 6 s"

    def start(self, message):
        time.sleep(FOREVER)


class GreetsInProse(AtStart):
    expected = "malformed", "got 'Welcome!', expected one JSON object per command"

    def start(self, message):
        self.write("Welcome!\n")


class ForgetsAField(AtStart):
    expected = "malformed", "no field 'capabilities'"

    def greeting(self):
        return {name: value for name, value in super().greeting().items() if name != "capabilities"}


class MisspellsACapability(AtStart):
    expected = "malformed", "did you mean 'dtypes'?"

    def capabilities(self):
        return super().capabilities() | {"dtype": []}


class SpeaksAnotherVersion(AtStart):
    expected = "malformed", 'protocol: got "lcl-exec/2", expected "lcl-exec/1"'

    def greeting(self):
        return super().greeting() | {"protocol": "lcl-exec/2"}


class DiesOfASignal(AtStart):
    expected = "crash", "killed by SIGSEGV"

    def start(self, message):
        os.kill(os.getpid(), signal.SIGSEGV)


class InACell(Good):
    """Goes wrong over a question."""


class PrintsABanner(InACell):
    expected = "malformed", "got 'computing...', expected one JSON object per command"

    def run(self, message):
        self.write("computing...\n")


class PrintsAfterItsAnswer(InACell):
    expected = "malformed", "got 'done', expected one JSON object per command"

    def run(self, message):
        super().run(message)
        self.write("done\n")


class AnswersHalfALineAndExits(InACell):
    expected = "crash", "exit status 0 in the middle of a line, '{\"id\": '"

    def run(self, message):
        self.write('{"id": ')
        sys.exit(0)


class AnswersHalfALineAndWaits(InACell):
    expected = "timeout", "stdout holds 7 bytes without an end of line"

    def run(self, message):
        self.write('{"id": ')
        time.sleep(FOREVER)


class Drips(InACell):
    expected = "timeout", "bytes without an end of line"

    def run(self, message):
        while True:
            self.write(" ")
            time.sleep(0.05)


class RepeatsAnId(InACell):
    expected = "malformed", "got id 0, expected 1"

    def run(self, message):
        self.say({"id": 0} | self.answer(message))


class AnswersTwice(InACell):
    expected = "malformed", "got id 1, expected 2"

    def run(self, message):
        super().run(message)
        super().run(message)


class AnswersNoJson(InACell):
    expected = "malformed", "expected one JSON object per command"

    def answer(self, message):
        return {"error": float("nan")}


class NestsWithoutEnd(InACell):
    expected = "malformed", "expected one JSON object per command"

    def run(self, message):
        self.write("[" * 100_000 + "\n")


class AnswersBytes(InACell):
    expected = "malformed", "expected one JSON object per command"

    def run(self, message):
        os.write(1, b"\xff\xfe\n")


class AnswersTwoWays(InACell):
    expected = "malformed", "exactly one of"

    def answer(self, message):
        return {"error": "no", "unsupported": "no"}


class Hangs(InACell):
    expected = "timeout", "no answer within 2 s"

    def run(self, message):
        time.sleep(FOREVER)


class HangsWithAChild(InACell):
    expected = "timeout", "no answer within 2 s"

    def run(self, message):
        self.spawn()
        time.sleep(FOREVER)


class FloodsOneLine(InACell):
    expected = "malformed", f"a line of more than {MAX_LINE} bytes"

    def run(self, message):
        while True:
            self.write("x" * 65536)


class FloodsManyLines(InACell):
    expected = "malformed", "got 'x', expected one JSON object per command"

    def run(self, message):
        while True:
            self.write("x\n" * 32768)


class FloodsStderr(InACell):
    expected = "timeout", "no answer within 2 s; its stderr ends: "

    def run(self, message):
        while True:
            sys.stderr.write("help " * 9999)


class ClosesStdout(InACell):
    expected = "crash", "closed its output and went on running"

    def run(self, message):
        os.close(1)
        time.sleep(FOREVER)


class DiesAndLeavesAChild(InACell):
    expected = "crash", "exit status 4"

    def run(self, message):
        self.spawn()
        os._exit(4)


class SaysItFailed(InACell):
    expected = "exception", "the program says: out of memory"

    def answer(self, message):
        return {"error": "out of memory"}


class LeavesOutAResult(InACell):
    expected = "malformed", "results: got nothing, expected y"

    def results(self, message):
        return {}


class AddsAResult(InACell):
    expected = "malformed", "results: got y, dx, expected y"

    def results(self, message):
        return self.y_with(message) | {"dx": self.tensor([1], [0.0])}


class AnswersAnotherShape(InACell):
    expected = "malformed", "y: got shape (5, 3), expected (3, 5)"

    def results(self, message):
        return self.y_with(message, shape=[5, 3])


class AnswersAnotherDtype(InACell):
    expected = "malformed", "y: got dtype float64, expected float32"

    def results(self, message):
        return self.y_with(message, dtype="F64", data=base64.b64encode(bytes(8 * 15)).decode())


class AnswersTooFewBytes(InACell):
    expected = "malformed", "y: data of 57 bytes, expected 60 (3 * 5 elements of 4 bytes)"

    def results(self, message):
        return self.y_with(message, data=base64.b64encode(bytes(57)).decode())


class AnswersNoBase64(InACell):
    expected = "malformed", "y: data is not base64"

    def results(self, message):
        return self.y_with(message, data="!!!")


class PromisesAFile(InACell):
    expected = "malformed", "no file 1-results.safetensors"

    def results(self, message):
        return "file"


class WritesOutsideItsFolder(InACell):
    expected = "malformed", "no file 1-results.safetensors"

    def results(self, message):
        (Path(message["results"]).parent.parent / "stray.safetensors").write_text("x")
        return "file"


class AnswersWithALink(InACell):
    expected = "malformed", "is a symbolic link, expected a regular file"

    def results(self, message):
        Path(message["results"]).symlink_to(__file__)
        return "file"


class AnswersWithAPipe(InACell):
    expected = "malformed", "is a pipe, expected a regular file"

    def results(self, message):
        os.mkfifo(message["results"])
        return "file"


class AnswersWithAHugeFile(InACell):
    expected = "malformed", "has 1073741824 bytes, expected at most 65596"

    def results(self, message):
        with Path(message["results"]).open("wb") as file:
            file.truncate(1 << 30)
        return "file"


class AnswersWithADamagedFile(InACell):
    expected = "malformed", "expected a safetensors file"

    def results(self, message):
        Path(message["results"]).write_bytes(struct.pack(">Q", 2) + b"{}")
        return "file"


class AnswersNan(InACell):
    expected = "fail", "got nan"

    def results(self, message):
        return {"y": self.tensor([3, 5], [float("nan")] * 15)}


class SwapsBytes(InACell):
    expected = "fail", "y: "

    def results(self, message):
        return {"y": self.tensor(*self.dense(message["operands"]), order=">")}


class AnswersDifferently(InACell):
    expected = "fail", "nondeterministic: y differs"

    def results(self, message):
        shape, values = self.dense(message["operands"])
        return {"y": self.tensor(shape, [value + self.asked - 1 for value in values])}


class BadManners(InACell):
    """Answers well and misbehaves beside it."""

    expected = "pass", ""


class IgnoresStop(BadManners):
    def stop(self, message):
        pass


class IgnoresStopAndTheEndOfItsInput(BadManners):
    def stop(self, message):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(FOREVER)


class LeavesAChild(BadManners):
    def stop(self, message):
        self.spawn()
        super().stop(message)


class LeavesFiles(BadManners):
    def results(self, message):
        folder = Path(os.environ["TMPDIR"]) / str(self.asked)
        folder.mkdir()
        (folder / "scratch").touch()
        return super().results(message)


class ChattersOnStderr(BadManners):
    def run(self, message):
        sys.stderr.write("debug " * 50_000)
        sys.stderr.flush()
        super().run(message)


class TakesLiberties(InACell):
    """Does what the protocol allows and few programs do."""

    expected = "pass", ""


class AnswersInlineWhatCameAsAFile(TakesLiberties):
    def greeting(self):
        return super().greeting() | {"inline_bytes": 0}


class WritesMetadataAndAnOddHeader(TakesLiberties):
    def results(self, message):
        tensor = super().results(message)["y"]
        data = base64.b64decode(tensor.pop("data"))
        entry = tensor | {"data_offsets": [0, len(data)]}
        header = json.dumps({"__metadata__": {"by": "a port"}, "y": entry}).encode()
        header += b" " * (1 - len(header) % 2)
        Path(message["results"]).write_bytes(struct.pack("<Q", len(header)) + header + data)
        return "file"


class Losing(Good):
    """Loses more than one cell."""


class DiesEveryThirdQuestion(Losing):
    def run(self, message):
        if self.asked == 3:
            sys.exit(7)
        super().run(message)


class AlwaysDies(Losing):
    def run(self, message):
        sys.exit(7)


if __name__ == "__main__":
    globals()[sys.argv[1]]().main()
