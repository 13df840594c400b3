"""Text from telemetry where no browser is: chats, tickets, templates, terminals. It calls nobody and opens nothing."""

from __future__ import annotations

import re
import unicodedata

import pytest
from markdown_it import MarkdownIt

from analyzer.reports.chat_text import calls_nobody, for_chat
from analyzer.reports.html import text_lines
from analyzer.reports.markdown import escaped, fenced
from analyzer.reports.messages import Notice, messages_of
from analyzer.reports.watched import in_datadog, in_template
from tests.support.hostile_text import PAYLOADS, filled

URL = "https://hostile.example/leak"
ALL = pytest.mark.parametrize("text", [filled(one, "x", URL) for one in PAYLOADS.values()], ids=PAYLOADS)
LINK = re.compile(r"\w://|\bwww\.|mailto:\w|\]\(|<[!@#]|<\w+:")
MENTION = re.compile(r"(?<!\w)@\w")


def unseen(text: str) -> list[str]:
    return [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]


@ALL
def test_a_message_for_a_chat_is_only_read(text: str):
    """Every field of it: nobody is called, no link, no line of their own, nothing unseen."""
    notice = Notice(
        title=text, severity="high", started="now", symptoms=[text], error=text, cause=text, next_steps=[text],
        looked_at=[text], about=text, duration=text, status_after=text, error_share=text, error_share_now=text,
        error_share_usual=text, mitigation=text, severity_after=text,
    )  # fmt: skip
    plain = Notice(
        title="t", severity="high", started="now", symptoms=["s"], error="e", cause="c", next_steps=["n"],
        looked_at=["l"], about="a", duration="d", status_after="s", error_share="s", error_share_now="s",
        error_share_usual="s", mitigation="m", severity_after="s",
    )  # fmt: skip
    found, expected = messages_of(notice), messages_of(plain)

    for message, like in ((found.initial, expected.initial), (found.mitigation, expected.mitigation)):
        assert message.count("\n") == like.count("\n")
        assert not LINK.search(message)
        assert not MENTION.search(message)
        assert unseen(message.replace("\n", "")) == []
    assert re.fullmatch(r"#incident(-[a-z0-9-]+)?", found.channel)


@ALL
def test_in_markdown_it_is_words_or_code(text: str):
    """Read strictly, with HTML let through: a paragraph of words, or one block of code."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

    inline = [child.type for token in reader.parse(f"before {escaped(text)}") for child in token.children or []]
    item = [token.type for token in reader.parse(f"- {escaped(text)}")]
    block = [token.type for token in reader.parse(fenced(text))]

    assert set(inline) == {"text"}
    assert set(item) <= {f"{one}_{end}" for one in ("bullet_list", "list_item", "paragraph") for end in ("open", "close")} | {"inline"}  # fmt: skip
    assert block == ["fence"]
    assert not MENTION.search(escaped(text))
    assert unseen(escaped(text)) == unseen(fenced(text).replace("\n", "")) == []


@ALL
def test_in_templates_it_opens_nothing(text: str):
    """Datadog: no two braces stand together, whatever stood before them. Go: every opening is our own literal."""
    assert "{{" not in in_datadog(text)
    assert "@" not in in_datadog(text)
    assert "{{" not in in_template(text).replace('{{ "{{" }}', "")


def test_people_addresses_and_types_are_still_read():
    assert calls_nobody("ann@example.org asked @bob, Card@1f2e") == "ann@example.org asked (at)bob, Card@1f2e"
    assert for_chat("List<String> of https://a.example/b") == "List<String> of https: //a.example/b"
    assert for_chat("<!channel> <https://a|click> [b](c)") == "< !channel> < https: //a|click> [b] (c)"


def test_lines_of_other_systems_are_lines():
    """A stack trace of Windows has no strange letter at the end of each line."""
    assert fenced("a\r\nb\rc\n") == "```text\na\nb\nc\n```"
    assert text_lines("a\r\n\tb\r\n") == "a\n    b"
