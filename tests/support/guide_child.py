"""Follow a guide as a reader would: its blocks in order, in the current folder; run by test_porting_guides.py.

Python blocks share one namespace; one that begins with the name of a file is also saved under it. Shell blocks run in
between. A text block is what the block before it prints.
"""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\w+\.py)\n")


def run_python(code, where, names):
    """Execute one block and return what it printed."""
    if named := NAMED.match(code):
        Path(named[1]).write_text(code, encoding="utf-8")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, where, "exec"), names)  # noqa: S102 -- the code a reader of the guide would copy
    return printed.getvalue()


def run_shell(code):
    """Run one block, stopping at the first command that fails, and return what it printed."""
    done = subprocess.run(["sh", "-e", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit status {done.returncode} of:\n{code}{done.stdout}{done.stderr}")
    return done.stdout


def trimmed(text):
    """Return the lines without spaces at their ends."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def follow(guide):
    """Run the blocks of a guide."""
    text, names, printed = guide.read_text(encoding="utf-8"), {"__name__": guide.stem}, ""
    for block in BLOCK.finditer(text):
        kind, code = block.groups()
        where = f"{guide.name}, block of line {text.count(chr(10), 0, block.start()) + 2}"
        if kind == "text":
            if trimmed(code) != trimmed(printed):
                sys.exit(f"{where}: the block before it prints\n{printed}")
        else:
            printed = run_shell(code) if kind == "sh" else run_python(code, where, names)


follow(Path(sys.argv[1]))
