"""Moves the wall clock of the program under test."""

import os
import subprocess

from .wait import REPOSITORY


class WallClock:
    """environment: for the program, which then takes its wall clock through wall_clock.c; move(seconds) moves it."""

    def __init__(self, directory):
        library, self._file = os.path.join(directory, "wall_clock.so"), os.path.join(directory, "clock")
        source = os.path.join(REPOSITORY, "tests", "support", "wall_clock.c")
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-o", library, source], check=True)
        self.environment = {"LD_PRELOAD": library, "OUTBOXX_TEST_CLOCK": self._file}

    def move(self, seconds):
        with open(f"{self._file}.new", "w", encoding="ascii") as new:
            new.write(str(seconds))
        os.rename(f"{self._file}.new", self._file)
