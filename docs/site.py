"""Hooks of MkDocs: pages link to files of the repository as GitHub shows them, and the site has the pictures too."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r'(!?)\[([^\]]*)\]\(\.\./([^)#]+)(#[^)]*)?\)')
SHOWN = {'.png', '.jpg', '.svg', '.json'}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pictures and records of ``results/`` become part of the site."""
    for path in sorted((ROOT / 'results').rglob('*')):
        if path.suffix in SHOWN:
            files.append(File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """``../results/x.png`` is ``results/x.png`` there; other files of the repository are named without a link."""

    def place(match: re.Match[str]) -> str:
        mark, text, path, anchor = match.groups(default='')
        return f'{mark}[{text}]({path}{anchor})' if files.get_file_from_path(path) else text

    return LINK.sub(place, markdown)
