"""Fixtures: servers and programs that are gone when the test is over. Their files stay if it failed."""

import itertools
import os
import re
import shutil
import tempfile

import pytest

from support import Kafka, Outboxx, Postgres, Proxy, Unavailable
from support import wait
from support.postgres import DEFAULT_VERSION

_kept = []
_numbers = itertools.count(1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.failed = True
        directory = getattr(item, "directory", None)
        if directory and call.when == "call":
            for folder, _, files in sorted(os.walk(directory)):
                report.sections += [(os.path.join(folder, name), wait.tail(os.path.join(folder, name)))
                                    for name in sorted(files) if name in ("outboxx.log", "postgres.log", "kafka.log")]


def pytest_terminal_summary(terminalreporter):
    for directory in _kept:
        terminalreporter.write_line(f"kept: {directory}")


@pytest.fixture(scope="session")
def session_directory(request):
    directory = wait.make_directory()
    yield directory
    for template in [name for name in os.listdir(directory) if name.startswith(("initdb-", "postgresql-"))]:
        shutil.rmtree(os.path.join(directory, template))
    if request.session.testsfailed:
        _kept.append(shutil.move(directory, tempfile.mkdtemp(prefix="outboxx-failed-")))
    else:
        shutil.rmtree(directory)


@pytest.fixture
def directory(request, session_directory):
    """The test's own directory: everything that it starts lives there. Kept, and named, if it failed."""
    name = re.sub(r"\W+", "-", request.node.name)[:24].strip("-")
    path = os.path.join(session_directory, f"{next(_numbers)}-{name}")
    os.mkdir(path)
    os.chmod(path, 0o755)
    request.node.directory = path
    yield path
    if not getattr(request.node, "failed", False):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def closing():
    """Closes what it is given when the test is over, the newest first, even if one of them fails to."""
    things = []

    def keep(thing):
        things.append(thing)
        return thing
    yield keep
    failures = []
    for thing in reversed(things):
        try:
            thing.close()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _or_skip(make):
    try:
        return make()
    except Unavailable as reason:
        return pytest.skip(str(reason))


@pytest.fixture
def start_postgres(directory, session_directory, closing):
    """start_postgres(version=..., fsync=False, settings={...}, ssl=False, hba=[...]): a running Postgres of the test's own."""
    def start(version=DEFAULT_VERSION, **options):
        path = os.path.join(directory, f"pg{len(os.listdir(directory))}")
        postgres = _or_skip(lambda: Postgres(path, version, template_root=session_directory, **options))
        return closing(postgres).start()
    return start


@pytest.fixture
def postgres(start_postgres):
    """A running PostgreSQL of the test's own, with default settings: version 15, or the one of OUTBOXX_TEST_PG."""
    return start_postgres()


@pytest.fixture
def start_kafka(directory, session_directory, closing):
    """start_kafka(listeners=[...], users={...}, properties={...}): a running broker of the test's own, to be stopped and
    killed. Costs a second; a test that leaves the broker in peace takes the fixture kafka.
    """
    def start(**options):
        path = os.path.join(directory, f"kafka{len(os.listdir(directory))}")
        broker = _or_skip(lambda: Kafka(path, certificate_root=session_directory, **options))
        closing(broker)
        return _or_skip(broker.start)
    return start


@pytest.fixture(scope="session")
def kafka(session_directory):
    """The broker that all tests of the session share: topics must be the test's own (fixture topic)."""
    broker = _or_skip(lambda: Kafka(os.path.join(session_directory, "kafka")))
    try:
        yield _or_skip(broker.start)
    finally:
        broker.close()


@pytest.fixture
def topic(request):
    """A topic name that no other test of the session has. The topic itself is made by whoever uses it first."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", request.node.name)[:80].strip("-")
    return f"{name}-{os.urandom(3).hex()}"


@pytest.fixture
def make_outboxx(directory, closing):
    """make_outboxx(postgres, kafka, [stream(...)], config={...}, ...): an Outboxx, see there; start() it."""
    def make(*arguments, **options):
        path = os.path.join(directory, f"outboxx{len(os.listdir(directory))}")
        return closing(Outboxx(path, *arguments, **options))
    return make


@pytest.fixture
def make_proxy(closing):
    """make_proxy("127.0.0.1:5432"): a Proxy in front of that address."""
    return lambda target: closing(Proxy(target))
