#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets that decode what PostgreSQL sent: make_seeds.py FOLDER.

FOLDER/pgoutput: a capture of tests/golden/pgoutput as fuzz/targets.h wants it: each message after its length in two bytes.
FOLDER/copy_binary: one of tests/golden/copy_binary as fuzz/copy_binary_target.h wants it, the types in front. There is one seed
for each capture, and one for each message alone, which is quicker to mutate.
"""

import pathlib
import sys

GOLDEN = pathlib.Path(__file__).parent.parent / "tests" / "golden"


def main():
    for name, read in (("pgoutput", read_pgoutput), ("copy_binary", read_copy)):
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for capture in sorted((GOLDEN / name).glob("*.capture")):
            lines = [line for line in capture.read_text("ascii").splitlines() if not line.startswith("#")]
            head, first, messages = read(lines)
            frames = [len(message).to_bytes(2, "big") + message for message in messages]
            (folder / capture.stem).write_bytes(head + b"".join(frames))
            for index, frame in enumerate(frames):
                alone = frame if index == 0 else first + frame
                (folder / f"{capture.stem}-{index}").write_bytes(head + alone)


def read_pgoutput(lines):
    """What stands before all messages, what before each that is not the first, and the messages."""
    return b"", b"", [bytes.fromhex(line.split()[1]) for line in lines]


def read_copy(lines):
    oids = [int(oid) for oid in lines[0].split()[1:]]
    head = bytes([len(oids)]) + b"".join(oid.to_bytes(2, "big") for oid in oids)
    header = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    return head, len(header).to_bytes(2, "big") + header, [bytes.fromhex(line) for line in lines[1:]]


if __name__ == "__main__":
    main()
