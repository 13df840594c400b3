"""What a trace is called: its id, and the tenant whose credential sent it."""

from __future__ import annotations

import pytest

from collector.errors import BadRequestError
from collector.trace_names import digest_of, name_of, read_name, split_name, text_of

ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")


@pytest.mark.parametrize(
    ("tenant", "text"), [("", ID.hex()), ("shop", f"{ID.hex()}@shop"), ("a.B_c-9", f"{ID.hex()}@a.B_c-9")]
)
def test_a_name_is_written_and_read(tenant: str, text: str):
    name = name_of(ID, tenant)

    assert (text_of(name), read_name(text), split_name(name)) == (text, name, (ID, tenant))


def test_either_case_is_the_same_trace():
    assert read_name(ID.hex().upper() + "@Shop") == name_of(ID, "Shop")


@pytest.mark.parametrize("behind", ["0", "@", "@a b", "@a@b", "@" + "x" * 129, "@shop\n", "@\u00e9"])
def test_what_stands_behind_an_id_is_a_tenant_or_a_fault(behind: str):
    with pytest.raises(BadRequestError, match="expected"):
        read_name(ID.hex() + behind)


@pytest.mark.parametrize("text", ["", "4bf9", "0" * 32, "0" * 32 + "@shop", "@shop"])
def test_what_is_no_name_is_refused(text: str):
    with pytest.raises(BadRequestError, match="expected"):
        read_name(text)


def test_a_plain_id_stands_for_itself_and_no_two_names_for_one():
    digests = [digest_of(name_of(ID, tenant)) for tenant in ("", "a", "b")]

    assert digests[0] == ID
    assert (len(set(digests)), {len(one) for one in digests}) == (3, {16})
