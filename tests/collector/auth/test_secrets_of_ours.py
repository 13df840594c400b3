"""Bearer tokens and passwords of ours: whom they stand for, and what an exchange of their files does."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import bcrypt
import pytest

from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.auth.passwords import REMEMBERED_MAX, Passwords
from collector.errors import ForbiddenError, NotAllowedError, OverloadedError
from collector.watched import FileFaultError
from tests.support.fakes.clock import ManualClock

SENDER, READER = Identity("sender", frozenset({Role.INGEST}), "shop"), Identity("reader", frozenset({Role.READ}))
ONE, TWO, THREE = "one-token-of-many-letters", "two-token-of-many-letters", "three-token-of-many-letters"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def test_each_token_stands_for_its_own(tmp_path: Path):
    (tmp_path / "tokens").write_text(f"{TWO}\n\n{THREE}\n")
    tokens = BearerTokens([TokenGrant(SENDER, ONE), TokenGrant(READER, token_file=tmp_path / "tokens")], ManualClock())

    assert [tokens.find(token) for token in (ONE, TWO, THREE)] == [SENDER, READER, READER]
    assert {tokens.find(token) for token in ("", ONE[:-1], ONE + " ", TWO + "\n" + THREE, "\udcff", "é")} == {None}


def test_a_token_that_is_taken_out_of_its_file_ends(tmp_path: Path):
    """Both hold while the file has both; a bad file leaves the good one in use."""
    file, clock = tmp_path / "tokens", ManualClock()
    file.write_text(ONE)
    tokens = BearerTokens([TokenGrant(READER, token_file=file)], clock)
    known = []
    for text in (f"{ONE}\n{TWO}", TWO, "short", f"{TWO} "):
        file.write_text(text)
        clock.advance(2)
        known.append([tokens.find(token) is READER for token in (ONE, TWO)])

    assert known == [[True, True], [False, True], [False, True], [False, True]]


@pytest.mark.parametrize("text", ["short", "two words that are long", "ümlaut-in-a-long-token", ""])
def test_a_token_that_can_be_guessed_is_a_fault(tmp_path: Path, text: str):
    """And is not said in the message."""
    file = tmp_path / "tokens"
    file.write_text(text)

    with pytest.raises(FileFaultError, match="tokens") as caught:
        BearerTokens([TokenGrant(READER, token_file=file)], ManualClock())

    assert not text or text not in str(caught.value).replace(str(tmp_path), "")


class Book:
    """A password file."""

    def __init__(self, folder: Path, **passwords: str) -> None:
        self.file, self.clock = folder / "users", ManualClock()
        self.write(**passwords)
        self.passwords = Passwords(self.file, {"ann": READER, "bob": SENDER}, self.clock)

    def write(self, **passwords: str) -> None:
        self.file.write_text("# people\n" + "".join(f"{name}:{hashed(word)}\n" for name, word in passwords.items()))


def test_a_name_and_its_password_are_known(tmp_path: Path):
    """As `htpasswd -B` writes them; who has no roles in the configuration is nobody."""
    book = Book(tmp_path, ann="apple", bob="pear:with:colons", eve="plum")
    book.file.write_text(book.file.read_text().replace("$2b$", "$2y$"))
    find = book.passwords.find

    assert find(basic("ann", "apple")) is READER
    assert find(basic("bob", "pear:with:colons")) is SENDER
    assert find(basic("ann", "apple")) is READER
    wrong = [
        ("ann", "pear"),
        ("ann", ""),
        ("bob", "apple"),
        ("eve", "plum"),
        ("", ""),
        ("ann", "x" * 100),
        ("ann", "\0"),
    ]
    assert {find(basic(*pair)) for pair in wrong} == {None}
    assert {find(text) for text in ("", "!", "YW5u", "====", basic("ann", "apple")[:-1])} == {None}


def test_an_exchanged_file_forgets_what_was_right(tmp_path: Path):
    book = Book(tmp_path, ann="apple")
    assert book.passwords.find(basic("ann", "apple")) is READER
    book.write(ann="cherry")
    book.clock.advance(2)

    assert book.passwords.find(basic("ann", "apple")) is None
    assert book.passwords.find(basic("ann", "cherry")) is READER


def test_what_was_right_is_remembered_for_a_while_and_not_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A hash for every request would be a core for every client."""
    book = Book(tmp_path, ann="apple")
    hashes = []
    check = bcrypt.checkpw
    monkeypatch.setattr("bcrypt.checkpw", lambda *words: hashes.append(1) or check(*words))
    for _ in range(10):
        book.passwords.find(basic("ann", "apple"))
    assert len(hashes) == 1
    book.clock.advance(301)
    book.passwords.find(basic("ann", "apple"))
    assert len(hashes) == 2
    for number in range(3):  # what is wrong is never remembered
        book.passwords.find(basic("ann", f"wrong{number}"))
        book.passwords.find(basic("nobody", "wrong"))
    assert len(hashes) == 8
    assert REMEMBERED_MAX == 1024


