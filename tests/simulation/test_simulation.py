"""The simulation: many seeds hold, and a seed can be replayed."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIMULATION = os.environ.get("OUTBOXX_SIMULATION", ROOT / "build" / "dev" / "simulation")
SEEDS = int(os.environ.get("OUTBOXX_SIMULATION_SEEDS", "2000"))


def simulate(*arguments):
    return subprocess.run([SIMULATION, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=600)


def test_every_promise_holds_for_every_seed():
    result = simulate("--seeds", SEEDS)
    assert result.returncode == 0, result.stdout
    assert f"{SEEDS} runs in" in result.stdout


def test_seed_replays_bit_for_bit():
    for seed in range(1, 11):
        first, second = simulate("--seed", seed, "--trace"), simulate("--seed", seed, "--trace")
        assert first.returncode == 0, first.stdout
        assert "trace" in first.stdout
        assert first.stdout == second.stdout
