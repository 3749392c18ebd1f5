"""The pages of the site, gathered in ``build/pages`` under the paths that they have here (``make docs``).

Clauses of SPEC.md get anchors and pictures of cases, and what tests them in docs/clauses.md is linked; the API has a
page per public module, written by mkdocstrings. Links to files that are no pages lead into the repository where
``LCL_REPOSITORY_URL`` says where it is; without it the words stay. The report of the last ``make run`` comes along.
The tutorial is run.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tools import case_pictures, notebook

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
REPORT = ROOT / "build" / "report.html"
SPEC, CLAUSES = ROOT / "SPEC.md", ROOT / "docs" / "clauses.md"

GATHERED = ("*.md", "docs/**/*.md", "docs/images/*", "backends/README.md", "tests/README.md", "examples/README.md")
"""What becomes part of the site; beside the page of the golden data."""

API = {
    "lcl_ref": ("The layer", ("lcl_ref.Spec", "lcl_ref.api", "lcl_ref.errors")),
    "layouts": ("Layouts", ("lcl_ref.layouts",)),
    "initialisers": ("Initialisers", ("lcl_ref.initialisers",)),
    "extensions": (
        "Extensions",
        tuple(
            f"lcl_ref.extensions.{name}"
            for name in ("pruned", "adaptive", "low_rank", "unequal", "borders", "transposed", "quantised")
        ),
    ),
    "files": ("Weight files", ("lcl_ref.files",)),
    "layers": (
        "Layers to drop in",
        tuple(
            f"lcl_ref.layers.{name}"
            for name in ("torch", "keras", "flax_linen", "flax_nnx", "mlx", "sharded", "sharded_torch", "planning")
        ),
    ),
    "testing": ("Judging and testing", ("lcl_ref.testing",)),
    "adapter": ("Adapters", ("lcl_ref.suite.adapter",)),
}
"""Page of the API -> its title, and the modules it documents."""

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def linked(text: str, page: Path, repository: str) -> str:
    """Return Markdown whose links to files that are no pages lead into the repository, or are plain words."""

    def put_right(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        path = (page.parent / target.partition("#")[0]).resolve().relative_to(ROOT)
        if (PAGES / path).is_file() or (PAGES / path / "README.md").is_file():
            return match[0] if path.suffix else f"[{words}]({target.rstrip('/')}/README.md)"
        return f"[{words}]({repository}/blob/main/{path})" if repository else words

    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(put_right, part) for part in parts)


def anchored(text: str, place: str, other: str) -> str:
    """Return a page about clauses with an anchor at each, linked to the same clause of the page at `place`, `other`."""
    there = case_pictures.CLAUSE.findall(other)
    return case_pictures.CLAUSE.sub(
        lambda match: (
            f'**[{match[1]}]({place}#{match[1]}){{ id="{match[1]}" }}** '
            if match[1] in there
            else f'**{match[1]}**{{ id="{match[1]}" }} '
        ),
        text,
    )


def gather() -> None:
    """Write every page."""
    shutil.rmtree(PAGES, ignore_errors=True)
    files = [path for pattern in GATHERED for path in ROOT.glob(pattern)]
    files.append(ROOT / "conformance_data" / "README.md")
    for path in files:
        _copy(path, PAGES / path.relative_to(ROOT))
    if REPORT.exists():
        _copy(REPORT, PAGES / REPORT.name)
    known = case_pictures.write_explorer(PAGES)
    notebook.write_page(PAGES)
    repository = os.environ.get("LCL_REPOSITORY_URL", "").rstrip("/")
    for path in files:
        if path.suffix == ".md":
            text = linked(path.read_text(encoding="utf-8"), path, repository)
            (PAGES / path.relative_to(ROOT)).write_text(_with_clauses(text, path, known), encoding="utf-8")
    (PAGES / "api").mkdir()
    for name, (title, modules) in API.items():
        body = "\n\n".join(f"::: {module}" for module in modules)
        (PAGES / "api" / f"{name}.md").write_text(f"# {title}\n\n{body}\n", encoding="utf-8")


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _with_clauses(text: str, path: Path, known: list[str]) -> str:
    """Return the text of a page; those about clauses get anchors and links, SPEC.md pictures too."""
    if path == CLAUSES:
        return case_pictures.explorable(
            anchored(text, "../SPEC.md", SPEC.read_text("utf-8")), "../explorer.html", known
        )
    if path != SPEC:
        return text
    text, shown = case_pictures.pictured(text, list(Store(default_root()).entries.values()))
    case_pictures.write_assets(PAGES, shown)
    return anchored(text, "docs/clauses.md", CLAUSES.read_text("utf-8"))


if __name__ == "__main__":
    gather()
