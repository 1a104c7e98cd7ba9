"""A run: an append-only folder of records, samples and environments that survives a crash at any moment.

    records.jsonl          one line per finished cell; the latest line of a key counts
    samples/<2 hex>/...    the samples of one record, named by the cell's key and their own digest
    answers/<2 hex>/...    the conversations of one record, named by the cell's key
    environments.jsonl     what produced the records, by digest
    sweep-<digest>.toml    the resolved configuration of each sweep that wrote here
    lock                   held with flock by the one driver that may write; freed by the kernel when it dies

A record's line carries the size and digest of its samples and conversations, which are on disk before it: a record
never points at samples that were lost, and samples that were cut short or altered afterwards are noticed.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from results.cell import Cell, Variant, digest_of
from results.conversation import Conversation
from results.environment import Environment
from results.estimate import Sample
from results.files import append_line, create_folder, read_lines, repair, replace
from results.lines import (
    ANSWERS,
    SAMPLES,
    Line,
    digest,
    line_bytes,
    migrate,
    parsed,
    record_of,
    sample_bytes,
    values_of,
)
from results.lock import release, take_lock
from results.record import Record

RECORDS = "records.jsonl"
ENVIRONMENTS = "environments.jsonl"


class UnreadableRun(ValueError):
    """The run is missing, damaged or written by a newer version; the message names file and line."""


class Run:
    """An open run folder. Read it from anywhere; write it inside ``with Run.open(folder, write=True) as run``."""

    def __init__(self, folder: Path, write: bool, lock: int | None, notices: list[str]) -> None:
        self.folder = folder
        self.notices = notices
        """What a reader should know about the folder's state, such as a torn last line that was dropped."""
        self._write = write
        self._lock = lock
        self._count = 0
        self._lines: dict[str, Line] = {}
        self._environments: dict[str, Environment] = {}
        self._records: dict[str, Record] = {}

    @classmethod
    def open(cls, folder: str | Path, write: bool = False) -> Run:
        """Open a run; with ``write`` create it if need be, take its lock and repair a torn last line.

        Raises UnreadableRun (missing, damaged, newer schema), RunLocked (another driver), StoreError (disk).
        """
        folder = Path(folder)
        if not write and not (folder / RECORDS).is_file():
            there = "holds no records.jsonl" if folder.is_dir() else "does not exist"
            raise UnreadableRun(f"{folder} is no run folder: it {there}. Make a run with: python -m harness sweep")
        lock = None
        if write:
            create_folder(folder)
            lock = take_lock(folder)
        run = cls(folder, write, lock, [])
        try:
            with without_collector():
                run._load()
        except BaseException:
            run.close()
            raise
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back; the run can no longer be written."""
        if self._lock is not None:
            release(self._lock)
            self._lock = None
        self._write = False

    def append(
        self, record: Record, samples: Iterable[Sample] = (), conversations: Iterable[Conversation] = ()
    ) -> None:
        """Keep one record, its samples and conversations: on disk when this returns. StoreError if they cannot be."""
        self._require_write()
        value = record.to_json()
        told = b"".join(line_bytes(conversation.to_json()) for conversation in conversations)
        for kind, content in ((SAMPLES, sample_bytes(samples)), (ANSWERS, told)):
            if content:
                value[kind] = {"digest": digest(content), "size": len(content)}
                replace(self._path(kind, record.cell.key, value[kind]["digest"]), content)
        append_line(self.folder / RECORDS, line_bytes(value))
        self._count += 1
        self._lines[record.cell.key] = Line(self._count, value)
        self._records[record.cell.key] = record

    def records(self) -> list[Record]:
        """The latest record of every key, in the order in which the keys first appeared."""
        variants: dict[str, Variant] = {}
        with without_collector():
            for key, line in self._lines.items():
                if key not in self._records:
                    self._records[key] = self._record(line, variants)
        return [self._records[key] for key in self._lines]

    def record(self, key: str) -> Record | None:
        """The latest record of one cell, or None."""
        if key in self._lines and key not in self._records:
            self._records[key] = self._record(self._lines[key], {})
        return self._records.get(key)

    def pending(self, cells: Iterable[Cell]) -> list[Cell]:
        """The cells still to be measured: not ok in their latest record, or without all of its samples and answers."""
        return [cell for cell in cells if not self._is_done(cell.key)]

    def samples(self, key: str) -> tuple[Sample, ...]:
        """The samples of a cell's latest record; UnreadableRun if they were cut short, altered or lost."""
        return tuple(Sample(**value) for value in self.sample_rows(key))

    def sample_rows(self, key: str) -> list[dict[str, Any]]:
        """The same as they stand in the file, for whoever reads the samples of thousands of cells."""
        return self._kept(SAMPLES, key)

    def conversations(self, key: str) -> list[Conversation]:
        """The answers behind a cell's latest record, in the order of the questions; UnreadableRun as for samples."""
        return [Conversation.from_json(value) for value in self._kept(ANSWERS, key)]

    def _kept(self, kind: str, key: str) -> list[dict[str, Any]]:
        """The lines of a file that a record points at; none where it points at none."""
        line = self._lines.get(key)
        kept = line.value.get(kind) if line else None
        if kept is None:
            return []
        path = self._path(kind, key, kept["digest"])
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UnreadableRun(f"{path} cannot be read ({error.strerror}): {_REMEASURE}") from error
        if len(content) != kept["size"]:
            raise UnreadableRun(
                f"{path} was cut short or added to: it has {len(content)} bytes and its record says {kept['size']}. "
                f"{_REMEASURE}"
            )
        if digest(content) != kept["digest"]:
            raise UnreadableRun(f"{path} was altered: its digest is not the one in its record. {_REMEASURE}")
        return values_of(content)

    def environment(self, digest: str) -> Environment | None:
        """What produced the records that carry this digest; None if it was never stored."""
        return self._environments.get(digest)

    def add_environment(self, environment: Environment) -> str:
        """Keep an environment once; return the digest for ``Record.environment``."""
        self._require_write()
        value = environment.to_json()
        digest = digest_of(value)
        if digest not in self._environments:
            append_line(self.folder / ENVIRONMENTS, line_bytes({"digest": digest, "environment": value}))
            self._environments[digest] = environment
        return digest

    def config(self, text: str) -> Path:
        """Keep a resolved configuration as ``sweep-<digest>.toml``; the same text gives the same file."""
        self._require_write()
        content = text.encode()
        path = self.folder / f"sweep-{digest(content)}.toml"
        if not path.exists():
            replace(path, content)
        return path

    def configs(self) -> list[Path]:
        """The configurations of all sweeps that wrote here, oldest first."""
        return sorted(self.folder.glob("sweep-*.toml"), key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _load(self) -> None:
        for number, value in self._read(RECORDS):
            try:
                value = migrate(value)
                key = value["key"]
            except KeyError:
                raise UnreadableRun(f"{self.folder / RECORDS}, line {number}: the record has no key") from None
            except ValueError as error:
                raise UnreadableRun(f"{self.folder / RECORDS}, line {number}: {error}") from None
            self._lines[key] = Line(number, value)
            self._count = number
        for number, value in self._read(ENVIRONMENTS):
            try:
                self._environments[value["digest"]] = Environment.from_json(value["environment"])
            except (KeyError, TypeError) as error:
                raise UnreadableRun(f"{self.folder / ENVIRONMENTS}, line {number}: no environment ({error})") from None

    def _read(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and value of each line; the torn last one is dropped with a notice, and cut off if we may write."""
        path = self.folder / name
        if not path.exists():
            return
        number, good, torn = 0, 0, b""
        damaged: UnreadableRun | None = None
        try:
            for line, value in parsed(read_lines(path)):
                if damaged is not None:
                    raise damaged
                if not line.endswith(b"\n"):
                    torn = line  # what its writer has added by now is for the next who opens the run
                    break
                number += 1
                if isinstance(value, ValueError):  # no error if it is the last: then its write was torn
                    torn, told = line, f"damaged ({value}); remove or mend this line, the others are whole"
                    damaged = UnreadableRun(f"{path}, line {number}: {told}")
                else:
                    good += len(line)
                    yield number, value
        except OSError as error:
            raise UnreadableRun(f"{path} cannot be read ({error.strerror})") from error
        if torn:
            done = "dropped" if self._write else "ignored"
            what = "; the next sweep measures that cell again" if name == RECORDS else ""
            self.notices.append(
                f"{path}: its last line was incomplete ({len(torn)} bytes, left by an interrupted write) and is "
                f"{done}{what}"
            )
            if self._write:
                repair(path, good)

    def _record(self, line: Line, variants: dict[str, Variant]) -> Record:
        try:
            return record_of(line.value, variants)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreadableRun(f"{self.folder / RECORDS}, line {line.number}: no record ({error})") from None

    def _is_done(self, key: str) -> bool:
        line = self._lines.get(key)
        if line is None or line.value.get("status") != "ok":
            return False
        return all(self._is_whole(kind, key, line.value[kind]) for kind in (SAMPLES, ANSWERS) if kind in line.value)

    def _is_whole(self, kind: str, key: str, kept: Mapping[str, Any]) -> bool:
        """Whether a file that a record points at has its size; if not, a notice is kept."""
        path = self._path(kind, key, kept["digest"])
        try:
            size = path.stat().st_size
        except OSError:
            size = -1
        if size == kept["size"]:
            return True
        notice = f"{path} is missing or cut short: its cell is measured again"
        if notice not in self.notices:
            self.notices.append(notice)
        return False

    def _path(self, kind: str, key: str, digest: str) -> Path:
        # The digest in the name keeps a second measurement from overwriting samples that a record still points at.
        name = key if kind == ANSWERS else f"{key}-{digest[:8]}"
        return self.folder / f"{kind}/{key[:2]}/{name}.jsonl"

    def _require_write(self) -> None:
        if not self._write:
            raise RuntimeError(f"{self.folder} is open for reading; open it with write=True to add to it")


_REMEASURE = "Delete the file and run the same sweep again: only this cell is measured again."


@contextmanager
def without_collector() -> Iterator[None]:
    """Pause the cycle collector: it walks all the objects again and again while 100,000 of them are made."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
