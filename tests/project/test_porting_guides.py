"""The guides for porting are followed to the letter: every block runs, and prints what the guide says it prints."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT, SUPPORT
from tests.support.programs import python

GUIDES = ROOT / "docs" / "porting"
CHILD = SUPPORT / "guide_child.py"
PAGES = sorted(page for page in GUIDES.glob("*.md") if page.name != "README.md")


def follow(guide, folder):
    """Follow a guide in a folder of its own, in a process of its own: one guide, one choice of frameworks."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return python(CHILD, guide, cwd=folder, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("guide", PAGES, ids=lambda page: page.stem)
def test_a_guide_can_be_followed(guide, tmp_path):
    done = follow(guide, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("guide", PAGES, ids=lambda page: page.stem)
def test_a_guide_compares_old_and_new(guide):
    text = guide.read_text(encoding="utf-8")
    assert re.search(r"^(np\.testing\.assert_array_equal\(|assert |lcl verify-port )", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nassert 1 == 2\n```\n", "AssertionError"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "the block before it prints\n1"),
        ("```sh\nlcl inspect missing.h5\n```\n", "exit status 2"),
        ("```python\nx = 1\n```\n\n```sh\nfalse\n```\n", "exit status 1"),
    ],
)
def test_a_guide_that_is_wrong_is_found(tmp_path, text, message):
    (tmp_path / "guide.md").write_text(text)
    done = follow(tmp_path / "guide.md", tmp_path)
    assert done.returncode != 0
    assert message in done.stderr


def test_the_index_leads_to_every_guide():
    index = (GUIDES / "README.md").read_text(encoding="utf-8")
    assert PAGES
    assert [page.name for page in PAGES if f"({page.name})" not in index] == []
