"""Fuzz one target, or all, for some seconds each.

    python -m tests.fuzz [--seconds 60] [--corpus DIRECTORY] [TARGET ...]

Each target runs twice. With atheris (coverage-guided), kernels interpreted: it sees our Python line by line, and grows a
corpus. Then compiled with bounds checks, without coverage and a hundred times as fast: the corpus once, then mutations of it.
An input that fails the oracle is printed; it belongs into `found` of its target, with the repair.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

from tests.fuzz.target import Target

NAMES = ("protobuf", "otlp_json", "http_body", "assembly", "text", "query")
INPUT_MAX = 8192
MODES = {
    "guided": {"NUMBA_DISABLE_JIT": "1"},
    "compiled": {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": ".tools/numba-bounds"},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, default=Path(".tools/fuzz"))
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    names = chosen.targets or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"no target {', '.join(sorted(unknown))}; expected some of {', '.join(NAMES)}")
    if chosen.mode:
        folder = chosen.corpus / names[0]
        folder.mkdir(parents=True, exist_ok=True)
        (guided if chosen.mode == "guided" else compiled)(names[0], folder, chosen.seconds)
        return 0
    return max(in_own_process(name, mode, chosen.corpus, chosen.seconds) for name in names for mode in MODES)


def in_own_process(name: str, mode: str, corpus: Path, seconds: int) -> int:
    print(f"== {name}, {mode}, {seconds} s", flush=True)
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        name,
        "--mode",
        mode,
        "--seconds",
        str(seconds),
        "--corpus",
        str(corpus),
    ]
    return subprocess.run(command, env={**os.environ, **MODES[mode]}, check=False).returncode


def guided(name: str, folder: Path, seconds: int) -> None:
    """libFuzzer with our mutations beside its own."""
    import atheris
    import numpy as np

    np.seterr(over="ignore")  # kernels count in wrapping integers; only the interpreter remarks on it

    with atheris.instrument_imports(include=["analyzer", "collector"], enable_loader_override=False):
        target = load(name)

    def change(data: bytes, size_max: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.4:
            return bytes(atheris.Mutate(data, size_max))
        return target.change(data, target.seeds, rng)[:size_max]

    for number, seed in enumerate([*target.seeds, *target.found.values()]):
        (folder / f"seed-{number:03}").write_bytes(seed[:INPUT_MAX])
    dictionary = []
    if target.words:
        words = folder.with_suffix(".words")
        words.write_text("".join(map(_quoted, target.words)))
        dictionary = [f"-dict={words}"]
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_MAX}",
        "-timeout=60",
        "-rss_limit_mb=2048",
    ]
    arguments += ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={folder}-", *dictionary, str(folder)]
    atheris.Setup(arguments, target.check_shown, custom_mutator=change)
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word[:60]) + '"\n'


def compiled(name: str, folder: Path, seconds: int) -> None:
    """The corpus once, then mutations of it; kernels as they are served, with their bounds checked."""
    target = load(name)
    origins = [path.read_bytes() for path in sorted(folder.iterdir())] or target.seeds
    for data in origins:
        target.check_shown(data)
    rng, runs, until = random.Random(os.urandom(8)), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        target.check_shown(target.change(rng.choice(origins), origins, rng))
        runs += 1
    print(f"{name}: {len(origins)} kept inputs, {runs} mutations of them, nothing found", flush=True)


def load(name: str) -> Target:
    target: Target = import_module(f"tests.fuzz.{name}").TARGET
    return target


if __name__ == "__main__":
    sys.exit(main())
