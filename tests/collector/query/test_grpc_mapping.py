"""An answer survives the way to a message and back, field by field."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from analyzer import findings
from analyzer.findings import Answer
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.query.grpc_mapping import answer_from_proto, answer_to_proto, check_mapping, finding_to_proto
from tests.collector.query.answers import HOSTILE_TEXTS, full, row, small

ROOT = Path(__file__).parents[3]


def test_proto_and_answer_have_the_same_fields_and_values():
    """Nothing that an answer can say is missing in the proto, and the other way round."""
    assert check_mapping() == []


def test_a_field_that_one_side_lacks_is_named():
    """The check above can fail: a model with one field more, and one with a word more."""

    class Grown(findings.Judgement):
        weight: float = 0.0

    assert check_mapping(Grown, pb.Judgement.DESCRIPTOR) == ["firstfault.v1.Judgement has no field weight"]
    assert "Judgement has no field causal_chain" in check_mapping(findings.Judgement, pb.Answer.DESCRIPTOR)


def test_every_field_of_a_full_answer_survives():
    """The drawn answer has no field at its default, so nothing can hide."""
    answer = full()
    assert [path for path, value, default in leaves(answer) if value == default] == []

    again = answer_from_proto(pb.Answer.FromString(answer_to_proto(answer).SerializeToString()))

    assert again == answer


def leaves(word: BaseModel, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Fields of the first model of every kind with their defaults; schema_version has one value only."""
    for name, field in type(word).model_fields.items():
        value = getattr(word, name)
        place = f"{path}.{name}"
        if name in ("schema_version", "complete") or (name == "expected_ns" and value == 0):
            continue
        yield place, value, field.get_default(call_default_factory=True)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                yield from leaves(item, place)
                break


def test_what_is_not_set_stays_not_set():
    """No latency is not a latency of zero; no probe is not an empty one; no baseline is not 0 ns."""
    again = answer_from_proto(answer_to_proto(small()))

    assert again == small()
    assert (again.latency, again.severity, again.next_probe) == (None, None, None)
    bare = small(latency=findings.Latency(duration_ns=5))
    assert answer_from_proto(answer_to_proto(bare)) == bare


@pytest.mark.parametrize(
    ("field", "words"),
    [("status", get_args(findings.Status)), ("verdict", get_args(findings.VerdictKind))],
)
def test_every_word_survives(field: str, words: tuple[str, ...]):
    for word in words:
        answer = small(**{field: word})
        assert getattr(answer_from_proto(answer_to_proto(answer)), field) == word


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_survives_as_text(text: str):
    assert answer_from_proto(answer_to_proto(full(text))) == full(text)


def test_an_unspecified_status_is_not_an_answer():
    """A message of somebody else: refused, not guessed."""
    with pytest.raises(ValueError, match="status"):
        answer_from_proto(pb.Answer(trace_id="00"))


def test_a_line_of_a_list_survives():
    message = finding_to_proto(row(7))

    assert message.trace_id == row(7).trace_id
    assert {name: getattr(message, name) for name in ("verdict", "entity_kind", "probability", "summary")} == {
        "verdict": pb.VERDICT_KIND_ERROR,
        "entity_kind": pb.ENTITY_KIND_OPERATION,
        "probability": 0.9,
        "summary": "finding 7",
    }
    assert set(pb.Finding.DESCRIPTOR.fields_by_name) == set(type(row(7)).__dataclass_fields__)


def test_generated_code_is_fresh(tmp_path: Path):
    """Whoever changes the proto also runs proto/generate.py."""
    subprocess.run([sys.executable, ROOT / "proto" / "generate.py", tmp_path], check=True, capture_output=True)

    def code(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): path.read_text("utf-8")
            for path in sorted(folder.rglob("*.py*"))
            if path.suffix != ".pyc"
        }

    assert code(ROOT / "collector" / "pb") == code(tmp_path)


def test_the_answer_of_the_schema_is_the_answer_of_the_proto():
    """Same names in JSON and in protobuf, so one client can read both."""
    assert set(Answer.model_json_schema()["properties"]) == set(pb.Answer.DESCRIPTOR.fields_by_name)
