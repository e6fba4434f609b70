"""Waiting with a deadline, free ports, and child processes that never outlive us."""

import atexit
import os
import random
import signal
import socket
import subprocess
import time

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "outboxx")
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
