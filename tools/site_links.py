"""Pages of the site that are no Markdown, put into its navigation when mkdocs builds it."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.nav import Link, Section

LINKS = (
    ("Specification", "The explorer of layers", "explorer.html"),
    ("What was found", "The report of all backends", "report.html"),
)
"""Section, title and file; a file that was not gathered is left out."""


def on_nav(nav: Any, files: Any, **_: Any) -> None:
    """Append the links to their sections."""
    sections = {item.title: item for item in nav.items if isinstance(item, Section)}
    for section, title, path in LINKS:
        if files.get_file_from_path(path):
            sections[section].children.append(Link(title, path))
