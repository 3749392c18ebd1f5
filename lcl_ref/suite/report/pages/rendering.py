"""A page as one file: a template with its style, scripts and data in it, and a policy by which nothing else runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import lcl_ref
from lcl_ref.outside.text import cleaned

FILES = Path(__file__).parent / "files"


def rendered(template: str, scripts: Sequence[str], data: Any, **facts: Any) -> str:
    """Return a page that needs no other file and asks no network.

    Texts of others are escaped in the template; the scripts find them in `data`, and set them as text only.

    Parameters
    ----------
    template : str
        A file that extends ``base.html``.
    scripts : sequence of str
        Files that make one script, in this order.
    data : object
        JSON-ready values for the scripts.
    **facts : object
        What the template shows.
    """
    script = "\n".join(_file(name) for name in ("elements.js", "page.js", *scripts))
    style = _file("drawing.css") + _file("style.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    made_of = {"policy": policy, "style": Markup(style), "script": Markup(script)}  # noqa: S704 -- our own files
    words = {"version": lcl_ref.__version__, "data": cleaned(data)} | cleaned(facts)
    return _environment().get_template(template).render(**words, **made_of)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FILES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _file(name: str) -> str:
    return (FILES / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
