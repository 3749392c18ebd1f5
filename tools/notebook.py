"""The tutorial: ``python -m tools.notebook`` runs docs/tutorial.ipynb and keeps what it prints and draws.

``make docs`` runs it too, fails where it prints something else than is kept, and makes a page of it. Both need the
environment of the dependency group docs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"

DOWNLOAD = "[This page as a notebook](tutorial.ipynb), to be run and changed."


def executed(path: Path = TUTORIAL) -> Any:
    """Return a notebook whose cells have just been run, in order, in a process of their own."""
    import nbformat  # noqa: PLC0415 -- of the group docs
    from nbclient import NotebookClient  # noqa: PLC0415

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(ROOT)}}
    client = NotebookClient(notebook, timeout=300, record_timing=False, resources=resources)
    client.create_kernel_manager().transport = "ipc"  # no port that others could connect to
    client.execute()
    return notebook


def printed(notebook: Any) -> list[str]:
    """Return what each cell printed."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [[out for out in cell["outputs"] if out["output_type"] == "stream"] for cell in cells]
    return ["".join("".join(out["text"]) for out in of_cell) for of_cell in outputs]


def write_page(pages: Path) -> None:
    """Run the notebook; write it as a page with its pictures, and the notebook itself beside it."""
    import nbformat  # noqa: PLC0415
    from nbconvert import MarkdownExporter  # noqa: PLC0415

    notebook = executed()
    if printed(notebook) != printed(nbformat.read(TUTORIAL, as_version=4)):
        raise SystemExit(f"{TUTORIAL.name} no longer prints what it says: run `python -m tools.notebook`")
    resources: dict[str, Any] = {"output_files_dir": "tutorial_files", "unique_key": "tutorial"}
    text, resources = MarkdownExporter().from_notebook_node(notebook, resources)
    words = _words_for_pictures(notebook)
    text = re.sub(r"!\[png\]", lambda _: f"![{next(words)}]", text)
    title, _, rest = text.lstrip().partition("\n")
    target = pages / "docs"
    (target / "tutorial_files").mkdir(parents=True)
    for name, data in resources["outputs"].items():
        (target / name).write_bytes(data)
    (target / "tutorial.md").write_text(f"{title}\n\n{DOWNLOAD}\n{rest}", encoding="utf-8")
    shutil.copy(TUTORIAL, target)


def _words_for_pictures(notebook: Any) -> Iterator[str]:
    """Yield what each picture shows, for those who do not see it: the cell that draws it says so in its metadata."""
    return (cell["metadata"]["shows"] for cell in notebook["cells"] if "shows" in cell["metadata"])


if __name__ == "__main__":
    import nbformat

    nbformat.write(executed(), TUTORIAL)
