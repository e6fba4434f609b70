"""How the release binary is built, and how little of the system it needs: asserted on the ELF file and on the running process."""

import os
import re
import subprocess

import pytest

from support import sanitized, stream
from support.outboxx import binary

pytestmark = pytest.mark.skipif(sanitized(), reason="sanitizer builds are built in another way")

TABLE = "create table items (id bigint primary key)"


def readelf(*options):
    return subprocess.run(["readelf", "--wide", *options, binary()], capture_output=True, text=True, check=True).stdout


def segments():
    """(type, flags) of each segment, "R E" without its blanks."""
    lines = re.findall(r"^ +(\w+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ (R?[ ]?W?[ ]?E?) +0x", readelf("--program-headers"), re.M)
    return [(name, flags.replace(" ", "")) for name, flags in lines]


def test_binary_is_loaded_anywhere_and_its_tables_are_read_only():
    """PIE with full RELRO: no address is known beforehand, and no jump table can be overwritten."""
    assert re.search(r"Type: +DYN ", readelf("--file-header"))
    dynamic = readelf("--dynamic")
    assert re.search(r"FLAGS_1\).*\bNOW\b.*\bPIE\b", dynamic)
    assert "GNU_RELRO" in [name for name, _ in segments()]
    assert "TEXTREL" not in dynamic


def test_no_memory_is_writable_and_executable_and_code_has_pages_of_its_own():
    """What an attacker writes must not run, and what runs must not be found beside constants."""
    assert ("GNU_STACK", "RW") in segments()
    loaded = [flags for name, flags in segments() if name == "LOAD"]
    assert set(loaded) == {"R", "RE", "RW"}, loaded


def test_calls_are_checked():
    """Stack protector, fortified libc calls and the assertions of the standard library."""
    symbols = readelf("--dyn-syms")
    assert "__stack_chk_fail" in symbols
    assert re.search(r"\b__\w+_chk@", symbols.replace("__stack_chk_fail", ""))
    assert "__glibcxx_assert_fail" in symbols


def test_every_file_of_ours_is_compiled_with_the_flags():
    """The flags that leave no symbol: the compiler writes its command line into the debugging information."""
    producers = set(re.findall(r"DW_AT_producer.*: (GNU C\+\+.*)", readelf("--debug-dump=info", "--dwarf-depth=1")))
    assert producers
    for producer in producers:
        for flag in ("-O2", "-fPIE", "-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection=full"):
            assert re.search(rf"{flag}(?!\S)", producer), (flag, producer)


def test_f119_memory_of_the_process_is_closed(postgres, make_outboxx):
    """Passwords are in it. The kernel gives the files of a process that is not dumpable to root."""
    postgres.execute(TABLE)
    as_nobody = ["setpriv", "--pdeathsig", "KILL", "--reuid", "nobody", "--clear-groups"] if os.geteuid() == 0 else []
    outboxx = make_outboxx(postgres, None, [stream("public.items")], wrapper=as_nobody).start()
    with open(f"/proc/{outboxx.pid}/limits", encoding="ascii") as file:
        [limits] = [line.split()[4:6] for line in file if line.startswith("Max core file size")]
    assert limits == ["0", "0"]
    assert os.stat(f"/proc/{outboxx.pid}/environ").st_uid == 0
    assert outboxx.metrics()["process_open_fds"] > 3  # of its own files it still knows
    assert outboxx.stop() == 0
