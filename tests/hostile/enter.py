"""Goes to a place (namespaces, mounts, capabilities, user), then becomes `rmaplab` or another command.

Run by `places.Place` as a program: argv[1] is the place as JSON, the rest is the command; "rmaplab" is run in this very
process, imported before anything is given up: who has no rights may be unable to read Python's own modules.
"""

import ctypes
import json
import os
import sys
from importlib import import_module
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID = 0x20000, 0x10000000, 0x20000000
REC_PRIVATE = 0x44000
BIND = 0x1000
CAPABILITIES = {
    "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "KILL": 5, "SETUID": 7, "SETPCAP": 8, "SYS_PTRACE": 19, "SYS_ADMIN": 21,
    "SYS_RESOURCE": 24, "PERFMON": 38, "BPF": 39,
}  # fmt: skip
NOBODY = 65534


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _unshare(flags: int, what: str) -> None:
    _check(LIBC.unshare(flags), f"unshare({what})")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    """mount(2)."""
    words = [os.fsencode(word) if word is not None else None for word in (source, target, kind, data)]
    _check(LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def _own_mounts() -> None:
    _unshare(NEWNS, "mounts")
    mount("none", "/", None, REC_PRIVATE, None)


def _in_child() -> None:
    """Go on in a child (a PID namespace begins with the next one); the parent passes its end on."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)


def _drop(names: list[str]) -> None:
    """Give capabilities up, also for what is executed later."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    header, words = Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _check(LIBC.capget(ctypes.byref(header), words), "capget")
    for name in names:
        bit = CAPABILITIES[name]
        _check(LIBC.prctl(24, bit, 0, 0, 0), f"prctl(PR_CAPBSET_DROP, {name})")
        for kind in range(3):
            words[kind + 3 * (bit // 32)] &= ~(1 << bit % 32)
    _check(LIBC.capset(ctypes.byref(header), words), "capset")


def enter(place: dict[str, Any]) -> None:
    """Do what the place says, in the one order in which all of it is still allowed."""
    if place["user_namespace"]:
        uid, gid = os.getuid(), os.getgid()
        _unshare(NEWUSER, "users")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    own_proc = place["own_pids"] or place["pids_of"] or place["hidepid"]
    if own_proc or place["small"] or place["binds"] or place["tmpfs"]:
        _own_mounts()
    if place["pids_of"]:
        file = os.open(f"/proc/{place['pids_of']}/ns/pid", os.O_RDONLY)
        _check(LIBC.setns(file, NEWPID), "setns(pid)")
        os.close(file)
    elif place["own_pids"]:
        _unshare(NEWPID, "pids")
    if place["own_pids"] or place["pids_of"]:
        _in_child()
    if own_proc:
        mount("proc", "/proc", "proc", 0, f"hidepid={place['hidepid']}" if place["hidepid"] else None)
    for path in place["tmpfs"]:
        mount("none", path, "tmpfs", 0, "mode=777")
    for path, size in place["small"]:
        mount("none", path, "tmpfs", 0, f"size={size},mode=777")
    for source, target in place["binds"]:
        mount(source, target, None, BIND, None)
    if place["without"]:
        _drop(place["without"])
    if place["nobody"]:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def main() -> None:
    """Enter, then be the command."""
    place, command = json.loads(sys.argv[1]), sys.argv[2:]
    if command[0] != "rmaplab":
        enter(place)
        os.execvp(command[0], command)
    app = import_module("rmaplab.cli.app")
    for name in app.COMMANDS:
        import_module(f"rmaplab.cli.{name.replace('-', '_')}")
    enter(place)
    sys.argv = command
    app.main()


if __name__ == "__main__":
    main()
