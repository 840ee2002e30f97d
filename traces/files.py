"""Workload files: `.json`, `.jsonl` with one application a line, and either of them gzipped.

A `.jsonl` file has no place for the workload's name, so a workload read from one is named after the file.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import msgspec

from traces.decoding import decode_application, decode_workload
from traces.validation import validate_workload
from traces.workload import Workload

#: Endings that `load_workload` and `save_workload` accept.
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def load_workload(path: Path | str, *, max_model_len: int | None = None) -> Workload:
    """Read and validate a workload file.

    Parameters
    ----------
    path : Path or str
        Ends in one of `SUFFIXES`.
    max_model_len : int, optional, tokens
        Refuse calls that do not fit the model's context.

    Raises
    ------
    ValueError
        When the file is missing, unreadable or not a valid workload; one line that names what and where.
    """
    path = Path(path)
    source, suffix = str(path), _suffix(path)
    data = read_bytes(path)
    if not data.strip():
        raise ValueError(f"{source}: the file is empty; a workload holds at least one application")
    if suffix.startswith(".jsonl"):
        applications = tuple(
            decode_application(line, f"{source}: line {number}")
            for number, line in enumerate(data.splitlines(), start=1)
            if line.strip()
        )
        workload = Workload(_stem(path), applications)
    else:
        workload = decode_workload(data, source)
    validate_workload(workload, source=source, max_model_len=max_model_len)
    return workload


def save_workload(workload: Workload, path: Path | str) -> None:
    """Write a workload; the same workload gives the same bytes, gzipped or not.

    Raises
    ------
    ValueError
        When the ending is not one of `SUFFIXES`, or the workload is not valid.
    OSError
        When the file cannot be written.
    """
    path = Path(path)
    suffix = _suffix(path)
    validate_workload(workload, source=str(path))
    if suffix.startswith(".jsonl"):
        data = msgspec.json.Encoder().encode_lines(workload.applications)
    else:
        data = msgspec.json.encode(workload) + b"\n"
    if suffix.endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)  # no timestamp: equal workloads, equal files
    path.write_bytes(data)


def workload_hash(workload: Workload) -> str:
    """SHA-256, in hexadecimal, of the workload's canonical JSON.

    Notes
    -----
    Canonical means: fields in the order of `traces.workload`, fields at their defaults left out, and numbers as a
    reader of the file would type them, so a workload hashes the same before it is saved and after it is loaded.
    """
    encoded = msgspec.json.encode(workload)
    return hashlib.sha256(msgspec.json.encode(msgspec.json.decode(encoded, type=Workload))).hexdigest()


def read_bytes(path: Path) -> bytes:
    """Content of a file, unzipped when its name ends in `.gz`.

    Raises
    ------
    ValueError
        When the file is missing, is no file, cannot be read, or is not whole gzip.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None


def require_suffix(path: Path | str) -> None:
    """Refuse a name that does not end in one of `SUFFIXES`.

    Raises
    ------
    ValueError
        One line naming the file and the endings.
    """
    _suffix(Path(path))


def _suffix(path: Path) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.endswith(suffix):
            return suffix
    raise ValueError(f"{path}: a workload file must end in {', '.join(SUFFIXES)}")


def _stem(path: Path) -> str:
    return path.name.removesuffix(_suffix(path)) or path.name
