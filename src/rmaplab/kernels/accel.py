"""May QEMU use KVM here? Asked by booting a guest, once a boot of the host.

For the guest. A device file that can be opened says little: in some hypervisors small guests run and kernels do not.
"""

import json
import os
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cache, initramfs, qemu
from rmaplab.kernels.image import Image
from rmaplab.kernels.progress import say

_DEVICE: Final = Path("/dev/kvm")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
PATIENCE: Final = 15.0
"""Seconds in which a guest under KVM must say something from user space."""


def choose(image: Image) -> qemu.Accelerator:
    """ "kvm" if a guest boots under it, else "tcg"."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    known = cache.root() / "accelerator.json"
    boot = _BOOT_ID.read_text().strip()
    key = f"{boot} {image.title}"
    answers: dict[str, qemu.Accelerator] = {}
    if known.exists():
        answers = {name: answer for name, answer in json.loads(known.read_text()).items() if name.startswith(boot)}
    if key not in answers:
        answers[key] = "kvm" if _boots(image) else "tcg"
        new = known.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(answers))
        new.replace(known)
    return answers[key]


def _boots(image: Image) -> bool:
    settings = {"lab/settings": b"ROOT=none\n", "lab/run": b"#!/bin/sh\ntrue\n"}
    data = initramfs.make(image, settings)
    hardware = qemu.Hardware(memory=512, root=False, disk=False)
    try:
        with qemu.running(image.kernel, data, "", hardware, ("out", "err", "end"), "kvm") as (sockets, _):
            sockets["end"].settimeout(PATIENCE)
            return sockets["end"].recv(64) == b"exit 0\n"
    except TimeoutError:
        return False
    except NotAvailable as died:  # QEMU itself, where the hypervisor below refuses what it asks of KVM
        say(f"KVM is no help here: {str(died).splitlines()[0]}")
        return False
