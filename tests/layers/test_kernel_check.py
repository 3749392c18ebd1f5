"""The kernel's own check (`kernel/check/check.c`), compiled anew: under sanitizers, and for other processors."""

import os
import platform
import re
import sys

import pytest

from tests.support.optional import absent, tool
from tests.support.paths import ROOT
from tests.support.programs import run

FLAGS = ("-std=gnu11", "-ffp-contract=fast", "-pthread", "-Wall", "-Wextra", "-Werror")
"""For every build; warnings are errors."""

BARE = ("-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector")
"""For a program that is all there is in memory. Loops that fill and copy stay loops: `memset` is one of them."""

LAYERS = 400
"""So many random layers, half of them with vectors of 16 bytes."""

EMULATOR = ROOT / "build/emulator"


def compiled(compiler, *words):
    """Compile without a warning."""
    done = run(compiler or tool("cc", "gcc"), *FLAGS, *words)
    assert done.returncode == 0, done.stderr


def built(folder, *flags, compiler=None, kernel="src/kernel.c"):
    """Return the program."""
    program = folder / "check"
    compiled(compiler, *flags, "-o", program, ROOT / "kernel/check/check.c", ROOT / "kernel" / kernel)
    return program


def widest(*command, layers=LAYERS, **options):
    """Run the program and return the bytes of the widest vectors; every layer had the right answers."""
    done = run(*command, "1", layers, **options)
    found = re.fullmatch(rf"{layers} layers, (\d+) bytes\n", done.stdout)
    assert found, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    return int(found[1])


@pytest.fixture
def on_x86():
    """A machine whose compiler makes code for AVX2 and AVX-512, and which runs the first of them."""
    if platform.machine() != "x86_64":
        absent(f"{platform.machine()} has neither AVX2 nor AVX-512")


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_random_layers_under_sanitizers(tmp_path, sanitizers):
    """Wrong numbers, reads and writes out of bounds, undefined arithmetic, leaks, races of threads."""
    widest(built(tmp_path, "-O1", "-g", f"-fsanitize={sanitizers}", "-fno-sanitize-recover"))


@pytest.mark.slow
def test_random_layers_on_arm(tmp_path):
    """Vectors of NEON, in machine code for aarch64, interpreted."""
    compiler, interpreter = tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"), tool("qemu-aarch64", "qemu-user")
    assert widest(interpreter, built(tmp_path, "-O2", "-static", compiler=compiler)) == 16


@pytest.mark.slow
@pytest.mark.usefixtures("on_x86")
@pytest.mark.parametrize("sanitizers", [(), ("-fsanitize=address,undefined", "-fno-sanitize-recover")])
def test_random_layers_with_vectors_of_avx512_in_two_parts(tmp_path, sanitizers):
    """The code of AVX-512 on processors that have AVX2: sizes, tails and tiles are its own, instructions are not."""
    assert widest(built(tmp_path, "-O1", "-Wno-psabi", *sanitizers, kernel="check/wide.c")) == 64


@pytest.mark.slow
@pytest.mark.usefixtures("on_x86")
def test_random_layers_with_avx512(tmp_path):
    """Its instructions, on a processor that Bochs emulates; the kernel finds by itself what that has."""
    if not EMULATOR.is_dir():
        absent("Bochs is not installed: `make build/emulator.stamp` fetches it, on Linux")
    program, newer = tmp_path / "check", tmp_path / "newer.so"
    sources = [ROOT / "kernel" / name for name in ("check/bare.c", "check/check.c", "src/kernel.c")]
    compiled(None, "-O2", "-fno-tree-loop-distribute-patterns", *BARE, "-o", program, *sources, "-lgcc")
    compiled(None, "-shared", "-fPIC", "-o", newer, ROOT / "kernel/check/newer_libc.c")
    around = os.environ | {"PYTHONPATH": str(EMULATOR), "LD_PRELOAD": str(newer)}
    emulator = sys.executable, ROOT / "tests/support/emulated_processor.py"
    assert widest(*emulator, program, layers=40, env=around) == 64


@pytest.mark.slow
@pytest.mark.usefixtures("on_x86")
@pytest.mark.parametrize(("kind", "register"), [("avx2", "ymm"), ("avx512", "zmm")])
def test_products_multiply_whole_vectors(tmp_path, kind, register):
    """The compiler neither splits vectors nor leaves a product and its sum two instructions."""
    assembly = run("objdump", "-d", "--no-show-raw-insn", built(tmp_path, "-O2")).stdout
    for number in ("f32", "f64"):
        function = re.search(rf"<product_{number}_{kind}>:\n(.*?)\n\n", assembly, re.DOTALL)
        multiplied = re.findall(r"vf(?:n)?m\w+p[sd].*", function[1])
        assert len(multiplied) > 100
        assert all(register in line for line in multiplied)
