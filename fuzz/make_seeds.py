#!/usr/bin/env python3
"""Writes the seeds of the pgoutput fuzz target: make_seeds.py FOLDER.

A seed is a capture of tests/golden/pgoutput as fuzz/targets.h wants it: each message after its length in two bytes. There is
one for each capture, and one for each message alone, which is quicker to mutate.
"""

import pathlib
import sys

CAPTURES = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "pgoutput"


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for capture in sorted(CAPTURES.glob("*.capture")):
        lines = [line for line in capture.read_text("ascii").splitlines() if not line.startswith("#")]
        messages = [bytes.fromhex(line.split()[1]) for line in lines]
        frames = [len(message).to_bytes(2, "big") + message for message in messages]
        (folder / capture.stem).write_bytes(b"".join(frames))
        for index, frame in enumerate(frames):
            (folder / f"{capture.stem}-{index}").write_bytes(frame)


if __name__ == "__main__":
    main()