def test_one_password_is_checked_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A flood of wrong passwords takes one core's time, not all threads; who was right before does not wait."""
    book = Book(tmp_path, ann="apple", bob="pear")
    book.passwords.find(basic("ann", "apple"))
    entered, go = threading.Event(), threading.Event()

    def slow(*_: bytes) -> bool:
        entered.set()
        return not go.wait(20)

    monkeypatch.setattr("bcrypt.checkpw", slow)
    flood = threading.Thread(target=book.passwords.find, args=(basic("bob", "guess"),))
    flood.start()
    assert entered.wait(20)

    with pytest.raises(OverloadedError):
        book.passwords.find(basic("bob", "pear"))
    assert book.passwords.find(basic("ann", "apple")) is READER
    go.set()
    flood.join(20)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ann:apple\n", "line 1"),
        ("ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n", "line 1"),
        pytest.param(f"# a\nann:{hashed('a').replace('$04$', '$31$')}\n", "line 2", id="too dear"),
        ("# nobody yet\n", "names nobody"),
    ],
)
def test_a_file_that_is_no_password_file_is_named(tmp_path: Path, text: str, fault: str):
    (tmp_path / "users").write_text(text)

    with pytest.raises(FileFaultError, match=fault) as caught:
        Passwords(tmp_path / "users", {"ann": READER}, ManualClock())

    assert "apple" not in str(caught.value)


def test_the_guard_says_what_it_takes_and_counts(tmp_path: Path):
    """One refusal for all that is wrong with a credential: nobody learns what."""
    guard = Guard([BearerTokens([TokenGrant(READER, ONE)], ManualClock())], Book(tmp_path, bob="pear").passwords)
    said = set()
    for value in ("", "Bearer", f"Bearer {TWO}", f"Token {ONE}", "Basic !", f"Bearer {'x' * 20_000}"):
        with pytest.raises(ForbiddenError) as caught:
            guard.admit({"authorization": value}, Role.READ)
        said.add((str(caught.value), caught.value.challenge))

    assert said == {
        (
            "no valid credential; expected Authorization: Bearer or Basic",
            'Bearer realm="firstfault", Basic realm="firstfault"',
        )
    }
    assert guard.admit({"authorization": f"bearer {ONE}"}, Role.READ) is READER
    assert guard.admit({"authorization": f"Basic {basic('bob', 'pear')}"}, Role.INGEST) is SENDER
    with pytest.raises(NotAllowedError, match="lacks the role write"):
        guard.admit({"authorization": f"Bearer {ONE}"}, Role.WRITE)
    counts = {key: n for key, n in guard.snapshot().items() if key.startswith("door_credentials")}
    assert counts == {
        "door_credentials|unauthenticated": 6,
        "door_credentials|admitted": 2,
        "door_credentials|not_allowed": 1,
    }


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.INGEST, {Role.INGEST}),
        (Role.READ, {Role.READ}),
        (Role.WRITE, {Role.READ, Role.WRITE}),
        (Role.ADMIN, set(Role)),
    ],
)
def test_what_each_role_may(role: Role, may: set[Role]):
    """With a tenant sending is left, and reading what is answered from its own traces."""
    assert {one for one in Role if Identity("x", frozenset({role})).may(one)} == may
    tenant = Identity("x", frozenset({role}), "shop")
    assert {one for one in Role if tenant.may(one)} == may & {Role.INGEST}
    assert {one for one in Role if tenant.may(one, own=True)} == may & {Role.INGEST, Role.READ}
