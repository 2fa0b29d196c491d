"""Hooks of mkdocs: pages nobody listed come into the navigation, links into the repository become pages of the site.

For mkdocs.yml. A page under docs/ may link to any file of the repository (`../core/packed.h`): it is shown as a page
below `source/`, so that the site is whole without a repository beside it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]*)(#[^)\s]*)?(\))")
_LANGUAGES = {".h": "c", ".c": "c", ".py": "python", ".v": "coq", ".yml": "yaml", ".toml": "toml"}


def on_config(config: Any) -> Any:
    """Add what `nav` does not name."""
    named = re.findall(r"[\w/-]+\.md", str(config.nav))
    rest = sorted(path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in named)
    config.nav.append({"In depth": rest})
    return config


def on_files(files: Any, config: Any) -> Any:
    """A page for every file of the repository that some page links to."""
    wanted = set()
    for page in Path(config.docs_dir).glob("*.md"):
        wanted |= {link[1] for link in LINK.findall(page.read_text())}
    for target in sorted(wanted):
        inside = posixpath.normpath(posixpath.join("docs", target))
        if (ROOT / inside).exists():
            files.append(File.generated(config, f"source/{_page(inside)}", content=_shown(inside)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of docs/ go to those pages."""
    if page.file.src_uri.startswith("source/"):
        return markdown

    def inside(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", link[2]))
        if not (ROOT / target).exists():
            return link[0]
        return f"{link[1]}source/{_page(target)}{link[4]}"

    return LINK.sub(inside, markdown)


def _page(inside: str) -> str:
    return f"{inside.replace('/', '-').replace('.', '-')}.md"


def _shown(inside: str) -> str:
    path = ROOT / inside
    if path.is_dir():
        names = [f"- `{one.name}`" for one in sorted(path.iterdir()) if not one.name.startswith((".", "__"))]
        return "\n".join([f"# {inside}/", "", "A folder of the repository:", "", *names, ""])
    text = path.read_text(errors="replace")
    if path.suffix == ".md":
        return re.sub(r"\]\((?!https?:)[^)]*\)", "]", text).replace("![", "[")
    return f"# {inside}\n\n~~~~ {_LANGUAGES.get(path.suffix, 'text')}\n{text}\n~~~~\n"
