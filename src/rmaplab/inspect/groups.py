"""Rows by group: by cgroup, user, command, container or mapped file, and the total of all that is shown.

For `rmaplab.inspect.views`. Where processes are grouped the group is the owner: *exclusive* is what nobody outside of it
maps. Where mappings are (by file) the processes stay the owners.
"""

import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from rmaplab.inspect.family import common
from rmaplab.inspect.join import Index, regroup
from rmaplab.inspect.sharing import share
from rmaplab.inspect.sums import Row, Scope, Sums
from rmaplab.machine.live.proc import procfs

HOST: Final = "(host)"
_ID: Final = re.compile(r"(?:^|[-_:/])([0-9a-f]{64}|[0-9a-f]{32})(?:\.scope)?(?=/|$)")
_NAMED: Final = re.compile(r"(?:^|/)(?:machine-(?P<machine>[^/]+)\.scope|lxc(?:\.payload)?[./](?P<lxc>[^/]+))(?=/|$)")
_SHORT: Final = 12


def by_cgroup(scope: Scope) -> list[Row]:
    """One row a cgroup that has one of the targets."""
    return _by_owner(scope, "cgroup", scope.snapshot.cgroups)


def by_user(scope: Scope) -> list[Row]:
    """One row an effective user."""
    return _by_owner(scope, "user", [_user(mm.leader.pid) for mm in scope.snapshot.mms])


def by_command(scope: Scope) -> list[Row]:
    """One row a name of a program (comm)."""
    return _by_owner(scope, "command", [mm.leader.name for mm in scope.snapshot.mms])


def by_container(scope: Scope) -> list[Row]:
    """One row a container, told by the path of its cgroup."""
    return _by_owner(scope, "container", [container(path) for path in scope.snapshot.cgroups])


def container(cgroup: str) -> str:
    """The container that a cgroup's path names, by its short id (docker, podman, containerd, CRI-O, Kubernetes) or its
    name (LXC, systemd-nspawn); `HOST` if none."""
    if found := _ID.findall(cgroup):
        return str(found[-1][:_SHORT])
    if named := _NAMED.search(cgroup):
        return named["machine"] or named["lxc"]
    return HOST


def by_file(scope: Scope) -> list[Row]:
    """One row a file (or other name of a VMA) that a target maps: what is mapped of it, and how many processes do."""
    snapshot, vmas = scope.snapshot, scope.snapshot.vmas
    mine = np.isin(vmas.mm, snapshot.targets)
    names, of_vma = _distinct([vmas.name[i] or "[anon]" if mine[i] else "" for i in range(len(vmas))])
    of_vma = np.where(mine, of_vma, -1)
    sums = Sums.of(scope, of_vma, len(names))
    users = np.unique(np.stack((of_vma[mine], vmas.mm[mine])), axis=1)[0]
    count = np.bincount(users, minlength=len(names))
    made = []
    for index, name in enumerate(names):
        row = sums.row(index)
        if any(row.values()):
            made.append({"file": name, "processes": int(count[index])} | row | sums.trust(index))
    return made


def total(scope: Scope) -> Row:
    """All that is shown as one owner: `exclusive` and `uss` are what nobody else maps, `once` what they map, each page
    counted once."""
    snapshot = scope.snapshot
    inside = np.isin(np.arange(len(snapshot.mms)), snapshot.targets)
    row = _sums_of_owners(scope, np.where(inside, 0, np.arange(len(snapshot.mms)) + 1), len(snapshot.mms) + 1)
    processes = sum(len(snapshot.mms[mm].pids) for mm in snapshot.targets.tolist())
    once = {} if scope.mappings is not None else {"once": sum(common(snapshot).by_members)}
    return {"processes": processes} | row.row(0) | once | row.trust(0)


def _by_owner(scope: Scope, key: str, labels: Sequence[str]) -> list[Row]:
    snapshot = scope.snapshot
    names, of_mm = _distinct(labels)
    sums = _sums_of_owners(scope, of_mm, len(names))
    processes = np.bincount(of_mm, [len(mm.pids) for mm in snapshot.mms], len(names)).astype(np.int64)
    made = []
    for index in np.unique(of_mm[snapshot.targets]).tolist():
        made.append({key: names[index], "processes": int(processes[index])} | sums.row(index) | sums.trust(index))
    return made


def _sums_of_owners(scope: Scope, of_mm: Index, groups: int) -> Sums:
    """Sums over groups of processes, each of which is one owner."""
    snapshot, sharing = scope.snapshot, scope.snapshot.sharing
    owner = of_mm[sharing.owner]
    grouped = replace(
        share(sharing.extents, owner, regroup(sharing.joined, owner), sharing.folios),
        unseen=sharing.unseen,
        times=sharing.times,
    )
    return Sums.of(scope, of_mm[snapshot.vmas.mm], groups, grouped)


def _distinct(labels: Sequence[str]) -> tuple[list[str], Index]:
    """The different labels, in order, and which one each element has."""
    names = sorted(set(labels))
    place = {name: index for index, name in enumerate(names)}
    return names, np.array([place[label] for label in labels], np.int64)


def _user(pid: int) -> str:
    try:
        return _name(os.stat(procfs.PROC / str(pid)).st_uid)
    except OSError:
        return "?"


@lru_cache
def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
