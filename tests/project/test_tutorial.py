"""The tutorial: its cells run in order, and print what is kept beside them (`make docs` runs it in Jupyter)."""

import contextlib
import io
import json

import pytest

from tools.notebook import TUTORIAL, printed

NOTEBOOK = json.loads(TUTORIAL.read_text())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_kept_as_it_ran_from_top_to_bottom():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    assert {out["output_type"] for cell in CODE for out in cell["outputs"]} == {"stream", "display_data"}
    drawing = [cell for cell in CODE if any("data" in out for out in cell["outputs"])]
    assert len(drawing) > 1
    assert all(cell["metadata"]["shows"] for cell in drawing)


@pytest.mark.slow
def test_its_cells_print_what_is_kept():
    import matplotlib as mpl

    said, names = [], {}
    with mpl.rc_context({"backend": "Agg"}):
        for cell in CODE:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec("".join(cell["source"]), names)  # noqa: S102 -- our own cells
            said.append(out.getvalue())
    assert said == printed(NOTEBOOK)
    assert "conforms: True" in "".join(said)
