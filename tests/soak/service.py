"""The program under a service manager, and its resources sampled."""

import os
import queue
import signal
import threading
import time

RESTART_PAUSE_S = 0.1  # systemd's default RestartSec
NOT_RESTARTED = {64, 65, 66, 72, 73, 75, 76, 77, 78, 79, 80, 81, 82}  # docs/exit-codes.md: RestartPreventExitStatus
GRACEFUL = {0}


class Operator(threading.Thread):
    """Does one thing after the other in a thread that lives as long as we do (the kernel ends child processes of a thread
    that has gone). What fails is kept in failures.
    """

    def __init__(self, name):
        super().__init__(name=name, daemon=True)
        self._work = queue.Queue()
        self.failures = []
        self.start()

    def post(self, function):
        self._work.put(function)

    @property
    def is_behind(self):
        """Whether something waits that was not begun."""
        return not self._work.empty()

    def call(self, function, timeout=180):
        """Does it and returns its result, or raises what it raised."""
        done = queue.Queue()

        def run():
            try:
                done.put((function(), None))
            except Exception as error:
                done.put((None, error))
        self.post(run)
        result, error = done.get(timeout=timeout)
        if error:
            raise error
        return result

    def run(self):
        while True:
            function = self._work.get()
            try:
                function()
            except Exception as error:
                self.failures.append(error)


class Service(threading.Thread):
    """Starts the program whenever it has ended, as systemd would; after a code that forbids it, too, but notes that down.

    forgive(): what the faults of the moment explain, e.g. 73 while the broker was told to refuse.
    """

    def __init__(self, outboxx, directory, record_start, record_sample):
        super().__init__(daemon=True)
        self._outboxx = outboxx
        self._record_start = record_start
        self._record_sample = record_sample
        self._command_lines = os.path.join(directory, "command-lines.txt")
        self._why = "start"
        self._wanted = True
        self._begun = time.monotonic()
        self._forgiven = {}
        self.starts = 0

    @property
    def outputs(self):
        return [self._outboxx.log_path, self._outboxx.stdout_path, self._command_lines]

    def kill(self):
        self._signal(signal.SIGKILL, "SIGKILL")

    def terminate(self):
        """Once: a second SIGTERM would end it at once, without a drain."""
        if self._why != "SIGTERM":
            self._signal(signal.SIGTERM, "SIGTERM")

    def freeze(self):
        self._signal(signal.SIGSTOP, self._why)

    def thaw(self):
        self._signal(signal.SIGCONT, self._why)

    def forgive(self, code, seconds=None):
        """Ends with this code are no violation, until so many seconds from now; None: until told otherwise."""
        self._forgiven[code] = None if seconds is None else time.time() + seconds

    def forgives(self, code):
        until = self._forgiven.get(code, 0.0)
        return until is None or time.time() < until

    def stop(self, deadline=40.0):
        """Ends it for good; returns the exit code."""
        self._wanted = False
        self.terminate()
        self.join(deadline)
        if self.is_alive():
            self.kill()
            self.join(10)
        return self._outboxx.exit_code

    def run(self):
        sampled = 0.0
        while True:
            if not self._outboxx.running:
                if self._outboxx.process is not None:
                    self._note_end()
                if not self._wanted:
                    return
                self._start()
            if time.monotonic() - sampled >= 1.0:
                sampled = time.monotonic()
                self._sample()
            time.sleep(0.01)

    def _start(self):
        if self.starts:
            time.sleep(RESTART_PAUSE_S)
        self._why = "itself"
        self._outboxx.start(ready=False)
        self.starts += 1
        with open(self._command_lines, "ab") as file, open(f"/proc/{self._outboxx.pid}/cmdline", "rb") as command_line:
            file.write(command_line.read() + b"\n")

    def _note_end(self):
        code = self._outboxx.wait_exit()
        asked = self._why in ("SIGKILL", "SIGTERM")
        unexpected = code not in ({-9} if self._why == "SIGKILL" else GRACEFUL | {69, 71} if asked else {69, 71}) and not self.forgives(code)
        self._record_start(at=time.time(), code=code, why=self._why, unexpected=unexpected, forbids_restart=code in NOT_RESTARTED)

    def _signal(self, number, why):
        try:
            self._why = why
            self._outboxx.signal(number)
        except (ProcessLookupError, AttributeError):
            pass

    def _sample(self):
        try:
            with open(f"/proc/{self._outboxx.pid}/status", encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file)
            fds = len(os.listdir(f"/proc/{self._outboxx.pid}/fd"))
            self._record_sample(at=round(time.monotonic() - self._begun, 2), rss=int(fields["VmRSS"].split()[0]) * 1024,
                                threads=int(fields["Threads"]), fds=fds)
        except (OSError, KeyError):
            pass
