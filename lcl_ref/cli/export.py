"""``lcl export``: golden data in other containers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lcl_ref.cli.console import say, working
from lcl_ref.cli.options import case_option, data_option
from lcl_ref.suite.cases.catalogue import select_listed
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.golden.export import CONTAINERS, check_place
from lcl_ref.suite.golden.export import export as write


@click.command()
@click.option("--format", "container", type=click.Choice(list(CONTAINERS)), required=True, help="Kind of file.")
@case_option()
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to fill.")
@data_option()
def export(container: str, cases: Sequence[str], output: Path, data: Path) -> None:
    """Write golden data as one file per case, each with its arrays and its description.

    The arrays are those of conformance_data/README.md, in the types they are stored in.
    """
    check_place(output)
    store = fixtures.verify(data)
    chosen, extended = select_listed(cases)
    ids = [case.id for case in chosen] + [case.id for case in extended]
    with working(f"writing {len(ids)} cases"):
        written = write(store, ids, container, output)
    size = sum(path.stat().st_size for path in written)
    say(f"{output}: {len(ids)} cases as {container}, {size / 1e6:.1f} MB, and index.json")
