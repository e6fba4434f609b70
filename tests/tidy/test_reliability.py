"""docs/reliability.md: every row of the catalogue stands there once, and the tests that it names exist."""

import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
IDS = ["F8b", *(f"F{number}" for number in range(1, 128))]
NAMED = re.compile(r"`(test_\w+\.py::test_\w+|[A-Z]\w+\.[A-Z]\w+)`")


def rows():
    """id -> the last cell, as a list: one that stands there twice has two."""
    found = collections.defaultdict(list)
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| F"):
            assert len(cells) == 4 and all(cells), line
            found[cells[0]].append(cells[3])
    return found


def python_tests():
    return {f"{path.name}::{name}" for path in ROOT.glob("tests/**/test_*.py")
            for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)}


def cpp_tests():
    return {".".join(pair) for folder in ("src", "tests") for path in (ROOT / folder).rglob("*_test.cc")
            for pair in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(encoding="utf-8"), re.M)}


def test_every_row_stands_in_the_table_once():
    assert {name: len(cells) for name, cells in rows().items()} == dict.fromkeys(IDS, 1)


def test_every_row_names_a_test_or_says_why_there_is_none():
    without = [name for name, [cell] in rows().items() if not NAMED.search(cell)]
    assert [name for name in without if not re.match(r"(open|not here): \w", rows()[name][0])] == []
    assert f"{len(IDS) - len(without)} of the {len(IDS)} rows have a test" in TEXT


def test_tests_that_are_named_exist():
    assert set(NAMED.findall(TEXT)) - python_tests() - cpp_tests() == set()


def test_tests_stand_in_the_rows_of_their_names():
    missing = []
    for test in python_tests():
        numbers = re.match(r"test_\w+\.py::test((?:_f\d+b?)*)_", test).group(1)
        missing += [f"row F{number}: `{test}`" for number in re.findall(r"f(\d+b?)", numbers) if test not in rows()[f"F{number}"][0]]
    assert missing == [], "add it to the row in docs/reliability.md, and mend the count above the table"
