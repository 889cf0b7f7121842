"""Code that tries to break out, or to score without being right. Each attempt is run for real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.processes import has_ended, waited
from tasks import DataProblems
from tasks.execution import Check, Limits, Program, score
from tasks.execution.sandbox import UNSAFE, Sandbox, close_all, sandbox_of

REACHING_OUT = (
    "ctypes",
    "http.client",
    "multiprocessing",
    "resource",
    "select",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "tempfile",
)
TRY = """
def tried(attempt):
    try:
        return attempt()
    except BaseException as error:
        return type(error).__name__
"""
PROGRAM = Program(setup=TRY, modules=REACHING_OUT, limits=Limits(seconds=60.0, memory=192 * 2**20))
REFUSED = "PermissionError"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is none of the answer's business, with a file."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text("the secret")
    return folder


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def said(code: str, expression: str = "got", program: Program = PROGRAM) -> str:
    """What an expression comes to after some code, as the child writes it; nothing if it wrote nothing."""
    return next(iter(sandbox_of(program).run(code, [expression])), "")


FILES = {
    "read": "open({file!r}).read()",
    "read by descriptor": "os.open({file!r}, os.O_RDONLY)",
    "write": "open({file!r}, 'w').write('x')",
    "create": "open({folder!r} + '/new', 'w')",
    "create in /tmp": "open('/tmp/goldilocks-broke-out', 'w')",
    "create in its own folder": "open('new', 'w')",
    "list": "os.listdir({folder!r})",
    "look": "os.stat({file!r}).st_size",
    "remove": "os.unlink({file!r})",
    "rename": "os.rename({file!r}, {file!r} + '2')",
    "change mode": "os.chmod({file!r}, 0o777)",
    "change owner": "os.chown({file!r}, 1, 1)",
    "change times": "os.utime({file!r})",
    "truncate": "os.truncate({file!r}, 0)",
    "link": "os.symlink({file!r}, {folder!r} + '/link')",
    "make a folder": "os.mkdir({folder!r} + '/made')",
    "remove a tree": "shutil.rmtree({folder!r})",
    "change the folder": "os.chdir({folder!r})",
    "home": "open(os.path.expanduser('~') + '/.profile').read()",
    "project": "open({project!r}).read()",
    "other processes": "open('/proc/self/environ').read()",
    "memory file": "os.memfd_create('x')",
}


@pytest.mark.parametrize("attempt", FILES.values(), ids=FILES)
def test_no_file_is_read_or_changed(attempt: str, outside: Path) -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    expression = attempt.format(file=str(outside / "secret.txt"), folder=str(outside), project=str(project))
    assert said(f"import os, shutil\ngot = tried(lambda: {expression})") == f'{{"gives": "{REFUSED}"}}'
    assert [file.name for file in outside.iterdir()] == ["secret.txt"]
    assert (outside / "secret.txt").read_text() == "the secret"


PROCESSES = {
    "fork": "os.fork()",
    "subprocess": "subprocess.run(['true'])",
    "exec": "os.execv('/bin/true', ['true'])",
    "kill the parent": "os.kill(os.getppid(), 9)",
    "kill all": "os.kill(-1, 9)",
    "kill the group": "os.killpg(0, 9)",
    "a handler of signals": "signal.signal(signal.SIGXCPU, signal.SIG_IGN)",
    "another user": "os.setuid(1)",
    "nicer": "os.nice(5)",
    "a pipe": "os.pipe()",
    "TCP": "socket.socket().connect(('127.0.0.1', {port}))",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix socket": "socket.socket(socket.AF_UNIX)",
    "socket pair": "socket.socketpair()",
}


@pytest.mark.parametrize("attempt", PROCESSES.values(), ids=PROCESSES)
def test_no_process_is_started_signalled_or_called(attempt: str, listener: socket.socket) -> None:
    expression = attempt.format(port=listener.getsockname()[1])
    code = f"import os, signal, socket, subprocess\ngot = tried(lambda: {expression})"
    assert said(code) == f'{{"gives": "{REFUSED}"}}'
    with pytest.raises(BlockingIOError):
        listener.accept()


OTHERS = {
    "a shell": ("os.system('true') != 0", "true"),
    "a thread": ("threading.Thread(target=print).start()", '"RuntimeError"'),
    "more memory": ("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", '"ValueError"'),
    "more time": ("resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))", '"ValueError"'),
    "a module from a file": ("__import__('sqlite3')", '"ModuleNotFoundError"'),
    "the project": ("__import__('tasks')", '"ModuleNotFoundError"'),
    "fork by number": ("ctypes.CDLL(None).syscall(57)", "-1"),
    "ptrace": ("ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)", "-1"),
    "prctl": ("ctypes.CDLL(None).prctl(22, 0, 0, 0, 0)", "-1"),
    "open by number": ("ctypes.CDLL(None).open(b'/etc/passwd', 0)", "-1"),
    "an alarm": ("signal.setitimer(signal.ITIMER_REAL, 1)", '"itimer_error"'),
    "the environment": ("set(os.environ) <= {'LC_CTYPE', 'LD_LIBRARY_PATH'}", "true"),
}


@pytest.mark.parametrize(("attempt", "outcome"), OTHERS.values(), ids=OTHERS)
def test_nothing_else_reaches_out(attempt: str, outcome: str) -> None:
    code = f"import ctypes, os, resource, signal, threading\ngot = tried(lambda: {attempt})"
    assert said(code) == f'{{"gives": {outcome}}}'


BOMBS = {
    "memory": "x = []\nwhile True: x.append('x' * 10**7)",
    "one large object": "x = bytearray(10**11)",
    "forks": "import os\nwhile True:\n    os.fork()",
    "a crash": "import ctypes\nctypes.string_at(0)",
    "a deep text": "eval('(' * 10**5)",
    "the interpreter": "import os\nos.abort()",
    "a file without end": "open('x', 'w').write('x' * 10**9)",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_only_end_themselves(bomb: str) -> None:
    assert score(bomb, (Check.gives("1", 1),), PROGRAM) == 0
    assert score("x = 1", (Check.gives("x", 1),), PROGRAM) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "bomb",
    [
        "while True: pass",
        "9 ** 9 ** 9",
        "import re\nre.match('(a+)+b', 'a' * 40)",
        "import sys\nsys.setrecursionlimit(10**8)\ndef f(): return f()\nf()",
    ],
    ids=["loop", "power", "pattern", "recursion"],
)
def test_endless_work_ends(bomb: str) -> None:
    assert score(bomb, (Check.gives("1", 1),), PROGRAM) == 0


@pytest.mark.parametrize(
    "wait",
    [
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "import os\nos.read(3, 1)",
    ],
    ids=["lock", "the pipe of checks"],
)
def test_waiting_ends(wait: str) -> None:
    hasty = Program(limits=Limits(seconds=0.3))
    assert score(wait, (Check.gives("1", 1),), hasty) == 0


def test_a_flood_of_output_is_cut_off() -> None:
    assert score("for n in range(3000): print('PASS' * 99)", (Check.gives("1", 1),), PROGRAM) == 1
    assert score("x = 'x' * 10**7", (Check.gives("x", "x"), Check.gives("1", 1)), PROGRAM) == 0
    flood = "import os\nwhile True: os.write(4, b'1' * 60000)"
    assert score(flood, (Check.gives("1", 1),), PROGRAM) == 0


CHEATS = {
    "exit": "import sys\nsys.exit(0)",
    "hard exit": "import os\nos._exit(0)",
    "SystemExit": "raise SystemExit(0)",
    "words": "print('PASS')\nprint('True True True')",
    "no exit": "import os\nos._exit = lambda code: None\nraise KeyError",
    "equal to all": (
        "class Equal(int):\n    __eq__ = lambda self, other: True\n    __ne__ = lambda self, other: False\n"
        "    __hash__ = int.__hash__\nanswer = Equal(1)"
    ),
    "patched json": "import json\njson.dumps = lambda *a, **k: 'true'\nanswer = 1",
    "patched eval": "import builtins\nbuiltins.eval = lambda *a: True\nanswer = 1",
    "forged results": "import os\nos.write(4, b'\\n' + b'{\"gives\": true}\\n' * 9)\nos._exit(0)",
    "forged without values": "import os\nos.write(4, b'\\n' + b'null\\n' * 9)\nos._exit(0)",
    "too deep": "import os\nos.write(4, b'\\n' + b'[' * 60000 + b'\\n')\nos._exit(0)",
    "asked back": (
        "import os, json\nos.write(4, b'\\n')\nfor asked in json.loads(os.read(3, 60000)):\n"
        "    os.write(4, json.dumps({'gives': asked}).encode() + b'\\n')\nos._exit(0)"
    ),
}


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_cheats_score_nothing(cheat: str) -> None:
    checks = (
        Check.gives("answer", 7341),
        Check.gives("[answer, answer]", [7341, 7341]),
        Check.raises("1 / 0", "Nothing"),
    )
    assert score(cheat, checks, PROGRAM) == 0


def test_what_is_expected_is_nowhere_in_the_process_of_the_answer() -> None:
    code = (
        "import gc, sys\n"
        "def texts():\n"
        "    frame = sys._getframe()\n"
        "    while frame:\n"
        "        yield repr(frame.f_locals)\n"
        "        frame = frame.f_back\n"
        "    for thing in gc.get_objects():\n"
        "        if isinstance(thing, (dict, list, tuple)):\n"
        "            for each in gc.get_referents(thing):\n"
        "                if isinstance(each, (str, bytes, int)): yield repr(each)\n"
        "early = any(''.join(['check', 'mark']) in text for text in texts())\n"
    )
    expected = "wanted-value-71"
    checks = (
        Check.gives("'checkmark' and early", False),  # the expressions come after the code has run
        Check.gives("any(''.join(['wanted-', 'value-71']) in text for text in texts())", False),
        Check.gives("0", expected),
    )
    held = [score(code, (check,), PROGRAM) for check in checks[:2]]
    assert held == [1, 1]
    assert score(code, checks, PROGRAM) == pytest.approx(2 / 3)


def test_one_answer_leaves_nothing_to_the_next() -> None:
    spoil = "import builtins, json\nbuiltins.sum = lambda x: 3\njson.loads = None\nleft = 1"
    assert score(spoil, (Check.gives("sum([])", 3),), PROGRAM) == 1
    assert score("x = 1", (Check.gives("sum([])", 0), Check.raises("left", "NameError")), PROGRAM) == 1


@pytest.mark.slow
def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os\nfrom tasks.execution import Program\nfrom tasks.execution.sandbox import sandbox_of\n"
        "print(sandbox_of(Program())._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.run(
        [sys.executable, script], cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    server = int(parent.stdout)
    if not waited(lambda: has_ended(server), 60.0):
        os.kill(server, signal.SIGKILL)
        pytest.fail("the server outlived its parent")


def test_without_walls_nothing_runs_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attempt that the walls refuse succeeds without them, so the tests above would notice if there were none."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    # a setup is trusted: this one stands for a machine whose kernel has no filter
    lacking = Program(setup=f"{TRY}\nimport sys\nsys.modules['walls'].missing = lambda: 'no filter'")
    with pytest.raises(DataProblems, match=r"no wall on this machine: no filter.*GOLDILOCKS_UNSAFE_EXECUTION=1"):
        sandbox_of(lacking)
    monkeypatch.setenv(UNSAFE, "1")
    assert said(f"got = open({str(secret)!r}).read()", program=lacking) == '{"gives": "the secret"}'
    close_all()


def test_a_setup_that_fails_is_reported() -> None:
    with pytest.raises(DataProblems, match="the setup failed: ZeroDivisionError"):
        sandbox_of(Program(setup="1 / 0"))


@pytest.mark.slow
def test_a_process_that_died_is_started_again() -> None:
    program = Program(setup="x = 5")
    assert score("y = x", (Check.gives("y", 5),), program) == 1
    first = sandbox_of(program)
    first._process.kill()
    first._process.wait()
    with pytest.raises(DataProblems, match="has ended"):
        first.run("y = 1", ["y"])
    assert score("y = x + 1", (Check.gives("y", 6),), program) == 1
    assert sandbox_of(program) is not first


@pytest.mark.slow
def test_its_folder_is_removed() -> None:
    sandbox = Sandbox(Program())
    folder = Path(sandbox._folder.name)
    assert list(folder.iterdir()) == []
    sandbox.close()
    assert not folder.exists()
