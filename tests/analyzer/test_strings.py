"""The tables give the ids their plain twins give, and stay inside their bounds."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from analyzer.kernels import hashing
from analyzer.spans import RESOURCE_KEYS, STRING_OTHER, Resource
from analyzer.strings import block_of, new_vocabulary
from tests.support.naive import vocabulary as naive

QUICK = settings(max_examples=80, deadline=None)
SMALL = {
    "strings_max": 64,
    "string_bytes_max": 4096,
    "operations_max": 16,
    "resources_max": 16,
    "resource_bytes_max": 4096,
    "scopes_max": 8,
    "scope_bytes_max": 4096,
}


@QUICK
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"<other>", b"\0", b"a" * 8, b"a" * 16])), max_size=60
    )
)
def test_strings_get_the_ids_of_the_twin(texts):
    """Dense, in the order of the first meeting; the same text the same id."""
    table, twin = new_vocabulary(**SMALL, seed=1).strings, naive.Strings()

    assert [table.intern(text) for text in texts] == [twin.intern(text) for text in texts]
    assert [table.text(i) for i in range(len(table))] == [twin.text(i) for i in range(len(twin))]


@QUICK
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)), max_size=40))
def test_operations_get_the_ids_of_the_twin(keys):
    """The same for (service, name, kind), up to the size of the table."""
    table, twin = new_vocabulary(**{**SMALL, "operations_max": 64}, seed=1).operations, naive.Operations()

    assert [table.intern(*key) for key in keys] == [twin.intern(*key) for key in keys]
    assert [table.key(i) for i in range(len(table))] == [twin.key(i) for i in range(len(twin))]


@pytest.mark.parametrize("name", ["resources", "scopes"])
def test_blobs_get_the_ids_of_the_twin(name):
    """Resources and scopes by their bytes."""
    table, twin = getattr(new_vocabulary(**SMALL, seed=1), name), naive.Blobs()
    blobs = [b"", b"x", b"y" * 300, b"x", b"", b"y" * 299]

    assert [table.intern(blob) for blob in blobs] == [twin.intern(blob) for blob in blobs]
    assert [table.raw(i) for i in range(len(table))] == [twin.raw(i) for i in range(len(twin))]


def test_ids_do_not_depend_on_the_secrets():
    """Another process, other places in memory, the same ids."""
    texts = [f"name {i % 37}".encode() for i in range(90)]
    tables = [new_vocabulary(**SMALL, seed=seed).strings for seed in (1, 2, None)]

    first, *others = [[table.intern(text) for text in texts] for table in tables]
    assert others == [first, first]


def test_secrets_are_random_unless_given():
    """Nobody outside knows which names collide."""
    secrets = {int(block_of(new_vocabulary(**SMALL)).words[hashing.SECRET_0]) for _ in range(3)}

    assert len(secrets) == 3


def test_a_full_string_table_answers_other_and_counts():
    """62 texts beside the two reserved ids; old texts keep their ids, new ones are `<other>`."""
    table = new_vocabulary(**SMALL).strings
    ids = [table.intern(b"%d" % i) for i in range(100)]

    assert ids == [*range(2, 64), *[STRING_OTHER] * 38]
    assert [table.intern(b"%d" % i) for i in range(62)] == ids[:62]
    assert (len(table), table.overflow_count, table.text(STRING_OTHER)) == (64, 38, "<other>")


def test_a_table_out_of_bytes_answers_other_and_counts():
    """Bytes are bounded as well as ids; short texts still find room."""
    table = new_vocabulary(**{**SMALL, "string_bytes_max": 100}).strings

    assert [table.intern(b"a" * 60), table.intern(b"b" * 60), table.intern(b"c" * 30)] == [2, STRING_OTHER, 3]
    assert table.overflow_count == 1


def test_full_operations_resources_and_scopes_answer_zero():
    """Id 0 is `<other>` there."""
    vocabulary = new_vocabulary(**SMALL)
    operations = [vocabulary.operations.intern(2, i, 0) for i in range(20)]
    resources = [vocabulary.resources.intern(b"%d" % i) for i in range(20)]
    scopes = [vocabulary.scopes.intern(b"%d" % i) for i in range(10)]

    assert operations == [*range(1, 16), *[0] * 5]
    assert resources == [*range(1, 16), *[0] * 5]
    assert scopes == [*range(1, 8), *[0] * 3]
    assert vocabulary.operations.overflow_count == vocabulary.resources.overflow_count == 5
    assert vocabulary.operations.key(0) == (0, STRING_OTHER, 0)
    assert vocabulary.resources.resource(0) == Resource()


@pytest.mark.parametrize("length", [1024, 1025, 5000])
def test_long_text_is_cut_between_code_points(length):
    """1 KiB is a name; more is in the span's bytes."""
    table = new_vocabulary(**SMALL).strings
    text = ("x" + "é" * length).encode()[:length].decode("utf-8", "ignore")

    assert table.text(table.intern(text.encode())).encode() == text.encode()[: 1024 if length == 1024 else 1023]


