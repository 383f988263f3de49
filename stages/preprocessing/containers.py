"""What a file is by its first bytes, and its content without compression."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from backports import zstd
from stagekit import BadInput

PIECE_BYTES, MAGIC_BYTES = 1 << 20, 8
PARQUET = b"PAR1"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", **dict.fromkeys(ZIP_MAGICS, "zip")}
UNPACK = "unpack it, then name what was in it"
SAVE_AS_CSV = "open it in its program and save it as CSV"
# Formats that are not read: how they begin, what they are, what to do.
OTHER_FORMATS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel file (xls). Excel is not read", SAVE_AS_CSV),
    (b"BZh", "compressed with bzip2", UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", UNPACK),
    (b"\x04\x22\x4d\x18", "compressed with lz4", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet or CSV"),
    (b"ORC", "an ORC file", "write it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or CSV"),
    (b"\x89HDF", "an HDF5 file", "write it as Parquet or CSV"),
    (b"SQLite format 3\x00", "a SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF", "name a file with a table"),
    (b'{"', "JSON", "write it as Parquet or CSV"),
    (b"[{", "JSON", "write it as Parquet or CSV"),
    (b"<!DOCTYPE", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
    (b"<?xml", "XML", "write it as Parquet or CSV"),
)
# What a zip archive is when it holds one of these.
OFFICE_FILES = {
    "[Content_Types].xml": "an Excel file (xlsx). Excel is not read",
    "mimetype": "an OpenDocument file. Spreadsheets are not read",
}
EXPECTED = "CSV or Parquet, as it is or compressed with gzip, zstd or zip"
# Damage that is met while a file is unpacked.
DAMAGES = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True)
class Container:
    """A file that has been recognised. `label` names it in messages; `compression` is empty if it has none."""

    path: Path
    label: str
    compression: str
    is_parquet: bool

    def pieces(self) -> Iterator[bytes]:
        """The content without compression, piece by piece. Errors: BadInput if it cannot be unpacked."""
        return _pieces(self.path, self.label, self.compression)

    def head(self) -> bytes:
        """The first piece of the content."""
        return next(self.pieces(), b"")


def open_container(path: Path, label: str) -> Container:
    """Recognise a file. Errors: BadInput that says what it is, if it is nothing that is read here."""
    with path.open("rb") as file:
        compression = _compression(file.read(MAGIC_BYTES))
    head = next(_pieces(path, label, compression), b"")
    inner = _compression(head)
    if compression and inner:
        raise BadInput(
            f"{label} is {compression} of {inner}", expected="a file that is compressed once", do="unpack it once"
        )
    for magic, what, do in OTHER_FORMATS:
        if head.startswith(magic):
            raise BadInput(f"{label} is {what}", expected=EXPECTED, do=do)
    return Container(path, label, compression, head.startswith(PARQUET))


def _compression(head: bytes) -> str:
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), "")


def _pieces(path: Path, label: str, compression: str) -> Iterator[bytes]:
    try:
        with _opened(path, label, compression) as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    except DAMAGES as error:
        raise BadInput(
            f"{label} begins like {compression} but cannot be unpacked: {error or type(error).__name__}",
            expected="a file that is complete",
            do="deliver it again",
        ) from None


def _opened(path: Path, label: str, compression: str) -> IO[bytes]:
    if compression == "zip":
        return _open_only_member(path, label)
    unpack = {"gzip": gzip.GzipFile, "zstd": zstd.ZstdFile}.get(compression, Path.open)
    return cast(IO[bytes], unpack(path, "rb"))


def _open_only_member(path: Path, label: str) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    infos = archive.infolist()
    for info in infos:
        if info.filename in OFFICE_FILES:
            raise BadInput(f"{label} is {OFFICE_FILES[info.filename]}", expected=EXPECTED, do=SAVE_AS_CSV)
    # macOS adds files of its own.
    members = [info for info in infos if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        names = ", ".join(info.filename for info in members[:5]) + (", ..." if len(members) > 5 else "")
        raise BadInput(
            f"{label} is a zip archive of {len(members)} files{': ' * bool(names)}{names}",
            expected="exactly one file in it",
            do=UNPACK,
        )
    if members[0].flag_bits & 1:
        raise BadInput(f"{label} is a zip archive with a password", expected="one without", do=UNPACK)
    return archive.open(members[0])
