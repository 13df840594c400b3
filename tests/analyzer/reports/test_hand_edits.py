"""What people wrote in a runbook: it stays, it is marked, and newer generated words stand beside it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from analyzer.errors.model import StackTrace, Thrown
from analyzer.reports.hand_edits import HandEdits, RunbookWords, SectionWords, next_edits, with_edits
from analyzer.reports.html import to_html
from analyzer.reports.markdown import to_markdown
from analyzer.reports.model import Report, Runbook, RunbookStep
from analyzer.reports.report import report_of_trace
from analyzer.reports.runbook import Case, runbook_of
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.answers import checkout
from tests.support.fakes.clock import EPOCH_NS
from tests.support.pattern_cases import HASH_MAP, fact

LATER_NS = EPOCH_NS + 3_600_000_000_000


def runbook(location: str = "UserService.java:45") -> Runbook:
    return runbook_of(Case("checkout failed", "error.origin.local", "payment", "", location=location), [])


def write(section: str, text: str, **more: object) -> SectionWords:
    return SectionWords.model_validate({"section": section, "text": text, **more})


def step(shown: Runbook, section: str) -> RunbookStep:
    (found,) = [one for one in shown.steps if one.section == section]
    return found


def edited(*words: SectionWords, of: Runbook | None = None) -> HandEdits:
    return next_edits(of or runbook(), None, words, EPOCH_NS)


def test_an_edited_section_says_so_and_the_others_stay():
    shown = with_edits(runbook(), edited(write("mitigate", "Switch the fallback on.", commands=["flag on fallback"])))

    changed = step(shown, "mitigate")
    assert (changed.title, changed.text, changed.commands) == (
        "Stop the harm",
        "Switch the fallback on.",
        ["flag on fallback"],
    )
    assert changed.by_hand is not None
    assert (changed.by_hand.edit, changed.by_hand.edited_at) == (1, "2025-10-09 08:53:20 UTC")
    assert changed.by_hand.text == step(runbook(), "mitigate").text
    assert [one for one in shown.steps if one.section != "mitigate"] == [
        one for one in runbook().steps if one.section != "mitigate"
    ]


def test_every_section_has_a_name_of_its_own():
    facts = [fact("java.lang.NullPointerException", stack=StackTrace("java", (Thrown("NPE", "", HASH_MAP),)))]
    names = [one.section for one in report_of_trace(checkout(), facts).runbook.steps]

    assert names[:4] == ["confirm", "reach", "mitigate", "verify"]
    assert names[-4:] == ["debug", "production", "recover", "review"]
    assert "mend.code.null_into_library" in names[4:-4]
    assert len(set(names)) == len(names)


def test_the_version_changes_with_every_edit_and_comes_back_when_they_are_taken_back():
    generated = runbook()
    first = edited(write("mitigate", "one"))
    second = next_edits(generated, first, [write("mitigate", "two")], LATER_NS)
    none = next_edits(generated, second, [], LATER_NS)

    versions = [with_edits(generated, one).version for one in (None, first, second, none)]

    assert versions == [generated.version, f"{generated.version}-hand.1", f"{generated.version}-hand.2", versions[0]]
    assert with_edits(generated, none).steps == generated.steps


def test_newer_generated_words_stand_beside_the_edit():
    """The origin moved to another line: the edit stays, and what would stand there now is pointed out."""
    kept = edited(write("debug", "Ask the payments team for a dump."))

    before, after = (step(with_edits(runbook(at), kept), "debug") for at in ("UserService.java:45", "Cart.java:7"))

    assert before.by_hand is not None
    assert after.by_hand is not None
    assert (before.by_hand.newer, after.by_hand.newer) == (False, True)
    assert after.text == "Ask the payments team for a dump."
    assert "Cart.java:7" in after.by_hand.text


def test_a_section_keeps_its_edit_until_its_words_change():
    first = edited(write("mitigate", "one"), write("recover", "two"))

    second = next_edits(runbook(), first, [write("mitigate", "one"), write("recover", "three")], LATER_NS)

    assert [(one.section, one.edit, one.edited_ns) for one in second.sections] == [
        ("mitigate", 1, EPOCH_NS),
        ("recover", 2, LATER_NS),
    ]


def test_editing_one_section_does_not_hide_news_of_another():
    """Only who says that he saw the newer words ends the pointing at them."""
    moved = runbook("Cart.java:7")
    first = edited(write("debug", "mine"))

    unseen = next_edits(moved, first, [write("debug", "mine"), write("recover", "two")], LATER_NS)
    seen = next_edits(moved, first, [write("debug", "mine", seen=step(moved, "debug").generated_version)], LATER_NS)

    flags = [step(with_edits(moved, one), "debug").by_hand for one in (unseen, seen)]
    assert [one.newer for one in flags if one is not None] == [True, False]


def test_a_section_of_ones_own_stands_at_the_end():
    shown = with_edits(runbook(), edited(write("who_to_call", "The bank: desk 4.", title="Call the bank")))

    last = shown.steps[-1]
    assert (last.number, last.title, last.text) == (len(shown.steps), "Call the bank", "The bank: desk 4.")
    assert last.by_hand is not None
    assert (last.by_hand.newer, last.by_hand.text) == (False, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "at least 1 item"),
        ([{"section": "Mitigate", "text": "x"}], "match pattern"),
        ([{"section": "mitigate", "text": ""}], "at least 1 character"),
        ([{"section": "mitigate", "text": "x" * 8_001}], "at most 8000"),
        ([{"section": "mitigate", "text": "x", "commands": ["x"] * 21}], "at most 20"),
        ([{"section": "mitigate", "text": "x"}] * 2, "given twice"),
        ([{"section": f"own.{number}", "text": "x"} for number in range(31)], "at most 30"),
        ([{"section": "mitigate", "text": "x", "author": "me"}], "not permitted"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(words: list[dict[str, object]], told: str):
    with pytest.raises(ValidationError, match=told):
        RunbookWords.model_validate({"sections": words})


# -- as it is shown ------------------------------------------------------------------------


def report(*words: SectionWords, moved: bool = False) -> Report:
    whole = report_of_trace(checkout(), [])
    kept = edited(*words, of=whole.runbook)
    if moved:
        stale = [one.model_copy(update={"generated_version": "old"}) for one in kept.sections]
        kept = kept.model_copy(update={"sections": stale})
    return whole.model_copy(update={"runbook": with_edits(whole.runbook, kept)})


def test_edits_are_marked_in_markdown_and_on_the_page():
    whole = report(write("mitigate", "Switch the fallback on.\nThen call the bank."))

    markdown, page = to_markdown(whole), to_html(whole)

    assert (
        "**Stop the harm** *(edited by hand, edit 1, 2025-10-09 08:53:20 UTC)*: Switch the fallback on.  \n"
        "   Then call the bank." in markdown
    )
    assert 'Stop the harm.</strong> <span class="tag">edited by hand, edit 1' in page
    assert "Switch the fallback on.<br>Then call the bank." in page
    assert "has changed since the edit" not in markdown + page


def test_newer_words_are_pointed_out_in_markdown_and_on_the_page():
    whole = report(write("mitigate", "Switch the fallback on."), moved=True)
    generated = next(one.by_hand.text for one in whole.runbook.steps if one.by_hand is not None)

    markdown, page = to_markdown(whole), to_html(whole)

    assert "> What is generated here has changed since the edit" in markdown
    assert "<details><summary>What is generated here has changed since the edit" in page
    assert generated.split(".")[0] in markdown
    assert generated.split(".")[0] in page


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_what_people_write_is_text_wherever_it_is_shown(text: str):
    whole = report(write("mitigate", text, title=text[:200], commands=[text]), moved=True)

    markdown, page = to_markdown(whole, with_fixture=False), to_html(whole)

    for shown in (markdown, page):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "<script" not in page
    assert "<img" not in page
    assert "<svg onload" not in page
