"""What `--kernel` asks for: names, schemes, flavours; and what a patched kernel's price is compared with."""

from pathlib import Path

import pytest
from tests.commands import rmaplab

from rmaplab.errors import NotAvailable, RmaplabError
from rmaplab.kernels import assemble, cache, image, obtain, qemu
from rmaplab.kernels.bench import Cost, compare
from rmaplab.kernels.build import build, configuration, default_flavour
from rmaplab.kernels.entries import EXTRAS, FLAVOURS, parse
from rmaplab.kernels.image import Image
from rmaplab.kernels.qemu import Hardware

KEPT = (".config", "built.json", "vmlinuz")


@pytest.mark.parametrize(
    ("text", "flavour", "scheme"),
    [
        ("7.3", None, None),
        ("7.3,scheme=packed", "many", "packed"),
        ("7.3,scheme=packed,flavour=stats", "stats", "packed"),
        ("7.3,flavour=one", "one", "moments-flag"),
        ("7.3,flavour=shipped", "shipped", None),
        ("7.3,debug", "shipped", None),
        ("7.3,scheme=packed,bare,races", "many", "packed"),
    ],
)
def test_a_kernel_is_built_as_what_its_name_asks_for(text: str, flavour: str | None, scheme: str | None) -> None:
    wish = parse(text)
    assert (wish.built_as, wish.answers_by) == (flavour, scheme)
    assert parse(str(wish)) == wish


@pytest.mark.parametrize(
    "text",
    [
        "7.3,flavour=two",
        "7.3,flavour=one,scheme=packed",
        "7.3,flavour=shipped,scheme=packed",
        ".,flavour=many",
        ".,debug",
        "7.3,debug,races",
        "7.3,naked",
    ],
)
def test_what_contradicts_itself_is_refused(text: str) -> None:
    with pytest.raises(RmaplabError, match="must"):
        parse(text)


def test_a_tree_without_schemes_is_not_built_with_them(tmp_path: Path) -> None:
    for name in ("Kbuild", "mm/rmap.c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert default_flavour(tmp_path) == "shipped"
    with pytest.raises(RmaplabError, match="is not patched"):
        build(tmp_path, tmp_path / "out", "many")
    assert not (tmp_path / "out").exists()
    (tmp_path / "mm/rmaplab").mkdir()
    assert default_flavour(tmp_path) == "many"


def test_a_name_with_a_scheme_is_put_together_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the compiler: the place of the tree, the flavour, and what of a build is kept."""
    built: list[tuple[str, str, list[str]]] = []

    def compile_nothing(source: Path, into: Path, flavour: str, extras: frozenset[str], log: Path) -> Path:
        assert not log.is_relative_to(into)
        built.append((source.name, flavour, sorted(extras)))
        for name in (*KEPT, "vmlinux.o"):
            (into / name).write_text("x")
        return into

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(assemble, "build", compile_nothing)
    monkeypatch.setattr(assemble, "patched", lambda name: tmp_path / name)
    monkeypatch.setattr(assemble, "check_tools", lambda: None)
    monkeypatch.setattr(qemu, "check", lambda: "qemu")
    for _ in range(2):
        boots = obtain.bootable(parse("7.3,scheme=packed"))
        assert sorted(path.name for path in boots.image.kernel.parent.iterdir()) == sorted(KEPT)
        assert (boots.image.title, boots.append) == ("7.3,flavour=many", "rmap_scheme=packed")
    obtain.bootable(parse("7.3,flavour=one,debug"))
    obtain.bootable(parse("7.3,scheme=packed,bare"))
    assert built == [("7.3", "many", []), ("7.3", "one", ["debug"]), ("7.3", "many", ["bare"])]
    assert not [path for path in cache.root().iterdir() if path.name.startswith(".")]


def test_no_build_begins_without_what_boots_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailable, match="qemu"):
        obtain.bootable(parse("7.3,scheme=packed"))
    with pytest.raises(NotAvailable, match="gcc"):
        assemble.assembled("7.3", "many")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build", "--kernel", "7.3", "--flavour", "two"), "--flavour: two: must be one of"),
        (("build", "--kernel", "7.3,scheme=packed"), "must come without options here"),
        (("bench", "--kernel", "7.3", "--scheme", "off", "--plot", "x.svg"), "--plot: draws changes: must come with"),
        (("boot", "--kernel", "7.3,flavour=shipped", "--scheme", "packed"), "must come without flavour=shipped"),
        (("test", "--kernel", "7.3", "--only", "witness", "--orders", "4"), "must come without --only witness"),
        (("test", "--kernel", "7.3", "--only", "selftests", "--programs", "cows"), "--programs: 'cows'"),
    ],
)
def test_what_makes_no_sense_is_one_line(words: tuple[str, ...], said: str) -> None:
    ended = rmaplab("kernel", *words)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert said in ended.stderr


def test_every_flavour_but_the_shipped_one_turns_the_schemes_on() -> None:
    assert {name for name, lines in FLAVOURS.items() if "CONFIG_RMAPLAB=y" in lines} == set(FLAVOURS) - {"shipped"}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_ids_are_checked_where_prices_do_not_matter(flavour: str) -> None:
    for extras in (frozenset[str](), *(frozenset([extra]) for extra in EXTRAS)):
        checked = "CONFIG_RMAPLAB_DEBUG=y" in configuration(flavour, extras).splitlines()
        assert checked == (bool(extras) and flavour != "shipped")


def test_another_kernel_is_the_yardstick_where_one_is_given() -> None:
    own = [Cost("shipped", None, "fork", 9, 1000, 10)]
    own_row, row = compare([Cost("one", "moments-flag", "fork", 9, 1010, 11)], own)
    assert (own_row.ratio_off, row.ratio_off, row.locked_off) == (1.0, 1.01, 10)
    (alone,) = compare([Cost("one", "moments-flag", "fork", 9, 1010, 11)])
    assert alone.ratio_off is None


def test_nodes_share_cpus_and_memory() -> None:
    words = " ".join(Hardware(memory=2048, cpus=4, nodes=2).options)
    assert "4,sockets=2" in words
    assert "cpus=2-3" in words
    assert words.count("size=1024M") == 2


def test_a_built_kernel_has_its_place_for_a_title(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").touch()
    assert image.built(tmp_path) == Image(tmp_path / "vmlinuz", (), str(tmp_path))
