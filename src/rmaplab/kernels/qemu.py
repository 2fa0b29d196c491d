"""One QEMU process: its command line, its channels, and its end.

For the guest. QEMU gets everything through descriptors that have no name anywhere, and dies with whoever started it, so
nothing stays on any way out.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from rmaplab.errors import NotAvailable

Accelerator = Literal["kvm", "tcg"]
PROGRAM: Final = "qemu-system-x86_64"
TERMINAL: Final = "terminal"
"""The channel that is a terminal."""

_APPEND: Final = (
    "console=ttyS0 panic=-1 oops=panic no_timer_check mitigations=off random.trust_cpu=on rdinit=/init "
    "proc_mem.force_override=always"
)
"""The last: some are built to refuse writes by force (FOLL_FORCE) through /proc/PID/mem to all but debuggers."""
_COUNTED: Final = "norandmaps nokaslr"
_CPU: Final[Mapping[Accelerator, str]] = {"kvm": "host", "tcg": "max"}
_DISK: Final = 2 << 30
"""Bytes of the guest's disk, of which only what is written takes room."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a guest has. `memory` in MiB; `root`: the host's files, read only; `disk`: an empty ext4 file system; `nodes`:
    NUMA nodes, which share the memory and the CPUs evenly."""

    memory: int = 2048
    cpus: int = 1
    root: bool = True
    disk: bool = True
    nodes: int = 1

    def __post_init__(self) -> None:
        assert self.cpus % self.nodes == 0
        assert self.memory % self.nodes == 0

    @property
    def options(self) -> list[str]:
        """What QEMU gets for the memory, the CPUs, the nodes and the host's files."""
        words = ["-m", str(self.memory), "-smp", f"{self.cpus},sockets={self.nodes}"]
        if self.nodes > 1:
            share = self.cpus // self.nodes
            for node in range(self.nodes):
                cpus = f"cpus={node * share}-{(node + 1) * share - 1}"
                words += ["-object", f"memory-backend-ram,id=m{node},size={self.memory // self.nodes}M"]
                words += ["-numa", f"node,nodeid={node},memdev=m{node},{cpus}"]
        if self.root:
            words += ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"]
            words += ["-device", "virtio-9p-pci,fsdev=root,mount_tag=root"]
        return words


@dataclass(frozen=True, slots=True)
class Counting:
    """Count what the guest executes: `plugin` is count.c, compiled; its lines go to `out`. Emulation only. The guest's
    clock is the number of its instructions then, and nothing about it is random."""

    plugin: Path
    out: Path

    @property
    def options(self) -> list[str]:
        """What QEMU gets for it."""
        clock = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]
        return [*clock, "-plugin", f"file={self.plugin},out={self.out}"]


def check() -> str:
    """The path of QEMU. Raises NotAvailable."""
    found = shutil.which(PROGRAM)
    if not found:
        raise NotAvailable(f"no {PROGRAM}: booting a kernel needs QEMU (Debian: qemu-system-x86)")
    return found


@contextmanager
def running(
    kernel: Path,
    initramfs: bytes,
    append: str,
    hardware: Hardware,
    channels: tuple[str, ...],
    accelerator: Accelerator,
    counting: Counting | None = None,
) -> Iterator[tuple[dict[str, socket.socket], BinaryIO]]:
    """QEMU: the host's ends of `channels`, and the file its console grows in. Killed at the end. Raises NotAvailable.

    A channel is a virtio port of its name; TERMINAL is a terminal, hvc0. The console is a file because a serial port
    drops what its reader does not take at once.
    """
    command = [*_machine(accelerator, hardware, counting), "-kernel", str(kernel)]
    command += ["-append", f"{_APPEND} {append} {_COUNTED if counting else ''}".strip()]
    with (
        _memory(initramfs) as image,
        _memory(b"") as console,
        tempfile.TemporaryFile() as disk,
        tempfile.TemporaryFile() as complaints,
        ExitStack() as ours,
        ExitStack() as theirs,
    ):
        command += ["-initrd", _path(image.fileno()), "-device", "virtio-serial-pci,max_ports=16"]
        command += ["-chardev", f"file,id=console,path={_path(console.fileno())}", "-serial", "chardev:console"]
        sockets, descriptors = {}, [image.fileno(), console.fileno(), disk.fileno()]
        for name in channels:
            one, other = socket.socketpair()
            sockets[name] = ours.enter_context(one)
            descriptors.append(theirs.enter_context(other).fileno())
            command += ["-chardev", f"socket,id={name},fd={other.fileno()}"]
            kind = "virtconsole" if name == TERMINAL else "virtserialport"
            command += ["-device", f"{kind},chardev={name},name={name}"]
        if hardware.disk and _format(disk):
            command += ["-drive", f"file={_path(disk.fileno())},format=raw,if=none,id=disk,cache=unsafe"]
            command += ["-device", "virtio-blk-pci,drive=disk"]
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            pass_fds=descriptors,
            start_new_session=True,
        )
        try:
            theirs.close()
            yield sockets, console
            if process.poll() not in (None, 0):
                complaints.seek(0)
                raise NotAvailable(f"{PROGRAM}: {complaints.read().decode(errors='replace').strip()[-300:]}")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _machine(accelerator: Accelerator, hardware: Hardware, counting: Counting | None) -> list[str]:
    """QEMU with a machine, before what it boots. Raises NotAvailable."""
    command = [check(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-machine", "q35,mem-merge=off"]  # a guest whose memory KSM may merge would keep machines here from KSM
    cpu = _CPU[accelerator]
    if counting:
        # Without fast string operations the kernel copies in loops of its own, whose instructions count one by one.
        cpu = f"{cpu},-erms,-fsrm"
        command += counting.options
    return [*command, "-accel", accelerator, "-cpu", cpu, *hardware.options]


@contextmanager
def _memory(contents: bytes) -> Iterator[BinaryIO]:
    with open(os.memfd_create("guest"), "w+b", buffering=0) as file:
        os.ftruncate(file.fileno(), len(contents))
        file.write(contents)
        yield file


def _format(disk: BinaryIO) -> bool:
    """An ext4 file system on a new disk; without mkfs.ext4 there is none, and no disk."""
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if not mkfs:
        return False
    disk.truncate(_DISK)
    made = subprocess.run(
        [mkfs, "-q", "-F", _path(disk.fileno())], pass_fds=[disk.fileno()], capture_output=True, check=False
    )
    return made.returncode == 0


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
