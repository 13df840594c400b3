"""A Dockerfile read into its stages, and carried out without an engine: in an empty folder that stands for /.

image = carry_out(ROOT, tmp_path / "root")
subprocess.run(image.command, env=image.environment)

Paths of the image below `MAPPED` are moved into the folder, wherever they stand in a step; everything else (the shell,
Python) is this machine's. So steps may use RUN, COPY, ENV and WORKDIR, and write below these paths only.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAPPED = ("/src", "/opt", "/etc/firstfault", "/var/lib/firstfault")
_MAPPED = re.compile(rf"(?<![\w./-])({'|'.join(MAPPED)})(?![\w.-])")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Step:
    """One instruction, its lines joined, comments left out."""

    line: int
    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """JSON form, or words as a shell reads them."""
        found: list[str] = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return found


@dataclass
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        return [step for step in self.steps if step.word == word]

    def last(self, word: str) -> Step:
        return self.all(word)[-1]


def read_dockerfile(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first stage with their defaults, and the stages."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for step in _steps(path):
        if step.word == "FROM":
            base, _, name = step.text.partition(" AS ")
            stages.append(Stage(name or "final", _VARIABLE.sub(lambda match: arguments[match[1]], base)))
        elif stages:
            stages[-1].steps.append(step)
        else:
            name, _, default = step.text.partition("=")
            arguments[name] = default
    return arguments, stages


def _steps(path: Path) -> list[Step]:
    found = []
    text, begun = "", 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        begun = begun or number
        text += line.rstrip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            word, _, rest = text.strip().partition(" ")
            found.append(Step(begun, word.upper(), rest.strip()))
            text, begun = "", 0
    return found


def environment_of(stages: list[Stage], stage: Stage) -> dict[str, str]:
    """ENV of a stage and of those it is built on."""
    below = next((one for one in stages if one.name == stage.base), None)
    found = environment_of(stages, below) if below is not None else {}
    for step in stage.all("ENV"):
        found |= dict(word.split("=", 1) for word in step.words)
    return found


def context_of(folder: Path) -> list[str]:
    """Names at the top of the build context that .dockerignore lets through."""
    lines = (folder / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


@dataclass(frozen=True)
class Image:
    """What would be an image: a folder, and how it is run."""

    root: Path
    environment: dict[str, str]
    command: list[str]
    probe: list[str]
    workdir: Path
    user: int


def carry_out(
    folder: Path, root: Path, more: Mapping[str, str] | None = None, before: str = "", seed: object = None
) -> Image:
    """Carry out the stages of `folder`/Dockerfile in `root`.

    Parameters
    ----------
    more : environment of the steps, over that of the Dockerfile; an empty value takes a variable away
    before, seed : `seed(root)` is called before the RUN that ends with the words `before`
    """
    _, stages = read_dockerfile(folder / "Dockerfile")
    for stage in stages[1:]:
        _carry_out(folder, root, stage, environment_of(stages, stage) | dict(more or {}), before, seed)
    final = stages[-1]
    environment = {name: _move(text, root) for name, text in environment_of(stages, final).items()}
    return Image(
        root,
        environment,
        [_move(word, root) for name in ("ENTRYPOINT", "CMD") for word in final.last(name).words],
        [_move(word, root) for word in json.loads(final.last("HEALTHCHECK").text.partition("CMD ")[2])],
        Path(_move(final.last("WORKDIR").text, root)),
        int(final.last("USER").text.partition(":")[0]),
    )


def _carry_out(folder: Path, root: Path, stage: Stage, wanted: Mapping[str, str], before: str, seed: object) -> None:
    workdir = root
    environment = {**os.environ, **{name: _move(text, root) for name, text in wanted.items()}}
    environment = {
        name: text for name, text in environment.items() if text and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    for step in stage.steps:
        if step.word == "WORKDIR":
            workdir = Path(_move(step.text, root))
            workdir.mkdir(parents=True, exist_ok=True)
        elif step.word == "COPY":
            _copy(folder, root, workdir, step)
        elif step.word == "RUN":
            text = _move(step.text, root)
            if os.geteuid() != 0:  # who is not root gives nothing away
                text = re.sub(r" -[og] \d+", "", text)
            if before and step.text.endswith(before):
                seed(root)  # type: ignore[operator]
            done = subprocess.run(
                ["/bin/sh", "-ec", text], cwd=workdir, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"Dockerfile:{step.line}: RUN {step.text}\n{done.stdout}{done.stderr}"


def _copy(folder: Path, root: Path, workdir: Path, step: Step) -> None:
    options = [word for word in step.words if word.startswith("--")]
    *sources, target = [word for word in step.words if not word.startswith("--")]
    into = Path(_move(target, root)) if target.startswith("/") else workdir / target
    for source in sources:
        if any(option.startswith("--from=") for option in options):
            origin = Path(_move(source, root))
        else:
            assert source.split("/")[0] in context_of(folder), f"Dockerfile:{step.line}: {source} is not in the context"
            origin = folder / source
        place = into / origin.name if target.endswith("/") else into
        if origin == place:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            shutil.copystat(origin, place)
        else:
            shutil.copy2(origin, place)
        for option in options:
            if option.startswith("--chown=") and os.geteuid() == 0:
                user, group = option.removeprefix("--chown=").split(":")
                for path in (place, *place.rglob("*")):
                    os.chown(path, int(user), int(group))


def _move(text: str, root: Path) -> str:
    return _MAPPED.sub(lambda match: f"{root}{match[1]}", text)
