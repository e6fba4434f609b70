"""What processes and the machine used so far, from /proc. Clock ticks are 10 ms: fine for seconds, not for an idle process."""

import glob
import os
import shutil
import subprocess

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time, threads that have ended included; a process that nobody has waited for still answers."""
    fields = _read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def fine_cpu_seconds(pid):
    """To the nanosecond, of the threads that run now. A thread that ended takes its time with it."""
    return sum(int(_read(path).split()[0]) for path in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1e9


def peak_rss_bytes(pid):
    """0 if the process has ended."""
    lines = [line for line in _read(f"/proc/{pid}/status").splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def thread_names(pid):
    return {_read(path).strip() for path in glob.glob(f"/proc/{pid}/task/*/comm")}


def exists(pid):
    return os.path.exists(f"/proc/{pid}/stat")


def machine_busy_seconds():
    """Of all processors: everything but idle and waiting for I/O."""
    fields = [int(field) for field in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK


def tcp_segments_sent():
    """In this network namespace. On the loopback every segment counts once here."""
    header, numbers = (line.split() for line in _read("/proc/net/snmp").splitlines() if line.startswith("Tcp:"))
    return int(numbers[header.index("OutSegs")])


def congestion_control():
    return _read("/proc/sys/net/ipv4/tcp_congestion_control").strip()


def machine():
    """What a reader of the figures must know about the machine."""
    models = {line.split(":", 1)[1].strip() for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")}
    memory = int(_read("/proc/meminfo").split()[1]) // 1024
    git = shutil.which("git") and subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False,
                                                 cwd=os.path.dirname(os.path.abspath(__file__)))
    return {"processor": ", ".join(sorted(models)), "cores": os.cpu_count(), "memory_mib": memory, "kernel": os.uname().release,
            "commit": git.stdout.strip() if git else "", "congestion_control": congestion_control()}


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()
