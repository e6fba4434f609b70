"""dist/outboxx.service: how much it shuts in, and that the program runs under it as far as that shows without systemd."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from support import consume, sandbox, sanitized, stream
from support.wait import REPOSITORY

UNIT = os.path.join(REPOSITORY, "dist", "outboxx.service")
EXPOSURE_MAX = 1.5
TABLE = "create table items (id bigint primary key)"
IN_SANDBOX = [sys.executable, sandbox.__file__, UNIT]

needs_systemd_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing: scripts/setup test")
needs_sandbox = pytest.mark.skipif(not sandbox.available() or sanitized(), reason="x86-64 with systemd-analyze, not under sanitizers")


@needs_systemd_analyze
def test_unit_is_shut_in():
    """systemd's own measure of what a break-in could reach."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX * 10:.0f}", UNIT]
    rated = subprocess.run(command, capture_output=True, text=True, check=False)
    overall = re.search(r"Overall exposure level for outboxx.service: ([\d.]+)", rated.stdout)
    assert overall and float(overall.group(1)) <= EXPOSURE_MAX, rated.stdout
    assert rated.returncode == 0, rated.stdout


@needs_systemd_analyze
def test_unit_is_well_formed(directory):
    """A misspelled key is ignored by systemd with a line in the log."""
    text = pathlib.Path(UNIT).read_text(encoding="utf-8").replace("/usr/local/bin/outboxx", shutil.which("true"))
    copy = pathlib.Path(directory) / "outboxx.service"
    copy.write_text(text, encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    said = [line for line in (verified.stdout + verified.stderr).splitlines() if "outboxx.service" in line]
    assert not said, said


def test_unit_does_not_restart_what_a_restart_cannot_mend():
    """A crash loop hides the reason and hammers the servers."""
    table = pathlib.Path(REPOSITORY, "docs", "exit-codes.md").read_text(encoding="utf-8")
    lasting = re.findall(r"^\| (\d+) \| `\w+` \|[^|]*\| no \|", table, re.M)
    assert lasting
    assert sandbox.settings(UNIT, "RestartPreventExitStatus") == [" ".join(lasting)]
    assert f"RestartPreventExitStatus={' '.join(lasting)}" in table


@needs_sandbox
def test_sandbox_refuses_what_the_unit_does_not_allow():
    """Else the next test would prove nothing."""
    tries = """
import ctypes, errno, mmap, os, socket
def refused(action):
    try:
        action()
    except OSError as error:
        return error.errno
assert os.geteuid() != 0
assert refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)) == errno.EAFNOSUPPORT
assert refused(lambda: os.nice(1)) == errno.EPERM
assert refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)) == errno.EPERM
assert not refused(lambda: socket.socket(socket.AF_INET6))
print("as it should")
"""
    run = subprocess.run([*IN_SANDBOX, sys.executable, "-c", tries], capture_output=True, text=True, check=False)
    assert run.stdout == "as it should\n", run.stderr


@needs_sandbox
def test_program_streams_under_the_units_filters(start_postgres, kafka, topic, make_outboxx):
    """A system call that is missing in the filter shows only where it is used: names are resolved, TLS, compression, a stop."""
    postgres = start_postgres(ssl=True)
    postgres.execute(TABLE)
    conninfo = postgres.conninfo(host="localhost", sslmode="verify-full", sslrootcert=postgres.certificates.ca)
    outboxx = make_outboxx(conninfo, kafka.bootstrap().replace("127.0.0.1", "localhost"), [stream("public.items", topic)],
                           config={"sink.kafka.compression": "zstd"}, env={"HOME": "/"}, wrapper=IN_SANDBOX).start()
    postgres.execute("insert into items select generate_series(1, 1000)")
    assert len(consume(kafka.bootstrap(), topic, count=1000)) == 1000
    assert outboxx.metrics()["process_open_fds"] > 3
    assert outboxx.stop() == 0


@pytest.mark.skipif(sanitized(), reason="sanitizers open files of their own")
def test_program_writes_no_file_and_uses_only_the_units_sockets(start_postgres, kafka, topic, make_outboxx):
    """ProtectSystem=strict leaves nothing to write to."""
    postgres = start_postgres(ssl=True)
    postgres.execute(TABLE)
    outboxx = make_outboxx(postgres, kafka, [stream("public.items", topic)], strace=["-f", "-e", "trace=openat,open,creat,socket"]).start()
    postgres.execute("insert into items values (1)")
    assert len(consume(kafka.bootstrap(), topic, count=1)) == 1
    assert outboxx.stop() == 0
    with open(outboxx.strace_path, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if not line.endswith("(No such file or directory)")]
    assert [line for line in lines if re.search(r"O_(WRONLY|RDWR|CREAT)|creat\(", line)] == []
    families = set(re.findall(r"socket\((AF_\w+)", "\n".join(lines)))
    assert "AF_INET" in families and families <= {*sandbox.settings(UNIT, "RestrictAddressFamilies")[0].split(), "AF_NETLINK"}, families
