"""The half of the SQLite store that keeps groups of errors. See `collector.store.sqlite` for threads and processes."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import AbstractContextManager

from analyzer.errors.group_words import ErrorGroup
from collector.contracts import GROUP_SORTS, GroupQuery, OutboxItem
from collector.errors import BadRequestError
from collector.store.counters import StoreCounters
from collector.store.groups import LIMIT_MAX, PackedGroup
from collector.store.hours import HOUR_NS
from collector.store.meta import MetaFile
from collector.store.packing import Packer, UnreadableBlobError, integer, json_of, text_of, unpack_group
from collector.store.writing import HourWriter


class GroupShelf:
    """Methods of `contracts.Store` about groups; everything it uses is `SqliteStore`'s."""

    _meta: MetaFile
    _writer: HourWriter
    _packer: Packer
    _pending: MutableMapping[int, int]
    _now_ns: Callable[[], int]
    _counters: StoreCounters
    _guard: Callable[[], AbstractContextManager[None]]
    _require_writer: Callable[[], None]

    def put_groups(self, groups: Sequence[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None:
        """Keep the highest revision of each; on disk when it returns.

        Messages go first: a stop between the two loses a revision that the next one replaces, never a message, and
        what is put again is known by its key.

        Raises
        ------
        OverloadedError
            The disk is full or does not write; put it again.
        """
        self._require_writer()
        packed = [self._packed_group(one) for one in groups]
        posted = [self._packer.message(item) for item in messages]
        hour = self._now_ns() // HOUR_NS
        with self._guard():
            if posted:
                self._pending[hour] = self._pending.get(hour, 0) + self._writer.post(hour, posted)
            if packed:
                self._meta.write(lambda meta: meta.groups.put(packed))

    def _packed_group(self, group: ErrorGroup) -> PackedGroup:
        return PackedGroup(
            group_id=text_of(group.group_id),
            revision=group.revision,
            status=group.status,
            decided=group.decided,
            count=integer(group.count),
            users=integer(group.users),
            first_ns=integer(group.first_seen_ns),
            last_ns=integer(group.last_seen_ns),
            services=[text_of(seen.name) for seen in group.services],
            body=self._packer.pack(json_of(group)),
            spiking=group.spike is not None,
        )

    def group(self, group_id: str) -> ErrorGroup | None:
        """Return a group as it is now; None when it is not known, has left, or cannot be read."""
        with self._guard():
            body = self._meta.read(lambda meta: meta.groups.find(text_of(group_id)), None)
            found = self._readable_groups([body] if body is not None else [])
        return found[0] if found else None

    def groups(self, query: GroupQuery) -> list[ErrorGroup]:
        """List groups in the order of `query.sort`, largest or latest first.

        Raises
        ------
        BadRequestError
            The limit or the order cannot be used.
        """
        if query.limit < 1:
            raise BadRequestError(f"limit is {query.limit}; expected 1 to {LIMIT_MAX}", "bad_query")
        if query.sort not in GROUP_SORTS:
            raise BadRequestError(f"sort is {query.sort[:40]!r}; expected one of {', '.join(GROUP_SORTS)}", "bad_query")
        with self._guard():
            nothing: list[bytes] = []
            return self._readable_groups(self._meta.read(lambda meta: meta.groups.listed(query), nothing))

    def _readable_groups(self, bodies: Sequence[bytes]) -> list[ErrorGroup]:
        found = []
        for body in bodies:
            try:
                found.append(unpack_group(body))
            except UnreadableBlobError:
                self._counters.unreadable_rows += 1
        return found
