"""A figure's runs as a graph, carried out by Snakemake: what every figure shares."""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from mmnetaug.engine.cpu import usable_cores
from mmnetaug.errors import InputError, Stopped
from mmnetaug.locks import lock
from mmnetaug.records import RESULT_VERSION, write_json

SNAKEFILE = Path(__file__).with_name('Snakefile')


@dataclass(frozen=True)
class Step:
    """One command of ours. Paths are relative to the folder of the figure, or absolute.

    Attributes:
        makes: files that are there when it has succeeded; by the first one the Snakefile knows its rule.
        command: program and arguments.
        needs: files that must be there before.
    """

    makes: list[str]
    command: list[str]
    needs: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        """Where the Snakefile sends what the command prints."""
        return str(Path(self.makes[0]).with_suffix('.log'))


def tool_step(makes: list[str], command: Sequence[Any], needs: Sequence[str] = ()) -> Step:
    """The step of one of ``tools/*.py`` and its arguments."""
    return Step(makes, [sys.executable, *map(str, command)], list(needs))


@dataclass(frozen=True)
class Plan:
    """All that a figure needs.

    Attributes:
        figure: its name, such as 'fig5'.
        settings: plain data for whoever reads the figure's JSON.
        data: option of the tool -> folder of the data that the runs are made with.
        points: plain data; in each ``result`` is the JSON file with its measurements.
        steps: in the order in which they build on each other; the last one draws.
    """

    figure: str
    settings: dict[str, Any]
    data: dict[str, str]
    points: list[dict[str, Any]]
    steps: list[Step]


def digest(content: Any) -> str:
    """Eight letters that tell plain data, or bytes, from other ones in the name of a run."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return hashlib.sha256(content).hexdigest()[:8]


def check_data(out: str | Path, data: dict[str, str]) -> dict[str, str]:
    """Compare the data of a plan with that of the runs in a folder, whose names do not tell it.

    Args:
        out: folder of the figure; ``runs/data.json`` in it knows.
        data: of a :class:`Plan`.

    Returns:
        What ``runs/data.json`` shall hold from now on.

    Raises:
        InputError: the runs there were made with other data.
    """
    path, known = Path(out) / 'runs' / 'data.json', runs_data(out)
    for option, folder in data.items():
        if known.get(option, folder) != folder:
            raise InputError(
                f'{out} holds runs with {option} {known[option]}, not {folder}: give another --out for other data (or, '
                f'if the same data has moved, change the path in {path})'
            )
    return {**known, **data}


def runs_data(out: str | Path) -> dict[str, str]:
    """What ``runs/data.json`` in the folder of a figure holds: option -> folder of the data of its runs.

    Raises:
        InputError: it is damaged.
    """
    path = Path(out) / 'runs' / 'data.json'
    try:
        return dict(json.loads(path.read_text(encoding='utf-8'))) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise InputError(
            f'{path} is damaged ({error}): delete it if all runs beside it are on the same data'
        ) from error


def require_snakemake() -> None:
    """Raise :class:`InputError` unless Snakemake is there, and can be stopped with all that it runs."""
    if os.name != 'posix':
        raise InputError(
            'the runs behind a figure are stopped as a group, which Windows does not know: start this in WSL '
            '(--from-results DIR draws a finished figure again)'
        )
    if importlib.util.find_spec('snakemake') is None:
        raise InputError(
            'the runs behind a figure need Snakemake: `pip install mmnetaug[figures]`, or in a clone '
            "`pip install -e '.[figures]'`, with Python 3.11 or newer (without it --from-results DIR draws a finished "
            'figure again)'
        )


def run_plan(plan: Plan, out: str | Path, jobs: int = 1, dry_run: bool = False, options: Sequence[str] = ()) -> None:
    """Carry out the steps whose results are missing.

    Args:
        plan: what to do.
        out: folder of the figure: the plan, ``runs`` and the figure itself go there.
        jobs: how many steps at once; they share the cores.
        dry_run: only say what would be done, and change nothing.
        options: more arguments for Snakemake.

    Raises:
        InputError: no Snakemake, runs on other data or another command at work in ``out``, or a step that failed:
            which, why, and where its log is. All that does not need it is done first.
    """
    require_snakemake()
    data = check_data(out, plan.data)
    out, content = Path(out), json.loads(json.dumps({'version': RESULT_VERSION, **asdict(plan)}))
    path = out / f'{plan.figure}_plan.json'
    if dry_run:
        with tempfile.TemporaryDirectory() as elsewhere:
            if not _holds(path, content):
                path = Path(elsewhere) / path.name
                write_json(path, content)
            briefly = ['--dry-run', '--quiet', 'host', 'reason', *options]
            command = _snakemake(path, out if out.is_dir() else Path(elsewhere), jobs, briefly)
            if subprocess.run(command, env=_environment(Path(elsewhere))).returncode:
                raise InputError('Snakemake cannot plan this, see above')
        return
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out) as held:
        write_json(out / 'runs' / 'data.json', data)
        if not _holds(path, content):  # its date tells Snakemake whether to draw again
            write_json(path, content)
        start = time.time()
        status = _run_group(_snakemake(path, out, jobs, options), out, held)
    if status:
        raise InputError(_failures(plan, out, start) or f'Snakemake ended with status {status}, see above')


def _holds(path: Path, content: dict[str, Any]) -> bool:
    try:
        return json.loads(path.read_text(encoding='utf-8')) == content
    except (OSError, ValueError):
        return False


def _snakemake(plan: Path, out: Path, jobs: int, options: Sequence[str]) -> list[str]:
    threads = max(1, usable_cores() // jobs)
    command = [sys.executable, '-m', 'snakemake', '--snakefile', SNAKEFILE, '--directory', out, '--configfile', plan]
    command += ['--config', f'plan={plan.resolve()}', f'threads={threads}']
    command += ['--cores', jobs * threads, '--jobs', jobs, '--keep-going', '--rerun-incomplete', '--nolock']
    # What determines a run is in its name; our code and commands may change. The greedy scheduler needs no solver.
    command += ['--quiet', 'host', '--rerun-triggers', 'mtime', '--scheduler', 'greedy', *options]
    return [str(part) for part in command]


def _environment(own: Path) -> dict[str, str]:
    """That of Snakemake, with a cache in the folder ``own`` where it cannot write to the user's."""
    from platformdirs import user_cache_path

    folder = user_cache_path('snakemake', 'snakemake')
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    usable = os.access(folder, os.W_OK)
    return {**os.environ, **({} if usable else {'XDG_CACHE_HOME': str(own.absolute() / 'cache')})}


