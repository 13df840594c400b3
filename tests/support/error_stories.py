"""Where an error of a drawn trace began, explained with nothing learned beside it."""

from __future__ import annotations

from analyzer.config import AnalysisConfig
from analyzer.origins import ErrorStory, PropagationMemory, explain_errors
from tests.support.drawing import batch, draw
from tests.support.naive.analysis import measure, with_missing, with_server_share
from tests.support.situations.situation import Situation

CONFIG = AnalysisConfig()


def story_of(situation: Situation) -> ErrorStory:
    analysis = measure(batch(situation.drawing()))
    if situation.server_share is not None:
        analysis = with_server_share(analysis, situation.server_share)
    if situation.missing:
        analysis = with_missing(analysis, situation.missing)
    return explain_errors(analysis, 0, PropagationMemory(keys_max=16), CONFIG)


def explain(text: str, **more: object) -> ErrorStory:
    return explain_errors(measure(batch(draw(text))), 0, PropagationMemory(keys_max=16), CONFIG, **more)  # type: ignore[arg-type]


def origin(story: ErrorStory) -> str:
    span = story.candidates[0].origin_spans[0]
    return f"{span.service} {span.operation}"


def roles(story: ErrorStory) -> dict[str, str]:
    return {f"{role.service} {role.operation}": role.role for role in story.roles}
