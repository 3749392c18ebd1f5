"""The schema reader, and the page on the protocol against the schema it describes."""

import dataclasses
import json
import re

import pytest

from lcl_ref.suite import schema
from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.exec.adapter import SCHEMA
from tests.support.paths import ROOT
from tests.support.tables import table

PAGE = (ROOT / "docs" / "protocol.md").read_text()

START = {"id": 0, "protocol": "lcl-exec/1", "name": "port", "version": "1", "language": "C"}
CAPABILITIES = {"ops": ["forward"], "dtypes": ["float32"]}
GOOD = {"start_answer": START | {"capabilities": CAPABILITIES}, "capabilities": CAPABILITIES, "run_answer": {}}
VALUES = table(__file__, "schema.json")
"""Changes to `GOOD` that are accepted, and those that are refused with words of the message."""


def definitions():
    return schema._document(SCHEMA)["$defs"]


def keywords(part):
    """Yield every keyword of a schema and of the schemas in it."""
    for keyword, value in part.items():
        yield keyword
        inner = value.values() if keyword == "properties" else value if keyword == "oneOf" else [value]
        for one in inner:
            if isinstance(one, dict) and keyword in {"properties", "oneOf", "items", "additionalProperties"}:
                yield from keywords(one)


def test_no_keyword_stands_in_the_schemas_that_the_reader_does_not_apply():
    files = sorted((ROOT / "lcl_ref" / "suite" / "schemas").glob("*.schema.json"))
    assert files != []
    for file in files:
        parts = json.loads(file.read_text())["$defs"].values()
        found = {keyword for part in parts for keyword in keywords(part)}
        assert {"type", "required", "properties", "items"} <= found <= schema._KEYWORDS.keys() | {"description"}


def test_an_unknown_keyword_is_refused():
    with pytest.raises(NotImplementedError, match="maximum"):
        schema._Reader({}).check(1, {"type": "integer", "maximum": 3}, "")


@pytest.mark.parametrize(("definition", "changes"), VALUES["accepted"])
def test_accepted(definition, changes):
    schema.validate(GOOD[definition] | changes, SCHEMA, definition)


@pytest.mark.parametrize(("definition", "changes", "message"), VALUES["refused"])
def test_refused(definition, changes, message):
    value = GOOD[definition] | changes if isinstance(changes, dict) else changes
    with pytest.raises(schema.Invalid) as caught:
        schema.validate(value, SCHEMA, definition)
    assert message in str(caught.value)


def test_the_schema_knows_exactly_the_capabilities_of_an_adapter():
    fields = {field.name for field in dataclasses.fields(Capabilities)}
    assert set(definitions()["capabilities"]["properties"]) == fields


def test_the_page_names_every_capability_and_its_default():
    table = PAGE.partition("| capability | default |")[2].partition("\n\n")[0]
    rows = {
        name: json.loads(re.findall("`([^`]*)`", cells[1])[0])
        for line in table.splitlines()[2:]
        for cells in [line.strip("| ").split(" | ")]
        for name in re.findall("`(\\w+)`", cells[0])
    }
    defaults = {field.name: getattr(Capabilities(), field.name) for field in dataclasses.fields(Capabilities)}
    defaults["channel_table"] = True  # of a program: what it does not declare is asked
    asked = {"ops", "dtypes"}
    assert rows == {name: json.loads(json.dumps(value)) for name, value in defaults.items() if name not in asked}


def fields_of(cell):
    return set(re.findall("`(\\w+)`", cell))


def test_the_page_lists_the_fields_of_every_message_and_object():
    section = PAGE.partition("## Messages")[2].partition("| field | of |")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    listed = {cells[0].strip("`"): cells[1:] for cells in rows}
    names = {name: name for name in ("start", "run", "stop", "spec")}
    names |= {"answer to `start": "start_answer", "a tensor inside a line": "tensor"}
    for row, name in names.items():
        definition = definitions()[name]
        required, *optional = listed[row]
        assert fields_of(required) == set(definition["required"]), row
        rest = definition["properties"].keys() - definition["required"]
        assert fields_of("".join(optional)) == rest, row
    assert fields_of(listed["capabilities"][0]) == set(definitions()["capabilities"]["required"])
    answers = definitions()["run_answer"]["oneOf"]
    assert fields_of(listed["answer to `run"][0]) == {field for answer in answers for field in answer["required"]}


def test_the_examples_on_the_page_are_valid():
    blocks = [json.loads(text) for text in re.findall("```json\n(.*?)```", PAGE, re.DOTALL)]
    rows = [json.loads(text) for text in re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)]
    assert [len(blocks), len(rows)] == [4, 6]
    for definition, block in zip(("start", "start_answer", "run", "describe"), blocks, strict=True):
        schema.validate(block, SCHEMA, definition)
    for row in rows:
        schema.validate(row, SCHEMA, "run_answer" if row["id"] == 1 else "describe_answer")
