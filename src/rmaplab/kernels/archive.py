"""Debian's archive: packages of suites the system does not list, through the ordinary apt client.

For the images and trees of the room. A private apt configuration leaves the system's own alone; the mirror is the one
the system uses. Signatures are checked where the system's keyring knows the suite, and it is said where it does not.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rmaplab.errors import NotAvailable
from rmaplab.kernels import cache
from rmaplab.kernels.entries import Package
from rmaplab.kernels.progress import say

_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SECURITY: Final = "-security"
"""How suites end that stand on the mirror of security updates."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite whose index is here, for `apt-cache` and `apt-get download`. `signed`: its signature was checked."""

    name: str
    config: Path
    signed: bool

    def newest(self, package: Package) -> str:
        """The newest package whose name matches. Raises NotAvailable."""
        names = _apt(self.config, "apt-cache", "pkgnames").split()
        found = [name for name in names if re.fullmatch(package.name, name)]
        if not found:
            raise NotAvailable(f"Debian's {self.name} has no package {package.name}")
        return max(found, key=_numbers)

    def needs(self, package: str) -> list[str]:
        """The package and what of the kernel it is split into (linux-binary-*, linux-modules-*)."""
        version = package.removeprefix("linux-image-")
        shown = _apt(self.config, "apt-cache", "show", "--no-all-versions", package)
        depends = re.findall(rf"linux-(?:binary|modules)-{re.escape(version)}", shown)
        return [package, *dict.fromkeys(depends)]

    def download(self, packages: Sequence[str], into: Path) -> list[Path]:
        """The packages' files. A file that is there in part is continued. Raises NotAvailable."""
        into.mkdir(parents=True, exist_ok=True)
        _apt(self.config, "apt-get", "download", *packages, at=into)
        files = [path for name in packages for path in into.glob(f"{name}_*.deb")]
        if len(files) < len(packages):
            raise NotAvailable(f"{', '.join(packages)}: apt-get download left {len(files)} files")
        return files


def suite(name: str) -> Suite:
    """The suite with its index fetched. Raises NotAvailable where there is no apt, no mirror or no network."""
    if not shutil.which("apt-get"):
        raise NotAvailable("Debian's kernels: no apt-get: this is not a Debian system; --kernel DIRECTORY works")
    with cache.locked(f"suite-{name}"):
        place = cache.root() / "apt" / name
        for directory in ("lists/partial", "archives/partial"):
            (place / directory).mkdir(parents=True, exist_ok=True)
        config = place / "apt.conf"
        cache.check_room(place)
        say(f"reading the index of Debian's {name}")
        try:
            _update(place, config, name, "")
            return Suite(name, config, signed=True)
        except _Unsigned:
            say(f"Debian's {name}: its signature is NOT checked: no key for it in {_KEYRING.name}")
            _update(place, config, name, "trusted=yes")
            return Suite(name, config, signed=False)


class _Unsigned(Exception):
    """The keyring does not know who signed a suite."""


def _update(place: Path, config: Path, name: str, option: str) -> None:
    options = " ".join(word for word in (option, f"signed-by={_KEYRING}" if _KEYRING.exists() else "") if word)
    (place / "sources.list").write_text(f"deb [{options}] {_mirror(name)} {name} main\n".replace("[] ", ""))
    config.write_text(
        f'Dir::Etc::sourcelist "{place}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::lists "{place}/lists";\nDir::Cache "{place}";\n'
        'Acquire::Retries "3";\nAPT::Sandbox::User "";\nAPT::Default-Release "";\n'
    )
    made = subprocess.run(
        ["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update"],
        env=_environment(config),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        if not option and re.search(r"NO_PUBKEY|EXPKEYSIG|not signed", made.stderr):
            raise _Unsigned
        raise NotAvailable(f"Debian's {name}: cannot be read: {_first_error(made.stderr)}")


def _mirror(suite: str) -> str:
    """The address of the mirror the system uses for suites like this one."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info", "--format", "$(SITE)|$(RELEASE)"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    security = suite.endswith(_SECURITY)
    for target in targets:
        site, _, release = target.partition("|")
        if "debian" in site and release.endswith(_SECURITY) == security:
            return site
    raise NotAvailable(f"Debian's {suite}: the system's apt configuration names no mirror for it")


def _apt(config: Path, *command: str, at: Path | None = None) -> str:
    made = subprocess.run(command, cwd=at, env=_environment(config), capture_output=True, text=True, check=False)
    if made.returncode:
        raise NotAvailable(f"{' '.join(command[:3])}: {_first_error(made.stderr)}")
    return made.stdout


def _environment(config: Path) -> dict[str, str]:
    return {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}


def _first_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("E:")] or stderr.splitlines() or ["no message"]
    return lines[0].strip()


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", name))


def fetch(package: Package, *, split: bool, into: Path) -> tuple[list[Path], str]:
    """The files of the newest package that matches (with `split`, of its parts too), and a line on where they came from.

    Raises NotAvailable.
    """
    place = suite(package.suite)
    name = place.newest(package)
    packages = place.needs(name) if split else [name]
    say(f"fetching {', '.join(packages)} from Debian's {package.suite}")
    files = place.download(packages, into)
    origin = {"package": [file.name for file in files], "suite": package.suite, "signature_checked": place.signed}
    return files, json.dumps(origin)
