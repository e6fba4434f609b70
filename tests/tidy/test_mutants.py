"""Each mutant still finds the text that it replaces, so that a change of the program does not silently lose one."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutants"))

from mutants import MUTANTS, NOT_HERE, changed_sources  # noqa: E402


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.number)
def test_mutant_applies(mutant):
    assert changed_sources(mutant, ROOT)


def test_the_readme_lists_the_mutants():
    readme = (ROOT / "tests" / "mutants" / "README.md").read_text(encoding="utf-8")
    assert [mutant.number for mutant in MUTANTS if f"| {mutant.number} | " not in readme] == []
    assert not {mutant.number for mutant in MUTANTS} & set(NOT_HERE)
