"""Waiting with a deadline, free ports, and child processes that never outlive us."""

import atexit
import os
import random
import signal
import socket
import subprocess
import tempfile
import time

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "outboxx")
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MEMORY = "/dev/shm"
MEMORY_NEEDED = 6 << 30  # bytes: ample for the servers of the files that run side by side


class Unavailable(Exception):
    """This machine lacks what a test needs; the fixtures turn it into a skip."""


class Ended(AssertionError):
    """What is waited for can no longer happen: wait_until lets it through."""


def wait_until(predicate, deadline=30.0, what="the condition", interval=0.02):
    """Calls predicate until it returns something true, and returns that. Fails after deadline seconds.

    An exception of the predicate (but Ended) counts as "not yet"; the last one is named in the failure.
    """
    end = time.monotonic() + deadline
    seen = None
    while True:
        try:
            result = predicate()
            if result:
                return result
            seen = repr(result)
        except Ended:
            raise
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline:g} s: {what} (last seen: {seen})")
        time.sleep(interval)


def make_directory():
    """A new directory for the servers' files: in memory where there is plenty, for ext4 takes a third of the tests' processor time to make
    a server's thousand files where as many were removed within the last minutes (it passes over their inodes one by one).

    A short path: that of a unix socket may have 107 characters. Server users must be able to walk through it.
    """
    directory = tempfile.mkdtemp(prefix="outboxx-", dir=MEMORY if _plenty_of_memory() else None)
    os.chmod(directory, 0o755)
    return directory


def _plenty_of_memory():
    try:
        room = os.statvfs(MEMORY)
        with open("/proc/meminfo", encoding="ascii") as file:
            available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return False
    programs = not room.f_flag & os.ST_NOEXEC
    return programs and min(room.f_bavail * room.f_frsize, available) > MEMORY_NEEDED


_ports_given = set()


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on, below the range that outgoing connections take theirs from."""
    while True:
        port = random.SystemRandom().randrange(12000, 32000)
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port


_children = set()


def spawn(command, user=None, death_signal="KILL", **options):
    """A child process in its own session, so that a terminal's Ctrl-C reaches us and not it. If this process dies without
    a chance to clean up, the kernel sends death_signal. Start it from the main thread: the kernel counts from that one.
    """
    prefix = ["setpriv", "--pdeathsig", death_signal]
    if user:
        prefix += ["--reuid", user, "--regid", user, "--init-groups"]
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(prefix + command, start_new_session=True, **options)
    _children.add(process)
    return process


def reap(process, sent=signal.SIGKILL, deadline=30.0):
    """Sends a signal and waits for the end; SIGKILL at the deadline. Returns the exit code."""
    if process.poll() is None:
        process.send_signal(sent)
        process.send_signal(signal.SIGCONT)  # a stopped process would keep the signal for later
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _children.discard(process)
    return process.returncode


@atexit.register
def _reap_all():
    for process in list(_children):
        reap(process)


def tail(path, lines=40):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])
    except OSError as error:
        return f"({error})"
