"""Words of others in reports: shown as they are written, in Markdown and on pages."""

from base64 import b64encode
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from nnexp.report.html import fragment, page
from nnexp.report.markdown import block, code, escaped, table

HOSTILE = [
    "![x](https://there/a.png)",
    "`a`![x](https://there/a.png)",
    "```![x](https://there/a.png)`",
    "` `` `![x](https://there/a.png)`",
    "`` a `x`` ![x](https://there/a.png) `",
    r"\![x\](https://there/a.png)",
    "[here](https://there)",
    "[x][y]\n\n[y]: https://there",
    "[y]: https://there",
    "<script>alert(1)</script>",
    "<https://there>",
    "a | b\n# heading\n\n<img src=x>",
    "\x1b]8;;https://there\x07here\x1b]8;;\x07",
]


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("form", [escaped, code, lambda words: table(("a", "b"), [(words, code(words))])])
def test_any_words_are_only_words(words: str, form: object) -> None:
    assert callable(form)
    html = MarkdownIt("commonmark").enable("table").render(f"{form(words)}\n\nthe end")
    assert not any(sign in html for sign in ("<img", "<a ", "<script", "<h1", "\x1b"))
    assert html.endswith("<p>the end</p>\n")


def test_what_is_harmless_is_as_it_was() -> None:
    words = "hidden=[16, 8] of `a[0](1)`: p < .05, 2 * 3 > 5 & x_1 | y"
    assert escaped(words) == words
    assert "<td>hidden=[16, 8] of <code>a[0](1)</code>: p &lt; .05" in fragment(table(("a",), [(words,)]))
    assert fragment(block("python 'a\n\n# b'")) == "<pre><code>python 'a\n\n# b'\n</code></pre>\n"


def test_a_page_embeds_pictures_of_its_own_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "own.png").write_bytes(b"own")
    (tmp_path / "secret.png").write_bytes(b"secret")
    others = [
        "secret.png",
        "figures/../secret.png",
        str(tmp_path / "secret.png"),
        "https://there/a.png",
        "figures/no.png",
    ]
    text = "\n\n".join(["# <b>a</b> & b", "![own](figures/own.png)", *(f"![other]({name})" for name in others)])
    html = page(text, tmp_path)
    assert "<title>&lt;b&gt;a&lt;/b&gt; &amp; b</title>" in html
    assert html.count("<img") == 1
    assert f'src="data:image/png;base64,{b64encode(b"own").decode()}"' in html
