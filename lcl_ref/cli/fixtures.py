"""``lcl fixtures``: verify, check and write the golden data."""

from __future__ import annotations

from pathlib import Path

import click

from lcl_ref.cli.console import say, working
from lcl_ref.cli.options import data_option
from lcl_ref.suite.golden import fixtures as golden_files
from lcl_ref.suite.golden import release


@click.group()
def fixtures() -> None:
    """Golden data: verify its checksums, check that it regenerates, or write it anew."""


@fixtures.command()
@data_option()
def verify(data: Path) -> None:
    """Compare every file and array with its SHA-256."""
    with working("comparing checksums"):
        store = golden_files.verify(data)
    count = len(store.entries) + len(store.extensions)
    say(f"{data}: {count} cases, every checksum holds ({store.digest[:12]}, {release.name(store)})")


@fixtures.command()
@data_option()
def check(data: Path) -> None:
    """Regenerate everything in memory and compare byte for byte."""
    with working("regenerating every case, about a minute"):
        count = golden_files.check(data)
    say(f"{data}: {count} files regenerate byte for byte")


@fixtures.command()
@data_option()
def write(data: Path) -> None:
    """Regenerate everything, then put it in the place of the old data."""
    with working("regenerating every case, about a minute"):
        size = golden_files.write(data)
    say(f"{data}: {size / 1e6:.1f} MB written")