@contextmanager
def _locked(out: Path) -> Iterator[IO[str]]:
    """Keep out other commands. Unlike Snakemake's own lock this one ends with the process that holds it."""
    with open(out / '.lock', 'a+', encoding='utf-8') as file:
        if not lock(file, inherited=True):
            file.seek(0)
            raise InputError(
                f'another command is at work in {out}: wait for it, or stop it (kill -INT -- -{file.read().strip()})'
            )
        yield file


def _run_group(command: list[str], out: Path, held: IO[str]) -> int:
    """Run Snakemake in a process group of its own, all of which is interrupted when we are told to stop."""
    process, told, environment = None, [], _environment(out / '.snakemake')

    def interrupt(number: int, _: Any) -> None:
        # A command in the background of a script ignores interrupts, and one under nohup hang-ups.
        if process and previous[number] is not signal.SIG_IGN:
            told.append(number)
            os.killpg(process.pid, signal.SIGINT)

    # Before the group starts, which would else inherit that interrupts are ignored.
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        # The group inherits the lock: should we be killed, it goes on, and nobody may start the same runs beside it.
        process = subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=[held.fileno()])
        held.truncate(0)
        held.write(f'{process.pid}\n')
        held.flush()
        status = process.wait()
        if status and told:
            said = 'stopped: finished steps are kept, and a run goes on from its last checkpoint'
            raise Stopped(told[0], said, resume=False)
        return status
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _failures(plan: Plan, out: Path, start: float) -> str:
    """The steps that failed since ``start`` (seconds since the epoch), each with its last words and its log."""
    failed = []
    for step in plan.steps:
        log = out / step.log
        if log.is_file() and log.stat().st_mtime >= start and not all((out / path).is_file() for path in step.makes):
            lines = [line.strip() for line in log.read_text(errors='replace').splitlines() if line.strip()]
            errors = [line for line in lines if line.startswith('error: ')]
            failed.append(f'  {(errors or lines or ["no output"])[-1]}\n    log: {log}')
    if not failed:
        return ''
    missing = sum(not all((out / path).is_file() for path in step.makes) for step in plan.steps)
    return (
        f'{missing} of {len(plan.steps)} steps are not done; these failed or were stopped:\n'
        + '\n'.join(failed)
        + '\nMend the cause and type the same command again: finished steps are kept, and a run goes on from its last '
        'checkpoint'
    )
