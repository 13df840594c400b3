"""The image, without an engine: its steps in an empty folder, then the program as it would run, from a read-only tree.

As root it runs as user 65532, which may read everything and owns the data directory only. Compiling kernels for any
processor, as the image does, takes minutes: the deep form does it. The other lends the image the kernels that were compiled
for this machine, so all that differs is the name of the processor. Its own, once compiled, are kept in .tools.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.dockerfile import Image, carry_out
from tests.support.drawing import draw
from tests.support.running import DOORS, LOCAL, ROOT, Server, end, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

TOOLS = ROOT / ".tools"
KERNELS = ("*.nbi", "*.nbc")
SETTINGS = {
    "otlp_grpc": "RECEIVERS__OTLP__PROTOCOLS__GRPC__ENDPOINT",
    "otlp_http": "RECEIVERS__OTLP__PROTOCOLS__HTTP__ENDPOINT",
    "rest": "QUERY__ENDPOINT",
    "grpc": "QUERY__GRPC_ENDPOINT",
    "metrics": "SERVICE__TELEMETRY__METRICS__ENDPOINT",
    "health": "SERVICE__HEALTH__ENDPOINT",
}
# Calls that change the file system. Also those that fail are seen: who tries to write would do so elsewhere.
WRITING = (
    "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat"
)
CALL = re.compile(r"^\d+ +(?P<call>\w+)\((?P<words>.*)")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')

FAILING = """
gateway   GET /checkout            0..100  ERROR
  gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
    payment   Charge                   50..90  ERROR  !CardError: "declined by bank"
"""

COMPILES = """
from numba.core import event

class Listener(event.Listener):
    def on_start(self, found):
        print("compiled", found.data["dispatcher"].py_func.__qualname__)

    def on_end(self, found):
        pass

event.register("numba:compile", Listener())

from collector.app import engine_room, query_room, receiver_room, warming

warming.warm_receiver()
warming.warm()
print("warm", engine_room.__file__)
"""


def kept_kernels() -> Path:
    """Where kernels compiled for the image are kept, until a file with a kernel changes."""
    digest = hashlib.sha256((ROOT / "requirements.lock").read_bytes())
    for path in sorted(path for package in ("analyzer", "collector") for path in (ROOT / package).rglob("*.py")):
        if b"numba" in (text := path.read_bytes()) or "kernels" in path.parts:
            digest.update(text)
    return TOOLS / "container-kernels" / digest.hexdigest()[:16]


def copy_kernels(origin: Path, target: Path) -> None:
    for pattern in KERNELS:
        for path in origin.rglob(pattern):
            place = target / path.relative_to(origin)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, place)


def lend_kernels(target: Path) -> None:
    """Those of this tree, for this processor. numba takes them for those of sources that are as old."""
    for package in ("analyzer", "collector"):
        copy_kernels(ROOT / package, target / package)
        for origin in (ROOT / package).rglob("*.py"):
            changed_ns = origin.stat().st_mtime_ns
            os.utime(target / origin.relative_to(ROOT), ns=(changed_ns, changed_ns))
    done = [sys.executable, "-m", "compileall", "-q", target / "analyzer", target / "collector"]
    subprocess.run(done, check=True)


def packages(root: Path) -> Path:
    (found,) = (root / "opt/firstfault/lib").glob("python3.*/site-packages")
    return found


@pytest.fixture(scope="module", params=["lent kernels", pytest.param("own kernels", marks=pytest.mark.deep)])
def image(request: pytest.FixtureRequest) -> Iterator[Image]:
    """Build it in a folder that others may look into: those of pytest are root's alone."""
    with tempfile.TemporaryDirectory(prefix="firstfault-image-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        yield build(root, lent=request.param == "lent kernels")


def build(root: Path, lent: bool) -> Image:
    """Carry out the Dockerfile; then nothing can be written but the data directory."""
    kernels = kept_kernels()
    more = {"PIP_NO_CACHE_DIR": ""} | ({"NUMBA_CPU_NAME": ""} if lent else {})
    made = carry_out(
        ROOT,
        root,
        more,
        before="-m collector.app.warming",
        seed=lambda root: lend_kernels(packages(root)) if lent else copy_kernels(kernels, packages(root)),
    )
    if lent:
        del made.environment["NUMBA_CPU_NAME"]
    elif not kernels.exists():
        shutil.rmtree(kernels.parent, ignore_errors=True)
        copy_kernels(packages(root), kernels)
    for path in (root / "opt").rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    return made


def run_as(image: Image, more: dict[str, str] | None = None) -> tuple[list[str], dict[str, str]]:
    """What stands before a command of the image, and its environment: nothing of this machine's."""
    temporary = image.root / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    environment = {"HOME": "/", "TMPDIR": str(temporary), **image.environment, **(more or {})}
    if os.geteuid() != 0:
        return [], environment
    # Reading stays allowed: this machine's Python may stand where others may not look.
    user = f"--reuid={image.user} --regid={image.user} --clear-groups --no-new-privs"
    return ["setpriv", *user.split(), "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"], environment


@contextmanager
def serving(image: Image, folder: Path) -> Iterator[tuple[Server, Path]]:
    """The command of the image with the ports moved; and what it did to files."""
    ports = {name: free_port() for name in DOORS}
    more = {f"FIRSTFAULT__{name}": f"{LOCAL}:{ports[door]}" for door, name in SETTINGS.items()}
    prefix, environment = run_as(image, more | {"FIRSTFAULT__STORAGE__PATH": str(image.workdir)})
    trace, log = folder / "trace", folder / "log"
    tracing = ["strace", "-f", "--seccomp-bpf", "-s", "4096", "-o", str(trace), "-e", f"trace={WRITING}"]
    if shutil.which("strace") is None:
        assert os.environ.get("CI") != "true", "strace is not installed; tests/tools/debian.sh installs it"
        tracing = []
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*tracing, *prefix, shutil.which(image.command[0], path=environment["PATH"]), *image.command[1:]],
            stdout=out,
            stderr=out,
            env=environment,
            cwd=image.workdir,
            start_new_session=True,
        )
    server = Server(folder, ports, {}, process, log)
    try:
        server.until(server.ready, "readiness", 200)
        yield server, trace
    finally:
        end(server)


