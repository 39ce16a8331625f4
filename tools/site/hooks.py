"""What the site has beside docs/: pages that lie elsewhere in the repository, and the TypeScript client's API.

MkDocs calls the ``on_`` functions (https://www.mkdocs.org/user-guide/plugins/#events).
"""

import posixpath
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT: Final = Path(__file__).resolve().parent.parent.parent
# Pages and pictures that docs/ leads to; on the site they have the paths that they have in the repository.
_ELSEWHERE: Final = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bench/README.md",
    "bench/results/*.md",
    "bench/results/*.svg",
    "clients/js/README.md",
    "clients/python/README.md",
    "tests/fuzz/README.md",
)
_TYPESCRIPT: Final = "reference/typescript"  # written by TypeDoc before: Makefile
_MERMAID: Final = "assets/mermaid.js"
_LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:)[^)\s#]+")
_INHERITED: Final = re.compile(r"^#+ (?:Inherited from|Overrides)\n\n.+\n\n?", re.MULTILINE)
_DIAGRAM: Final = re.compile(r'<pre class="mermaid">.*?</pre>', re.DOTALL)
_ROLE: Final = re.compile(r":(?:class|meth|func|data):(?=<code>)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of each ``folder/*`` of the nav."""
    docs = (path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md"))
    config.nav = _expanded(config.nav or [], sorted([*docs, *_elsewhere()], key=_place))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/."""
    for path, source in _elsewhere().items():
        files.append(File.generated(config, path, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Have links lead to where the pages are on the site: a path from docs/ and one into it are no longer."""
    home = page.file.src_uri if page.file.src_uri in _elsewhere() else f"docs/{page.file.src_uri}"
    if page.file.src_uri.startswith(_TYPESCRIPT):
        return _INHERITED.sub("", markdown).replace(r"\<", "&lt;")  # which Python-Markdown does not know

    def led(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(home), link[0]))
        if path == "README.md":
            path = "index.md"
        return posixpath.relpath(path.removeprefix("docs/"), posixpath.dirname(page.file.src_uri) or ".")

    return _LINK.sub(led, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Take away the roles that the Python client's docstrings have before names; put diagrams into a frame."""
    return _DIAGRAM.sub(r'<div class="diagram">\g<0></div>', _ROLE.sub("", html))


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Give a page with diagrams what draws them, before the theme would fetch it from elsewhere; it has 2.5 MB."""
    if 'class="mermaid"' not in output:
        return output
    script = f'<script src="{get_relative_url(_MERMAID, page.url)}"></script>'
    return output.replace("</head>", f"{script}</head>", 1)


def _elsewhere() -> dict[str, Path]:
    """Return path on the site and file of what does not lie in docs/."""
    found = {path.relative_to(ROOT).as_posix(): path for pattern in _ELSEWHERE for path in sorted(ROOT.glob(pattern))}
    api = ROOT / ".local" / "typedoc"
    modules = (path for path in api.rglob("*.md") if path.name != "modules.md")
    found |= {f"{_TYPESCRIPT}/{path.relative_to(api).as_posix()}": path for path in modules}
    found[_MERMAID] = ROOT / "tools/site/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
    return found


def _place(path: str) -> tuple[bool, str]:
    """Return what pages are sorted by: the one that stands for its folder comes first."""
    return posixpath.basename(path) not in ("README.md", "index.md"), path


def _expanded(nav: Iterable[Any], paths: list[str]) -> list[Any]:
    """Return the nav with pages in the place of patterns."""
    listed: list[Any] = []
    for entry in nav:
        if isinstance(entry, str) and "*" in entry:
            listed += [path for path in paths if fnmatch(path, entry)]
        elif isinstance(entry, dict):
            ((title, below),) = entry.items()
            if isinstance(below, str) and "*" in below:
                below = [below]
            below = _expanded(below, paths) if isinstance(below, list) else below
            listed += [{title: below}] if below else []
        else:
            listed.append(entry)
    return listed
