"""The kill matrix as one self-contained page: a picture with a row per deviation and a column per case."""

from __future__ import annotations

import jinja2

from lcl_ref.suite.validation.mutants import KillMatrix, State

COLOURS: dict[State, tuple[str, str]] = {
    "killed": ("#1f6f43", "killed: the comparison rejects it"),
    "refused": ("#7a9e1f", "killed: such a layer could not run"),
    "identical": ("#ffffff", "the same layer by construction"),
    "equivalent": ("#d9d9d9", "proved equal for all operands"),
    "blind": ("#c0392b", "another layer, which these operands do not show"),
    "absent": ("#ffffff", "nothing to compare"),
}
SIDE, LEFT, TOP = 6, 250, 130

_TEMPLATE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>lcl-ref kill matrix</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; }
svg text { font: 6px system-ui, sans-serif; }
i { display: inline-block; width: 1em; height: 1em; border: 1px solid #aaa; }
table { border-collapse: collapse; } th, td { padding: .1rem .6rem; border-bottom: 1px solid #ddd; text-align: left; }
td.n { text-align: right; }
</style></head><body>
<h1>What each case can see</h1>
<p>A row is a deviation, a column a case; the colour is the strongest thing any operation of the case says.</p>
<ul>{% for colour, words in legend %}<li><i style="background: {{ colour }}"></i> {{ words }}</li>{% endfor %}</ul>
<svg xmlns="http://www.w3.org/2000/svg" width="{{ width }}" height="{{ height }}">
{% for row in rows %}<text x="{{ left - 4 }}" y="{{ top + row.y + side - 1 }}" text-anchor="end">{{ row.id }}
<title>{{ row.sentence }}</title></text>
{% endfor %}
{% for column in columns %}
<text transform="translate({{ left + column.x + side - 1 }} {{ top - 4 }}) rotate(-90)">{{ column.id }}</text>
{% endfor %}
{% for colour, path in paths %}<path fill="{{ colour }}" d="{{ path }}"/>
{% endfor %}</svg>
<h2>Deviations</h2>
<table><thead><tr><th>id</th><th>sentence</th><th>clause</th><th>known in</th><th>killed by</th>
<th>equivalent in</th></tr></thead><tbody>
{% for row in rows %}<tr><td>{{ row.id }}</td><td>{{ row.sentence }}</td><td>{{ row.clause }}</td>
<td>{{ row.known_in }}</td><td class="n">{{ row.killed }}</td><td class="n">{{ row.same }}</td></tr>
{% endfor %}</tbody></table>
</body></html>
"""
)


def page(matrix: KillMatrix) -> str:
    """Return the page of a kill matrix."""
    rows = [
        {
            "id": deviation.id,
            "sentence": deviation.sentence,
            "clause": deviation.clause,
            "known_in": deviation.known_in,
            "y": number * SIDE,
            "killed": len(matrix.killers[deviation.id]),
            "same": matrix.count(deviation.id, "identical") + matrix.count(deviation.id, "equivalent"),
        }
        for number, deviation in enumerate(matrix.deviations)
    ]
    return _TEMPLATE.render(
        rows=rows,
        columns=[{"id": case.id, "x": number * SIDE} for number, case in enumerate(matrix.cases)],
        paths=[(colour, _path(matrix, state)) for state, (colour, _) in COLOURS.items() if colour != "#ffffff"],
        legend=[pair for state, pair in COLOURS.items() if state != "absent"],
        width=LEFT + SIDE * len(matrix.cases) + 20,
        height=TOP + SIDE * len(matrix.deviations) + 20,
        left=LEFT,
        top=TOP,
        side=SIDE,
    )


def _path(matrix: KillMatrix, state: State) -> str:
    """Return the squares of one state as one SVG path."""
    return "".join(
        f"M{LEFT + x * SIDE} {TOP + y * SIDE}h{SIDE - 1}v{SIDE - 1}h{1 - SIDE}z"
        for y, deviation in enumerate(matrix.deviations)
        for x, case in enumerate(matrix.cases)
        if matrix.state(deviation.id, case.id) == state
    )
