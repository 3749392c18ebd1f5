"""The one way to write a file or folder: checked before the work, written beside its place, moved there when whole.

A file that is written on the way is called ``.NAME.lcl-...``; what a run that was killed left of such names is removed
by the next that writes to the same place. Nothing else is ever removed.
"""

from __future__ import annotations

import errno
import os
import platform
import secrets
import shlex
import shutil
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lcl_ref.errors import FileError, Violation
from lcl_ref.outside.interrupts import held_back
from lcl_ref.outside.text import shown

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "files may not be so long"}
"""What an error of the system means: there is no room, whatever was to be written."""


def refusal(path: Path | str, error: OSError, todo: str = "") -> FileError:
    """Return the error for a file or folder that cannot be written, in words that name a full disk as one."""
    got = FULL.get(error.errno or 0) or shown(error.strerror or error)
    return FileError(Violation("file/write", str(path), got, "a place that can be written", todo=todo))


def check_target(*paths: Path, read: Iterable[Path] = ()) -> None:
    """Refuse what cannot be written, before any work is done.

    Parameters
    ----------
    *paths : Path
        The files to write.
    read : iterable of Path
        Files that are read for them, and must not be lost.

    Raises
    ------
    FileError
        If a folder is missing or cannot be written, if something that is no file is in the place, if two are one, or
        one is read.
    """
    real = [_real(path) for path in paths]
    for path, target in zip(paths, real, strict=True):
        with _refusing(path):
            _check_parent(path, target.parent)
            if target.exists() and not target.is_file():
                got = "a folder" if target.is_dir() else "no regular file, but a device or pipe"
                raise FileError(Violation("file/target", str(path), got, "a file, or none yet"))
            _try(target)
    twice = next((path for path, target in zip(paths, real, strict=True) if real.count(target) > 1), None)
    if twice is not None:
        raise FileError(Violation("file/target", str(twice), "the same file for two results", "a file for each"))
    for source in read:
        for path in paths:
            if _are_one(path, source):
                raise FileError(Violation("file/target", str(path), "a file that is read", "another file to write to"))


