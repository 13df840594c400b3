"""The bounds of a stack trace: so many letters are read, so many frames and exceptions are kept.

What is cut is cut in the middle: the innermost end says what failed, the outermost who asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analyzer.errors.model import Thrown

# A Java stack overflow of 1024 frames is about 64 KiB; what SDKs send is cut shorter by most.
TEXT_LENGTH_MAX = 65_536
FRAMES_MAX = 512
# Chains of more are loops of wrapping; every exception still gets a few frames.
CHAIN_MAX = 64


def cut_text(text: str) -> tuple[str, bool]:
    """Keep the first and the last half of a text that is too long, whole lines where there are any."""
    if len(text) <= TEXT_LENGTH_MAX:
        return text, False
    half = TEXT_LENGTH_MAX // 2 - 1
    head, tail = text[:half], text[-half:]
    end, start = head.rfind("\n"), tail.find("\n")
    return (head[:end] if end > 0 else head) + "\n" + (tail[start + 1 :] if start >= 0 else tail), True


def bounded(chain: Sequence[Thrown]) -> tuple[tuple[Thrown, ...], bool]:
    """Keep the outermost and innermost exceptions, and of each the innermost and outermost frames.

    Frames are shared out evenly; what a short stack does not need goes to the long ones.
    """
    kept = tuple(chain)
    if len(kept) > CHAIN_MAX:
        kept = kept[: CHAIN_MAX // 2] + kept[-CHAIN_MAX // 2 :]
    if sum([len(thrown.frames) for thrown in kept]) <= FRAMES_MAX:
        return kept, len(kept) < len(chain)
    cut = list(kept)
    left = FRAMES_MAX
    shortest_first = sorted(range(len(kept)), key=lambda index: len(kept[index].frames))
    for waiting, index in zip(range(len(kept), 0, -1), shortest_first, strict=True):
        cut[index] = _cut_frames(kept[index], left // waiting)
        left -= len(cut[index].frames)
    return tuple(cut), True


def _cut_frames(thrown: Thrown, most: int) -> Thrown:
    count = len(thrown.frames)
    if count <= most:
        return thrown
    inner, outer = most - most // 2, most // 2
    frames = thrown.frames[:inner] + thrown.frames[count - outer :]
    moved = [index if index < inner else index - count + most for index in thrown.async_after]
    # A seam inside what was cut away is no longer between two frames.
    stay = [new for old, new in zip(thrown.async_after, moved, strict=True) if old < inner or old >= count - outer]
    return replace(thrown, frames=frames, async_after=tuple(stay))
