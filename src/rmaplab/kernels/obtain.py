"""From what somebody wishes to something that boots.

For `rmaplab kernel`, the lab machine and tests.
"""

from dataclasses import dataclass
from pathlib import Path

from rmaplab.errors import NotAvailable
from rmaplab.kernels import image
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
    if wish.scheme is None and not wish.debug:
        return Bootable(image.debian(wish.kernel), append)
    raise NotAvailable(
        f"{wish}: not built by itself: rmaplab kernel patch TREE --into DIR, rmaplab kernel build --kernel DIR "
        "--into OUT, then --kernel OUT"
    )
