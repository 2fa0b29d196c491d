"""From what somebody wishes to something that boots.

For `rmaplab kernel`, the lab machine and tests.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from rmaplab.kernels import image, qemu
from rmaplab.kernels.assemble import assembled
from rmaplab.kernels.entries import Wish
from rmaplab.kernels.image import Image


@dataclass(frozen=True, slots=True)
class Bootable:
    """An image, and what its command line must say."""

    image: Image
    append: str = ""


def bootable(wish: Wish) -> Bootable:
    """What `wish` names, fetched and built where needed. Raises NotAvailable, RmaplabError."""
    append = "" if wish.scheme is None else f"rmap_scheme={wish.scheme}"
    if isinstance(wish.kernel, Path):
        return Bootable(image.built(wish.kernel), append)
    flavour = wish.built_as
    if flavour is None:
        return Bootable(image.debian(wish.kernel), append)
    qemu.check()  # before minutes go into a kernel that cannot boot
    made = image.built(assembled(wish.kernel, flavour, wish.extras))
    return Bootable(replace(made, title=str(replace(wish, scheme=None, flavour=flavour))), append)
