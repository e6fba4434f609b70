"""The program under test, as a child process."""

import copy
import hashlib
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from . import wait
from .wait import REPOSITORY, Ended, wait_until

CONNECTION_ENV = "OUTBOXX_TEST_POSTGRES"
SANITIZER_REPORT = re.compile(r"^.*(?:ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:).*$", re.M)


def binary():
    """OUTBOXX_BINARY, so that sanitizer builds run the same tests; else the release build."""
    return os.environ.get("OUTBOXX_BINARY") or os.path.join(REPOSITORY, "build", "release", "outboxx")


def sanitized():
    """True if the binary under test is a sanitizer build: bars of time and memory do not hold there."""
    return bool(os.environ.get("OUTBOXX_SANITIZED"))


def stream(resource, topic=None, *, name=None, operations=("insert", "update", "delete"), routing_key="id"):
    """One [[streams]] entry. The topic defaults to the table's name."""
    table = resource.split(".")[-1]
    return {
        "name": name or re.sub(r"[^A-Za-z0-9_]", "_", table),
        "source": {"resource": resource, "operations": list(operations)},
        "flow": {"format": "json"},
        "sink": {"destination": topic or table, "routing_key": routing_key},
    }


class Outboxx:
    """`outboxx run` with a config of its own.

    kafka: a Kafka, a bootstrap string, or None for the stdout sink. postgres: a Postgres or a connection string.
    config: changes to the defaults below by dotted key, e.g. {"sink.kafka.compression": "zstd"}; None removes the key.
    args: more arguments. env: more environment. wrapper: a command in front, e.g. ["prlimit", "--as=500000000"].
    strace: options of strace, e.g. ["-f", "-c"]; its output is in strace_path, the process is still the program's own.
    """

    def __init__(self, directory, postgres, kafka=None, streams=(), *, config=None, args=(), env=None, wrapper=(), strace=None):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.config_path = os.path.join(directory, "outboxx.toml")
        self.log_path = os.path.join(directory, "outboxx.log")
        self.stdout_path = os.path.join(directory, "outboxx.out")
        self.strace_path = os.path.join(directory, "strace.out")
        self.port = wait.free_port()
        self.process = None
        self._args = list(args)
        conninfo = postgres if isinstance(postgres, str) else postgres.conninfo()
        self._env = {CONNECTION_ENV: conninfo, **(env or {})}
        self._wrapper = list(wrapper)
        if strace is not None:
            self._wrapper += ["strace", "-D", *strace, "-o", self.strace_path]
        self.config = default_config(kafka, streams, self.port, str(getattr(postgres, "directory", postgres)))
        self.configure(**(config or {}))

    def configure(self, **changes):
        """Changes the config file for the next start; keys with dots go in as `configure(**{"sink.kafka.tls": True})`."""
        for dotted, setting in changes.items():
            _set(self.config, dotted.split("."), setting)
        self.write_config(toml_text(self.config))

    def write_config(self, text):
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(text)

    # Life of the process.

    def start(self, ready=True, deadline=30.0, stdout=None, stderr=None):
        """Starts `outboxx run`. ready: waits for /readyz, and fails with the log if the process ends before. The log and
        the standard output are appended over restarts. stdout, stderr: a file or file descriptor instead, e.g. a pipe's.
        """
        with open(self.log_path, "ab") as log, open(self.stdout_path, "ab") as out:
            self.process = wait.spawn(self._wrapper + [binary(), "run", "--config", self.config_path, *self._args],
                                      env={**os.environ, **self._env}, stdout=stdout or out, stderr=stderr or log)
        if ready:
            self.wait_ready(deadline)
        return self

    def stop(self, deadline=30.0):
        """SIGTERM; returns the exit code. Fails if the process has not ended by the deadline."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(deadline)

    def kill(self):
        """SIGKILL: a crash."""
        return wait.reap(self.process, signal.SIGKILL)

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline=30.0):
        """The exit code, once the process has ended by itself."""
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"outboxx still runs after {deadline:g} s\n{self._report()}") from error
        wait.reap(self.process)
        self.check_sanitizers()
        return self.process.returncode

    def close(self):
        if self.running:
            self.kill()
        self.check_sanitizers()

    def check_sanitizers(self):
        found = SANITIZER_REPORT.search(self.log)
        if found:
            raise AssertionError(f"{found.group()}\nlog: {self.log_path}\n{wait.tail(self.log_path, 100)}")

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    @property
    def exit_code(self):
        """None while it runs; -N if signal N killed it."""
        return self.process.poll()

    def command(self, *arguments, deadline=60.0, env=None):
        """Runs another subcommand with this config, e.g. command("check", "--json"): CompletedProcess with text output."""
        return subprocess.run([binary(), *arguments, "--config", self.config_path], capture_output=True, text=True,
                              check=False, timeout=deadline, env={**os.environ, **self._env, **(env or {})}, stdin=subprocess.DEVNULL)

    # What it says.

    def wait_ready(self, deadline=30.0):
        wait_until(self._ready, deadline, f"outboxx is ready, log {self.log_path}")

    def wait_log(self, text, deadline=30.0, count=1):
        """Waits for a text (or a compiled pattern) in the log, and returns the first line that holds it."""
        def found():
            lines = [line for line in self.log.splitlines() if (text.search(line) if hasattr(text, "search") else text in line)]
            return lines[0] if len(lines) >= count else None
        return wait_until(found, deadline, f"\"{text}\" in the log {self.log_path}")

    def get(self, path):
        """(status, body) of a GET at the observability port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """name{labels} -> value, with the labels as /metrics writes them: metrics()['outboxx_up{stream="orders"}']."""
        status, body = self.get("/metrics")
        assert status == 200, (status, body)
        lines = (line for line in body.splitlines() if line and not line.startswith("#"))
        return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}

    @property
    def log(self):
        return _read(self.log_path)

    @property
    def stdout(self):
        return _read(self.stdout_path)

    def rss_bytes(self):
        """(now, peak) of the resident memory."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))

    def cpu_seconds(self):
        """User and system time of the process so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _ready(self):
        if self.process.poll() is not None:
            raise Ended(f"outboxx has ended with {self.process.returncode} before it was ready\n{self._report()}")
        return self.get("/readyz")[0] == 200

    def _report(self):
        return f"config: {self.config_path}\nlog: {self.log_path}\n{wait.tail(self.log_path)}"