def test_a_resource_over_one_mebibyte_is_other():
    """It is counted; its spans keep their service."""
    table = new_vocabulary(**{**SMALL, "resource_bytes_max": 4 << 20}).resources

    assert table.intern(b"x" * (1 << 20)) == 1
    assert table.intern(b"x" * (1 << 20) + b"y") == 0
    assert table.overflow_count == 1


@pytest.mark.parametrize(
    "changes", [{"strings_max": 1}, {"operations_max": 0}, {"scopes_max": 1 << 24}, {"string_bytes_max": 3}]
)
def test_tables_that_cannot_be_are_refused(changes):
    """At construction, with what was found and expected."""
    with pytest.raises(ValueError, match="expected"):
        new_vocabulary(**{**SMALL, **changes})


def test_an_id_never_given_is_an_index_error():
    """Not a read of somebody else's bytes."""
    vocabulary = new_vocabulary(**SMALL)
    for index in (-1, 2, 1 << 40):
        with pytest.raises(IndexError, match="expected 0 to 1"):
            vocabulary.strings.text(index)
    with pytest.raises(IndexError, match="expected 0 to 0"):
        vocabulary.operations.key(1)


@QUICK
@given(
    st.lists(
        st.tuples(
            st.sampled_from([key for keys in RESOURCE_KEYS.values() for key in keys] + ["other"]),
            st.one_of(st.text(max_size=6), st.integers(0, 9), st.none()),
        ),
        max_size=10,
    )
)
def test_resources_are_read_as_protobuf_reads_them(pairs):
    """The last string of equal keys, the first key of a field; everything else is empty."""
    message = ResourceMessage(dropped_attributes_count=3)
    for key, value in pairs:
        slot = message.attributes.add(key=key).value
        if isinstance(value, str):
            slot.string_value = value
        elif value is not None:
            slot.int_value = value
    raw = message.SerializeToString()
    table, twin = new_vocabulary(**SMALL, seed=1).resources, naive.Blobs()

    assert table.resource(table.intern(raw)) == twin.resource(twin.intern(raw))


def test_broken_resource_bytes_give_what_can_be_read():
    """Never an exception: the bytes are a stranger's."""
    message = ResourceMessage()
    message.attributes.add(key="service.name").value.string_value = "shop"
    message.attributes.add(key="host.name").value.string_value = "h-1"
    raw = message.SerializeToString()
    rng = random.Random(1)
    table = new_vocabulary(**{**SMALL, "resources_max": 2048, "resource_bytes_max": 1 << 17}).resources
    for cut in range(len(raw)):
        damaged = bytearray(raw)
        damaged[cut] = rng.randrange(256)
        for blob in (raw[:cut], bytes(damaged)):
            assert isinstance(table.resource(table.intern(blob)), Resource)
    assert table.resource(table.intern(raw)) == Resource(service="shop", host="h-1")


@QUICK
@given(
    st.one_of(
        st.binary(max_size=12),
        st.text(max_size=6).map(str.encode),
        st.text(max_size=4).map(lambda t: t.encode() + b"\xed\xa0\x80"),
    )
)
def test_utf8_is_what_python_says(raw):
    """Surrogates, long forms, cut sequences: the standard decides."""
    try:
        raw.decode()
        want = True
    except UnicodeDecodeError:
        want = False
    source = np.frombuffer(raw + bytes(hashing.SLACK_BYTES), np.uint8)

    assert bool(hashing.is_utf8(source, hashing.U0, np.uint64(len(raw)))) == want


def test_texts_built_to_collide_are_kept_apart():
    """Flipping the top bit of one word and what follows of it in the next cancels in xor-shift-multiply
    hashes under every seed. Here such pairs land in different slots."""
    hashes = set()
    for pattern in range(256):
        text = bytearray(b"abcdefgh" * 16)
        for bit in range(8):
            if pattern >> bit & 1:
                text[16 * bit + 7] ^= 0x80
                text[16 * bit + 8 + 3] ^= 0x80
                text[16 * bit + 8 + 7] ^= 0x80
        source = np.frombuffer(bytes(text) + bytes(16), np.uint8)
        secret = np.uint64(0x1234567890ABCDEF)
        hashes.add(int(hashing.hash_bytes(source, hashing.U0, np.uint64(len(text)), secret, ~secret)))
    assert len(hashes) == 256


@pytest.mark.parametrize("other", [b"abx", b"abcd", b"ab", b"abc\0"])
def test_texts_of_one_hash_are_told_apart_by_their_bytes(other):
    """A slot that carries the hash of another text is passed by: length and bytes are compared."""
    table = new_vocabulary(**SMALL).strings
    words = table.block.words
    header = words[int(hashing.STRING_TABLE) :]
    assert table.intern(b"abc") == 2
    source = np.frombuffer(other + bytes(16), np.uint8)
    secrets = header[hashing.SECRET_0], header[hashing.SECRET_1]
    h = int(hashing.hash_bytes(source, hashing.U0, np.uint64(len(other)), *secrets))
    slot = int(header[hashing.SLOTS]) + (h & int(header[hashing.SLOT_MASK]))
    words[slot] = h & int(hashing.TAG_MASK) | 2 + 1

    assert table.intern(other) == 3
    assert (table.raw(2), table.raw(3)) == (b"abc", other)
