"""Runs a program without a C library (`kernel/check/bare.c`) on a processor that Bochs emulates, which has AVX-512.

`python emulated_processor.py PROGRAM SEED COUNT`, in a process of its own: prints what the program printed.
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

import bochscpu
from bochscpu import cpu, memory

PRINTED, WORDS, HEAP, STACK, TABLES = 0x10000000, 0x10001000, 0x20000000, 0x30000000, 0x1000000
"""Addresses, the first three as in `bare.c`."""

LINE, PAGE, HEAP_SIZE, STACK_SIZE = 64, 4096, 96 << 20, 1 << 20

LOADED = 1
"""The type of a segment of an ELF file that is put into memory."""

CONTROL = (1 << 9) | (1 << 10) | (1 << 18)
"""Of CR4: the system knows of SSE, of its exceptions, and of XCR0."""

ALL_REGISTERS = 0xE7
"""Of XCR0: x87, SSE, AVX and AVX-512."""


class Memory:
    """Pages of the processor, at the addresses that a program names."""

    def __init__(self):
        self._pages, self._table = {}, memory.PageMapLevel4Table()

    def put(self, address, size, content=b""):
        """Provide `size` bytes, which begin with `content`."""
        for start in range(address // PAGE * PAGE, address + size, PAGE):
            if start not in self._pages:
                self._pages[start] = memory.allocate_host_page()
                ctypes.memset(self._pages[start], 0, PAGE)
                memory.page_insert(start, self._pages[start])
                self._table.insert(start, start, 0)
        for i, byte in enumerate(content, address):
            ctypes.memset(self._pages[i // PAGE * PAGE] + i % PAGE, byte, 1)

    def commit(self):
        """Tell the processor where the pages are."""
        for here, there in self._table.commit(TABLES):
            memory.page_insert(there, here)

    def text(self, address):
        """Return the text that begins at a page."""
        return ctypes.string_at(self._pages[address]).decode()


def load(program, held):
    """Put the segments of an ELF file into memory and return where it starts."""
    start, headers = struct.unpack_from("<QQ", program, 24)
    size, count = struct.unpack_from("<HH", program, 54)
    for number in range(count):
        fields = struct.unpack_from("<IIQQQQQQ", program, headers + number * size)
        kind, _, offset, address, _, stored, needed, _ = fields
        if kind == LOADED:
            held.put(address, needed, program[offset : offset + stored])
    return start


def segment(selector, **flags):
    """Return a segment of all memory."""
    made, attributes = bochscpu.Segment(), cpu.SegmentFlags()
    for name in ("P", "S", "G", "A", *flags):
        setattr(attributes, name, True)
    made.base, made.limit, made.selector, made.present, made.attr = 0, 0xFFFFFFFF, selector, True, int(attributes)
    return made


def state(start):
    """Return the processor in 64-bit mode at `start`, with vectors switched on."""
    made = bochscpu.State()
    cpu.set_long_mode(made)
    made.cr0 &= ~(1 << 16)  # pages need not say that they may be written to
    made.cr3, made.cr4, made.xcr0 = TABLES, made.cr4 | CONTROL, ALL_REGISTERS
    made.cs, data = segment(16, E=True, R=True, L=True), segment(24, W=True, D=True)
    made.ds = made.es = made.ss = made.fs = made.gs = data
    made.mxcsr, made.mxcsr_mask, made.fpcw = 0x1F80, 0xFFFF, 0x37F
    made.rip, made.rsp, made.rflags = start, STACK + STACK_SIZE - LINE, 2
    return made


def _failed(session, _, kind, code):
    sys.stderr.write(f"exception {kind}, code {code}, at {session.cpu.state.rip:#x}\n")
    session.stop()


def main(program, seed, count):
    """Run it until the processor halts."""
    held = Memory()
    start = load(Path(program).read_bytes(), held)
    for address, size in ((PRINTED, 2 * PAGE), (HEAP, HEAP_SIZE), (STACK, STACK_SIZE)):
        held.put(address, size)
    held.put(WORDS, LINE, seed.encode())
    held.put(WORDS + LINE, LINE, count.encode())
    held.commit()
    session, hook = bochscpu.Session(), bochscpu.Hook()
    session.cpu.state = state(start)
    hook.hlt = lambda session, _: session.stop()
    hook.exception = _failed
    session.run([hook])
    sys.stdout.write(held.text(PRINTED))
    sys.stdout.flush()
    os._exit(0)  # the bindings do not survive the end of an interpreter


if __name__ == "__main__":
    main(*sys.argv[1:])
