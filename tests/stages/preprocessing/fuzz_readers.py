"""Feeds readers with bytes, which libFuzzer changes until they reach new lines of a reader: READER OPTION...

`test_coverage_fuzz` starts it. It ends with a traceback and an exit code other than 0 where a reader ends in any other
way than its own error.
"""

import contextlib
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stagekit", "csv_input", "csv_table", "quoting", "table_schema", "times"]):
    from stagekit import Partition, contract
    from stagekit.errors import BadInput, NotReady
    from stagekit.mark import load_mark

    from csv_input import CsvFile
    from table_schema import read_schema

from conftest import DATA_HEADER, SCHEMA, flock

from tests.stagekit.test_contract import DOCUMENTS, ENCODER_JSON

PARTITION = "models/2026-11-21"
OUTPUT = {"sha256": "0" * 64, "size": 5, "rows": 1, "step": "train"}
STEP = {"inputs": {}, "parameters": {"a": 1}, "started": "2026-11-21T00:00:00Z", "result": {}, "warnings": ["x"]}
MARK = {"version": 1, "partition": PARTITION, "outputs": {"model.txt": OUTPUT}, "steps": {"train": STEP}}
FILES = sorted(DOCUMENTS)


def _read_mark(path: Path) -> None:
    load_mark(path.parent, PARTITION)


def _read_encoder(path: Path) -> None:
    contract.read_encoder(Partition(PARTITION, path.parent, {}, (path.name,)))


def _read_document(path: Path) -> None:
    """The first byte says which document of the contract the others are."""
    content = path.read_bytes()
    file = FILES[content[0] % len(FILES)] if content else FILES[0]
    (path.parent / file).write_bytes(content[1:])
    contract.read_document(Partition(PARTITION, path.parent, {}, (file,)), file)


def _read_schema(path: Path) -> None:
    read_schema(path, path.name)


def _read_table(path: Path) -> None:
    table = CsvFile(path, path.name)
    table.require_columns(DATA_HEADER)
    for batch in table.batches():
        assert batch.lines >= batch.rows.height


# By the name of a file: what reads it, and contents that are accepted.
READERS: dict[str, tuple[Callable[[Path], None], list[bytes]]] = {
    "_meta.json": (_read_mark, [json.dumps(MARK).encode()]),
    "encoder.json": (_read_encoder, [json.dumps(ENCODER_JSON).encode()]),
    "document": (_read_document, [bytes([n]) + json.dumps(DOCUMENTS[file]).encode() for n, file in enumerate(FILES)]),
    "schema.json": (_read_schema, [json.dumps(SCHEMA).encode()]),
    "data.csv": (_read_table, [flock(4)[0].encode()]),
}


def main(name: str, options: list[str]) -> None:
    """Feed a reader; libFuzzer ends the process."""
    read, seeds = READERS[name]
    logging.disable()
    folder = Path(tempfile.mkdtemp())
    path, examples = folder / name, folder / "examples"
    examples.mkdir()
    for number, seed in enumerate(seeds):
        (examples / str(number)).write_bytes(seed)
        path.write_bytes(seed)
        read(path)

    def take(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(BadInput, NotReady):
            read(path)

    atheris.Setup([sys.argv[0], str(examples), *options], take)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