def _are_one(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is not there
        return False


def check_folder(path: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Refuse a place for a whole folder, before any work is done; one that is there must be empty or `is_ours`.

    Raises
    ------
    FileError
        If it is another's, or cannot be written.
    """
    target = _real(path)
    with _refusing(path):
        _check_parent(path, target.parent)
        if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or is_ours(target))):
            got = f"a folder without {what}" if target.is_dir() else "no folder"
            todo = "nothing of it was touched; name another"
            expected = f"a folder of {what}, an empty one, or none yet"
            raise FileError(Violation("file/target", str(path), got, expected, todo=todo))
        _try(target)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error


def _real(path: Path) -> Path:
    """Return where a path leads, through links: what is at the end of a link is replaced, not the link."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # links that lead to each other
        raise FileError(Violation("file/target", str(path), shown(error), "a path that leads somewhere")) from error


def _check_parent(path: Path, parent: Path) -> None:
    if not parent.is_dir():
        got = f"no folder {path.parent}" if not parent.exists() else f"{path.parent} is no folder"
        todo = "" if parent.exists() else f"make it with: mkdir -p {shlex.quote(str(path.parent))}"
        raise FileError(Violation("file/folder", str(path), got, "a folder to write in", todo=todo))


def _try(target: Path) -> None:
    """Make an empty file beside the target, to see that it can be done; no interruption leaves it there."""
    beside = _beside(target)
    with held_back():
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        beside.unlink()


def _beside(target: Path) -> Path:
    """Return a new name in the folder of `target`, as long as the file system allows."""
    name = target.name.encode(errors="surrogateescape")
    if len(name) > _LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return target.with_name(f"{_stem(target)}{os.getpid()}-{secrets.token_hex(4)}")


def _stem(target: Path) -> str:
    """Return how names of files on the way to `target` begin; they bear the machine, for folders that several share."""
    mark = f".lcl-{zlib.crc32(platform.node().encode()):08x}-"
    kept = target.name.encode(errors="surrogateescape")[: _LONGEST_NAME - 60]
    return f".{kept.decode(errors='ignore')}{mark}"


_LONGEST_NAME = 255


@contextmanager
def replacing(*targets: Path) -> Iterator[list[Path]]:
    """Yield a temporary path per target: they take the targets' places if the block ends well, or are removed.

    All or none: an interruption between two of them puts the first one back.

    Raises
    ------
    FileError
        If a target cannot be written; its text names a full disk.
    """
    check_target(*targets)
    places = [_real(target) for target in targets]
    temporary = [_beside(place) for place in places]  # legal, since the targets were checked
    try:
        for path, place in zip(temporary, places, strict=True):
            _sweep(place)
            path.touch(exist_ok=False)  # with the permissions that the umask leaves
            if place.exists():
                path.chmod(stat.S_IMODE(place.stat().st_mode))
        yield temporary
        _settle(temporary, places)
    except OSError as error:
        raise refusal(targets[0], error) from error
    finally:
        with held_back():
            for path in temporary:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or what a writer made a folder of."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, as `write_texts` does."""
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several files whole, all of them or none; a `FileError` says which cannot be written, and why."""
    with replacing(*texts) as files:
        for file, text in zip(files, texts.values(), strict=True):
            file.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_folder(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a folder with these files, by their paths in it, whole or not at all, in the place of an old one.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    place = _real(path)
    with _refusing(path):
        fresh = _beside(place)
    old = fresh.with_name(f"{fresh.name}-old")
    try:
        _sweep(place)
        fresh.mkdir()
        if place.exists():
            fresh.chmod(stat.S_IMODE(place.stat().st_mode))
        for name, data in files:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(data)
            _sync(fresh / name)
        with held_back() as interrupted:
            _swap(fresh, place, old, interrupted)
            _sync(place.parent)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with held_back():
            shutil.rmtree(fresh, ignore_errors=True)


def _swap(fresh: Path, place: Path, old: Path, interrupted: Callable[[], bool]) -> None:
    """Move one folder into the place of another; whatever happens in between, one of them stands there."""
    moved = place.exists()
    try:
        if moved:
            place.rename(old)
        if not interrupted():
            fresh.rename(place)
    finally:
        if moved and not place.exists():
            old.rename(place)


def _settle(temporary: list[Path], places: list[Path]) -> None:
    """Move files into their places, all or none."""
    for path in temporary:
        _sync(path)
    old = [path.with_name(f"{path.name}-old") for path in temporary]
    done = 0
    with held_back() as interrupted:
        try:
            for path, place, kept in zip(temporary, places, old, strict=True):
                if len(places) > 1 and place.exists():
                    _keep(place, kept)
                path.replace(place)
                done += 1
                if interrupted():
                    break
        finally:
            for place, kept in list(zip(places, old, strict=True))[: done if done < len(places) else 0]:
                kept.replace(place) if kept.exists() else _remove(place)
            for kept in old:
                kept.unlink(missing_ok=True)
    _sync(places[0].parent)


def _keep(place: Path, kept: Path) -> None:
    try:
        os.link(place, kept)
    except OSError:  # a file system without such links
        shutil.copy2(place, kept)


def _sync(path: Path) -> None:
    """Let the disk have what was written; a folder of a file system that cannot do that is left to itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _sweep(place: Path) -> None:
    """Remove what runs that were killed left beside a place; where it holds the only old one, that is put back."""
    stem = _stem(place)
    for path in [one for one in place.parent.iterdir() if one.name.startswith(stem)]:
        owner = path.name.removeprefix(stem).partition("-")[0]
        if not owner.isdigit() or _alive(int(owner)):
            continue
        if path.name.endswith("-old") and not place.exists():
            path.rename(place)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
