"""A Markdown report as one HTML file with its figures inside, for programs that open no files beside it."""

import re
from base64 import b64encode
from collections.abc import Container
from html import escape
from pathlib import Path

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25em 0.8em; white-space: nowrap; }
pre { background: #f5f5f5; padding: 0.8em; white-space: pre-wrap; }
img { max-width: 100%; }
"""


def page(markdown: str, folder: Path) -> str:
    """Return a report as one page; its pictures are read from `figures` in its folder, and no others.

    MLflow, for one, shows the pictures within a page, but not files that Markdown refers to.
    """
    own = {f"{path.parent.name}/{path.name}": path for path in folder.glob("figures/*.png")}

    def embedded(found: re.Match[str]) -> str:
        return f'src="data:image/png;base64,{b64encode(own[found[1]].read_bytes()).decode()}"'

    body = re.sub(r'src="([^"]+)"', embedded, fragment(markdown, own))
    title = escape(markdown.partition("\n")[0].lstrip("# "))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}</body>\n</html>\n"
    )


def fragment(markdown: str, pictures: Container[str] = ()) -> str:
    """Return a text in Markdown as HTML, without anything around it.

    HTML within it is shown as it is written, and so is what leads elsewhere: links, and pictures but for these.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    parser.validateLink = lambda url: url in pictures  # type: ignore[method-assign]
    html: str = parser.render(markdown)
    return html
