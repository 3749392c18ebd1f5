"""Text of others, as it may be shown anywhere."""

import pytest
from rich.table import Table

from lcl_ref.cli.console import Console
from lcl_ref.outside.text import MOST, cleaned, lines, shown


class WithoutTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class WithAnotherError(Exception):
    def __str__(self):
        return 3  # noqa: PLE0307 -- what a layer may do


@pytest.mark.parametrize("error", [WithoutTextError(), WithAnotherError()])
def test_an_object_without_text_is_named_by_its_class(error):
    assert shown(error).startswith(f"a {type(error).__name__} without text")


@pytest.mark.parametrize("code", [0, 7, 8, 9, 10, 13, 27, 0x7F, 0x85, 0x9B, 0x202E, 0x2028, 0xD83D, 0xFEFF, 0x10FFFF])
def test_what_cannot_be_seen_stands_as_its_escape(code):
    text = shown(f"a{chr(code)}b")
    assert text.isprintable()
    assert text.encode("utf-8").startswith(b"a\\")
    assert cleaned([{"x": f"a{chr(code)}b"}]) == [{"x": lines(f"a{chr(code)}b")}]


def test_what_can_be_seen_stays():
    assert shown("größe 大小 ñ😀 [red]") == "größe 大小 ñ😀 [red]"
    assert shown("a\N{NO-BREAK SPACE}b") == "a b"


def test_a_long_text_is_cut_and_says_by_how_much():
    assert shown("x" * 50_000_000) == "x" * MOST + f"... ({50_000_000 - MOST} more characters)"


def test_a_console_shows_control_characters_as_escapes_in_lines_and_tables(capsys):
    console = Console(force_terminal=True, width=60)
    table = Table("\x1b]0;owned\x07")
    table.add_row("\x1b[2J")
    console.print("a\x1b[31mb\nc", highlight=False)
    console.print(table)
    out = capsys.readouterr().out
    assert "\\x1b[31mb" in out
    assert "\x1b]0" not in out
    assert "\x1b[2J" not in out
    assert "\x07" not in out
