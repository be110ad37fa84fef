"""Unpacks tar archives that nobody has checked."""

import lzma
import tarfile
import zlib
from contextlib import ExitStack
from itertools import islice
from pathlib import Path, PurePosixPath

from dalr.datasets.download import FetchError
from dalr.errors import InputError
from dalr.reading import reading

MAX_BYTES = 4 << 30
MAX_MEMBERS = 100_000


def extract_tar(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS) -> None:
    """Unpacks `archive` (plain or compressed) into `folder`, which is created.

    Every member is looked at before the first one is written. Only plain files and folders inside
    `folder` are accepted; macOS's `._` files are left out. tarfile's data filter, which does the unpacking,
    would find a bad member only after it wrote those before it; it takes links and names of other systems
    (`C:\\evil.txt`), and knows no limit of size.

    Raises:
        FetchError: not a tar archive, or one with a path that leaves the folder, a link, a device, or
            more bytes or members than allowed. Nothing has been written then.
    """
    try:
        with ExitStack() as opened:
            with reading(archive, "fetch", "a readable tar archive"):
                tar = opened.enter_context(tarfile.open(archive, "r:*"))
                members = list(islice(tar, max_members + 1))
            if len(members) > max_members:
                raise FetchError(f"{archive}: more than {max_members} members; refused")
            for member in members:
                _refuse_unsafe(archive, member)
            members = [member for member in members if not PurePosixPath(member.name).name.startswith("._")]
            total = sum(member.size for member in members)
            if total > max_bytes:
                raise FetchError(f"{archive}: unpacks to {total} bytes, more than the {max_bytes} allowed; refused")
            folder.mkdir(parents=True, exist_ok=True)
            # The filter refuses what leaves the folder once more, and drops owners and odd modes.
            tar.extractall(folder, members, filter="data")
    except InputError as error:
        raise FetchError(str(error)) from error
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise FetchError(f"{archive}: not a readable tar archive: {error}") from error


def _refuse_unsafe(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise FetchError(f"{archive}: member {member.name!r} would leave the target folder; refused")
    if member.issym() or member.islnk():
        raise FetchError(f"{archive}: member {member.name!r} is a link (to {member.linkname!r}); refused")
    if not member.isreg() and not member.isdir():
        raise FetchError(f"{archive}: member {member.name!r} is a device or another special file; refused")