def default_config(kafka, streams, port, source):
    config = {
        "metadata": {"version": "v1"},
        "source": {"type": "postgres",
                   "postgres": {"connection_env": CONNECTION_ENV, "slot_name": "outboxx_slot", "publication_name": "outboxx_publication"}},
        "sink": {"type": "stdout"},
        "observability": {"address": "127.0.0.1", "port": port},
        "streams": copy.deepcopy(list(streams)),
    }
    if kafka is not None:
        bootstrap = kafka if isinstance(kafka, str) else kafka.bootstrap()
        # Of their own: tests share a broker, and their servers, copies of one template, have the same system identifier.
        config["state"] = {"topic": f"state-{hashlib.sha256(source.encode()).hexdigest()[:16]}"}
        config["sink"] = {"type": "kafka", "kafka": {"brokers": bootstrap.split(","), "tls": False}}
    return config


def toml_text(config):
    """A dict of dicts, lists and scalars as TOML."""
    lines = []
    _table(config, [], lines)
    return "\n".join(lines).lstrip() + "\n"


def _table(table, path, lines):
    for key, entry in table.items():
        if not isinstance(entry, dict) and not _is_array_of_tables(entry):
            lines.append(f"{_key(key)} = {_scalar(entry)}")
    for key, entry in table.items():
        dotted = ".".join([*path, _key(key)])
        if isinstance(entry, dict):
            lines += ["", f"[{dotted}]"]
            _table(entry, [*path, _key(key)], lines)
        elif _is_array_of_tables(entry):
            for element in entry:
                lines += ["", f"[[{dotted}]]"]
                _table(element, [*path, _key(key)], lines)


def _is_array_of_tables(entry):
    return isinstance(entry, list) and bool(entry) and all(isinstance(element, dict) for element in entry)


def _key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _scalar(entry):
    if isinstance(entry, list):
        return "[" + ", ".join(_scalar(element) for element in entry) + "]"
    # TOML's strings, integers and booleans are written like JSON's, but for DEL, which JSON does not escape.
    return json.dumps(entry, ensure_ascii=False).replace("\x7f", "\\u007f")


def _set(table, path, setting):
    for key in path[:-1]:
        table = table.setdefault(key, {})
    if setting is None:
        table.pop(path[-1], None)
    else:
        table[path[-1]] = setting


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
