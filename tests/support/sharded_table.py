"""The collectives of each family of cases, of what `tests.support.sharded_child` says: a table of Markdown.

Families are topics of case ids. `Sharded` is told the mesh, `partitioned` is left to XLA; of the latter, programs whose
sizes the devices divide. A program is a forward and a backward pass.
"""

import json
import sys
from collections import defaultdict

WAYS = {"asked": "`Sharded`", "left_to_xla": "`partitioned`"}


def main(lines):
    families = defaultdict(list)
    for row in map(json.loads, lines):
        for family in (row["case"].split("/")[1], "all"):
            families[family].append(row)
    heads = [f"{name}: programs | moved / halo | all-gather | all-reduce" for name in WAYS.values()]
    print(f"| family | {' | '.join(heads)} |")
    print(f"|---{'|---' * 4 * len(WAYS)}|")
    for family in sorted(families, key=lambda name: (name == "all", name)):
        print(f"| {family} | {' | '.join(cells(way, families[family]) for way in WAYS)} |")


def cells(way, rows):
    found = [row[way] for row in rows if row[way] and row[way].get("even", True)]
    moved, least = sum(one["moved"][0] for one in found), sum(one["least"] for one in found)
    others = (sum(name in one["moved"][1] for one in found) for name in ("all-gather", "all-reduce"))
    return " | ".join([str(len(found)), f"{moved / least:.2f}" if least else "-", *map(str, others)])


if __name__ == "__main__":
    main(sys.stdin)
