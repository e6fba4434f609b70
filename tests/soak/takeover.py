"""A second instance of the program, which takes over while the first stands still."""

import contextlib
import os
import time

import psycopg

from support import wait_until

STANDBY_S = 10  # the second is given so long to find that the slot is in use
LONGEST_S = 40


class Takeover:
    """begin() and end() take their time: an operator calls them. record_start notes how the second ended."""

    def __init__(self, outboxx, service, postgres, record_start):
        self._outboxx = outboxx
        self._service = service
        self._postgres = postgres
        self._record_start = record_start

    @property
    def outputs(self):
        return [path for path in (self._outboxx.log_path, self._outboxx.stdout_path) if os.path.exists(path)]

    def begin(self):
        """Returns when the first was stopped. The second streams by then, if nothing else has prevented it."""
        said = self._outboxx.log.count("waiting for replication slot")
        self._service.forgive(75)  # from now on: if the first is just being started, they take Kafka from each other
        self._outboxx.start(ready=False)
        with contextlib.suppress(AssertionError):  # at another fault's time there may be nothing to wait for
            wait_until(lambda: self._kept_running() and self._outboxx.log.count("waiting for replication slot") > said, STANDBY_S,
                       "the second waits for the slot")
        before = self._walsender()
        self._service.freeze()
        frozen = time.time()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._kept_running() and self._walsender() not in (None, before), LONGEST_S, "the second streams")
        return frozen

    def end(self):
        """The first wakes up and finds that it is no longer needed; then the second goes, and the first takes over again."""
        self._service.thaw()
        self._note_end(self._outboxx.stop(40))
        self._service.forgive(75, 5.0)

    def close(self):
        self._outboxx.close()

    def _kept_running(self):
        if not self._outboxx.running:
            self._note_end(self._outboxx.wait_exit())
            self._outboxx.start(ready=False)
        return True

    def _note_end(self, code):
        self._record_start(at=time.time(), code=code, why="second instance", unexpected=code not in (0, 69, 71) and not self._service.forgives(code),
                           forbids_restart=False)

    def _walsender(self):
        with contextlib.suppress(psycopg.Error):
            return self._postgres.value("select pid from pg_stat_replication where application_name <> 'thief' and state = 'streaming'")
        return None
