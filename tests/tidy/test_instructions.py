"""The rule of bench/micro/instructions: more than 5% above the baseline fails, more than 5% below asks for a new one."""

import importlib.machinery
import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).resolve().parents[2] / "bench" / "micro" / "instructions"
HEAD = "# by c++ 12\n"


@pytest.fixture
def instructions(tmp_path):
    loader = importlib.machinery.SourceFileLoader("instructions", str(PATH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("instructions", loader))
    loader.exec_module(module)
    module.BASELINE = str(tmp_path / "instructions.txt")
    module.write_baseline(HEAD, {"insert": 1000.0, "delete": 500.0})
    return module


@pytest.mark.parametrize(("counts", "code", "words"), [
    ({"insert": 1049.0, "delete": 476.0}, 0, ""),
    ({"insert": 1051.0, "delete": 500.0}, 1, "above the baseline"),
    ({"insert": 1000.0, "delete": 474.0}, 0, "below the baseline"),
    ({"insert": 1000.0, "delete": 500.0, "update": 1.0}, 1, "other scenarios"),
    ({"insert": 1000.0}, 1, "other scenarios"),
])
def test_counts_are_held(instructions, capsys, counts, code, words):
    assert instructions.compare(HEAD, counts) == code
    assert words in capsys.readouterr().out


def test_another_compiler_is_not_compared(instructions, capsys):
    assert instructions.compare("# by c++ 13\n", {"insert": 1000.0, "delete": 500.0}) == 1
    assert "another compiler" in capsys.readouterr().out
