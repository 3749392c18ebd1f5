"""Regenerate some golden data and print its digests; run by test_determinism.py, once per surroundings."""

import argparse
import hashlib
import json
import sys

import numpy as np

from lcl_ref.suite.cases.catalogue import CASES, EXTENSION_CASES, select
from lcl_ref.suite.golden import regenerate, results, store


def arrays(case):
    """Return the digest of each array of one case, computed on its own."""
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in results.compute(case).items()}


def main():
    """Print digests of the files and arrays of the cases named, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--order", choices=("forwards", "backwards"), default="forwards")
    parser.add_argument("--arrays", action="store_true", help="of each array, instead of each file")
    parser.add_argument("globs", nargs="*")
    words = parser.parse_args()
    cases = select(words.globs) if words.globs else list(CASES)
    if words.order == "backwards":
        cases = cases[::-1]
    if words.arrays:
        made = {case.id: arrays(case) for case in cases}
    else:
        made = {name: store.sha256(data) for name, data in regenerate.build([*cases, *EXTENSION_CASES[::8]]).items()}
    json.dump({"made": made, "numpy": np.__version__, "hash": hash("surroundings")}, sys.stdout)


main()