def main_process(server: Server) -> int:
    """The one that strace started."""
    pid = server.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def written(trace: Path, workdir: Path) -> set[str]:
    """Every path that somebody opened to write, made, moved or removed."""
    found = set()
    for line in trace.read_text(errors="replace").splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        if match["call"].startswith("open") and not re.search(
            r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE", match["words"]
        ):
            continue
        found |= {os.path.normpath(workdir / path) for path in PATH.findall(match["words"])}
    return found


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


def test_it_serves_from_a_read_only_tree(image: Image, tmp_path: Path):
    """Starts, answers, is told alive, stops; and writes below the data directory and the temporary one only."""
    before = files(image.root / "opt")
    with serving(image, tmp_path) as (server, trace):
        drawing = draw(FAILING, seed=1)
        server.send(*drawing.requests())

        answer = server.root_cause(drawing.trace_id)
        graph = server.get(f"/api/v1/traces/{drawing.trace_id.hex()}/graph")
        report = server.get(f"/api/v1/traces/{drawing.trace_id.hex()}/report")

        assert answer["root_causes"][0]["error_type"] == "CardError"
        assert (graph.status_code, report.status_code) == (200, 200)
        prefix, environment = run_as(image)
        probe = [*prefix, *image.probe, f"{LOCAL}:{server.ports['health']}"]
        assert subprocess.run(probe, env=environment, cwd=image.workdir, timeout=60, check=False).returncode == 0
        main = main_process(server) if trace.exists() else server.process.pid
        if os.geteuid() == 0:
            assert f"Uid:\t{image.user}" in Path(f"/proc/{main}/status").read_text()
        os.kill(main, signal.SIGTERM)
        assert server.process.wait(60) == 0, server.said()
    assert files(image.root / "opt") == before
    assert any(image.workdir.iterdir())
    if trace.exists():
        allowed = (str(image.workdir), str(image.root / "tmp"), "/dev/null", "/dev/shm", "/proc/")
        paths = written(trace, image.workdir)
        assert [path for path in sorted(paths) if not path.startswith(allowed)] == []
        assert any(path.startswith(str(image.workdir)) for path in paths)


def test_nothing_compiles(image: Image):
    """Every kernel is found where the image keeps it."""
    prefix, environment = run_as(image)
    python = image.root / "opt/firstfault/bin/python"

    done = subprocess.run(
        [*prefix, python, "-c", COMPILES],
        env=environment,
        cwd=image.workdir,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "warm", done.stdout
    assert str(image.root) in done.stdout


def test_another_processor_than_the_images_is_refused(image: Image):
    """Then the kernels do not fit, and there is no place for others: said at once, not compiled at every start."""
    prefix, environment = run_as(image, {"NUMBA_CPU_NAME": "x86-64-v2"})
    python = image.root / "opt/firstfault/bin/python"
    program = "from collector.app import warming; warming.warm_receiver()"

    done = subprocess.run(
        [*prefix, python, "-c", program], env=environment, capture_output=True, text=True, timeout=600, check=False
    )

    assert done.returncode != 0
    assert "Error" in done.stderr


def test_the_image_holds_no_installer_and_no_tests(image: Image):
    assert {path.name for path in packages(image.root).iterdir()} & {"pip", "setuptools", "pytest", "tests"} == set()
