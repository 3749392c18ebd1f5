"""README.md as the long description of the package: links that are relative here would be dead on a package index.

They point into the repository where ``LCL_REPOSITORY_URL`` says where it is (the release workflow does), and so do the
URLs of the project; without it the words stay and the links go. ``LCL_AUTHOR_EMAIL`` is the maintainers' address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

FROM_CLONE = re.compile(r"^pip install \. .*$", re.MULTILINE)
"""The line of README that is true before anything is released."""

RELATIVE = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")

PLACES = {
    "Homepage": "",
    "Documentation": "/tree/main/docs",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Issues": "/issues",
}
"""Name of a URL in the metadata -> its place in the repository."""


def absolute(text: str, repository: str | None, version: str) -> str:
    """Return Markdown as an index shows it: released at `repository`, or without links where that is not known."""
    if not repository:
        return RELATIVE.sub(r"\1", text)
    text = FROM_CLONE.sub("pip install lcl-ref", text)
    return RELATIVE.sub(rf"[\1]({repository.rstrip('/')}/blob/v{version}/\2)", text)


class LongDescription(MetadataHookInterface):
    """Sets ``readme``, ``authors`` and ``urls`` when the package is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the text with absolute links, the authors and the URLs into the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        version = re.search(r'__version__ = "(.+)"', (Path(self.root) / "lcl_ref" / "__init__.py").read_text())
        assert version is not None
        repository = os.environ.get("LCL_REPOSITORY_URL", "").rstrip("/")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, repository, version[1])}
        address = os.environ.get("LCL_AUTHOR_EMAIL")
        metadata["authors"] = [{"name": "The maintainers of lcl-ref"} | ({"email": address} if address else {})]
        metadata["urls"] = {name: repository + place for name, place in PLACES.items()} if repository else {}
