"""Every file of the corpus by every door: read, or refused in words, as docs/corpus.md says."""

import json

import pytest

from tests.support.paths import SUPPORT
from tests.support.programs import python
from tools import corpus_page

PAGE = corpus_page.PAGE.read_text(encoding="utf-8")


def rows(folder, *words):
    done = python(SUPPORT / "corpus.py", folder, *words, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_files_that_need_no_tensorflow_are_what_the_page_says(tmp_path):
    found = rows(tmp_path, "quick")
    assert len(found) > 30
    assert [row for row in found if corpus_page.line(row) not in PAGE] == []


@pytest.mark.slow
def test_the_page_is_what_the_doors_say(tmp_path):
    assert corpus_page.page(rows(tmp_path)) == PAGE


def test_the_page_holds_no_file_that_is_neither_read_nor_refused():
    lines = [line for line in PAGE.partition("## Refused")[0].splitlines() if line.startswith("| ")][1:]
    assert len(lines) >= 60
    assert len({line.split("|")[2] for line in lines}) >= 12
    good = ("layer", "converted", "holds", "same answers", "answers of fewer bits", "refused")
    assert [
        line for line in lines if not all(any(word in cell for word in good) for cell in line.split("|")[3:-1])
    ] == []
