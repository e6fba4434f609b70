"""The commands beside `run`: what they print, and how they end."""

import json
import os
import signal
import socket
import subprocess

import pytest

from support import stream, wait, wait_until
from support.outboxx import binary

SLOT = "outboxx_slot"
CREATE_SLOT = f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"
WAITING = [("check",), ("check", "--json"), ("slot", "show"), ("slot", "drop", "--confirm", SLOT)]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def silent(closing):
    """A server that takes connections and says nothing."""
    return closing(socket.create_server(("127.0.0.1", 0)))


def interrupted(outboxx, silent, arguments, number):
    """The command, ended by the signal while it waits for the server: (exit code, standard output, standard error)."""
    process = wait.spawn([binary(), *arguments, "--config", outboxx.config_path], env={**os.environ, **outboxx._env},
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    silent.settimeout(20)
    connection, _ = silent.accept()
    with connection:
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    return wait.reap(process), out, err


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("arguments", WAITING, ids=" ".join)
def test_interrupted_command_is_no_success(arguments, number, silent, make_outboxx):
    """A script that goes on after `check` or `slot drop` believes that they did their work."""
    outboxx = make_outboxx(f"host=127.0.0.1 port={silent.getsockname()[1]}", None, [stream("public.items")])

    code, out, err = interrupted(outboxx, silent, arguments, number)

    assert code == 128 + number
    assert "interrupted" in err and "checks failed" not in err
    if "--json" in arguments:
        report = json.loads(out)
        assert not report["ok"]
        assert {check["exit_code"] for check in report["checks"] if check["status"] == "failed"} == {128 + number}


@pytest.mark.parametrize("arguments", [("slot", "show"), ("slot", "drop", "--confirm", SLOT)], ids=" ".join)
def test_report_that_cannot_be_written_is_no_success(arguments, postgres, make_outboxx):
    """A full disk leaves an empty report; with 0, whoever reads it later takes it for the truth."""
    postgres.execute(CREATE_SLOT)
    outboxx = make_outboxx(postgres, None, [stream("public.items")])
    with open("/dev/full", "wb") as full:
        process = wait.spawn([binary(), *arguments, "--config", outboxx.config_path], env={**os.environ, **outboxx._env},
                             stdout=full, stderr=subprocess.PIPE, text=True)
        _, err = process.communicate(timeout=20)
    assert wait.reap(process) == 74
    assert "could not write to standard output" in err


def test_check_as_json_shows_no_password_that_stands_in_a_wrong_place(make_outboxx):
    """A connection string that is pasted into the wrong line must not go on into what reads the report."""
    misplaced = {"source.postgres.slot_name": "postgres://app:hunter2@db/shop"}
    outboxx = make_outboxx("host=127.0.0.1", None, [stream("public.items")], config=misplaced)

    for arguments in (("check",), ("check", "--json")):
        run = outboxx.command(*arguments)
        assert run.returncode == 65
        assert "slot_name" in run.stdout and "postgres://app:***@db/shop" in run.stdout
        assert "hunter2" not in run.stdout + run.stderr


def test_hint_of_an_unreachable_server_names_the_file_with_the_connection_string(make_outboxx, directory):
    path = os.path.join(directory, "conninfo")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"host=127.0.0.1 port={wait.free_port()}\n")
    os.chmod(path, 0o600)
    outboxx = make_outboxx("", None, [stream("public.items")],
                           config={"source.postgres.connection_env": None, "source.postgres.connection_file": path})
    run = outboxx.command("slot", "show")
    assert run.returncode == 69
    assert f'the connection string in file "{path}" names its host and port' in run.stderr


def shown(outboxx):
    run = outboxx.command("slot", "show")
    assert run.returncode == 0, run.stderr
    return {line[:22].rstrip(): line[22:] for line in run.stdout.splitlines()}


def test_slot_show_of_a_slot_that_is_lost(start_postgres, make_outboxx):
    """It has no restart_lsn and no safe_wal_size: not all of the WAL is kept for it, and not all that comes will be."""
    postgres = start_postgres(settings={"max_slot_wal_keep_size": "16MB"})
    outboxx = make_outboxx(postgres, None, [stream("public.items")])
    postgres.execute(CREATE_SLOT)
    well = shown(outboxx)
    assert int(well["kept on disk, bytes"]) > 0 and int(well["may be written, bytes"]) > 0
    postgres.execute(*["select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()"] * 4, "checkpoint")
    wait_until(lambda: postgres.slot(SLOT)["wal_status"] == "lost", 20, "the slot is lost")

    lost = shown(outboxx)

    assert lost["wal_status"] == "lost"
    assert lost["kept on disk, bytes"] == "0"
    assert lost["may be written, bytes"] == "0"
    assert int(lost["not confirmed, bytes"]) > 3 * 2**24
