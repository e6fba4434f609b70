"""sandbox.py UNIT COMMAND...: runs a command under the system call and socket filter of a systemd unit, as an unprivileged user.

systemd itself is not needed: the unit's SystemCallFilter, SystemCallErrorNumber=EPERM, RestrictAddressFamilies and
MemoryDenyWriteExecute become a seccomp filter of the same rules (systemd.exec(5)). x86-64 only.
"""

import ctypes
import errno
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys

NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
LOAD, EQUAL, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x45, 0x54, 0x06  # of <linux/bpf_common.h>, with BPF_W, BPF_ABS and BPF_K
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, THIRD_ARGUMENT = 0, 4, 16, 32  # offsets in struct seccomp_data
X86_64 = 0xC000003E
PROT_WRITE, PROT_EXEC = 2, 4
PR_SET_PDEATHSIG, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 1, 22, 2, 38


def available():
    return platform.machine() == "x86_64" and os.path.exists(NUMBERS) and shutil.which("systemd-analyze") is not None


def settings(unit, key):
    with open(unit, encoding="utf-8") as file:
        return re.findall(rf"^{key}=(.*)$", file.read(), re.M)


def call_groups():
    """{"@group": [names and other groups]}, as this systemd knows them."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True).stdout
    groups = {}
    for line in listed.splitlines():
        name = line.strip()
        if line.startswith("@"):
            members = groups.setdefault(name, [])
        elif name and not name.startswith("#"):
            members.append(name)
    return groups


def expanded(names, groups):
    return {call for name in names for call in (expanded(groups[name], groups) if name.startswith("@") else [name])}


def allowed_calls(unit):
    """Names: the first SystemCallFilter is what is allowed, with @default; one with a tilde takes away."""
    groups = call_groups()
    calls = expanded(["@default"], groups)
    for entry in settings(unit, "SystemCallFilter"):
        named = expanded(entry.lstrip("~").split(), groups)
        calls = calls - named if entry.startswith("~") else calls | named
    return calls


def filter_program(unit):
    with open(NUMBERS, encoding="ascii") as file:
        numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", file.read())}
    families = [getattr(socket, name).value for name in settings(unit, "RestrictAddressFamilies")[0].split()]

    def refuse(number):
        return (RETURN, 0, 0, REFUSE | number)

    def block(name, instructions):
        """Runs the instructions for that call and skips them for any other."""
        return [(EQUAL, 0, len(instructions), numbers[name]), *instructions]
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    known = [step for family in families for step in ((EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW))]
    program += block("socket", [(LOAD, 0, 0, FIRST_ARGUMENT), *known, refuse(errno.EAFNOSUPPORT)])
    program += block("mprotect", [(LOAD, 0, 0, THIRD_ARGUMENT), (ANY_BIT, 0, 1, PROT_EXEC), refuse(errno.EPERM), (RETURN, 0, 0, ALLOW)])
    program += block("mmap", [(LOAD, 0, 0, THIRD_ARGUMENT), (AND, 0, 0, PROT_WRITE | PROT_EXEC),
                              (EQUAL, 0, 1, PROT_WRITE | PROT_EXEC), refuse(errno.EPERM), (RETURN, 0, 0, ALLOW)])
    for name in sorted(allowed_calls(unit) & numbers.keys()):
        program += [(EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, ALLOW)]
    return [*program, refuse(errno.EPERM)]


def install(program):
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),  # a change of user took the one of wait.spawn() away
                      (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def main():
    unit, command = sys.argv[1], sys.argv[2:]
    program = filter_program(unit)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    install(program)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
