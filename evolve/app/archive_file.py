"""Rows of a COPY in a file and out of it again: Parquet (through pyarrow) or gzipped CSV, hashed on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any, Protocol, assert_never, cast

from evolve.errors import Misuse, Refused
from evolve.partition.archive import ArchivedColumn, FileFormat

if TYPE_CHECKING:
    import pyarrow

CHUNK = 4 << 20  # bytes of CSV that are worked on at once; a row group of a Parquet file
_AHEAD = 2  # chunks that wait for the thread that compresses
_GROUP = 1 << 20  # rows; Parquet's writer begins another row group there by itself
_FASTEST = 1  # the next level takes half as long again for a few percent


class NoPyarrow(Misuse):
    def __init__(self) -> None:
        super().__init__(
            "--format parquet needs the package pyarrow, which is not installed",
            fix="pip install 'alembic-evolve[archive]', or --format csv.gz",
        )


class Unreadable(Refused):
    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"the archive {place} cannot be read: {reason}",
            why="what cannot be read cannot be restored, so nothing was changed and nothing counts as archived",
            fix="take it from a copy, or archive the partition again if it is still there",
        )


class Writer(Protocol):
    """Takes rows as CSV, whole rows in each call, and hashes what it keeps."""

    def add(self, rows: bytes) -> None: ...

    def close(self) -> str:
        """End the file; returns the hash of its content."""
        ...


class Hashing(io.RawIOBase):
    """Passes bytes on to `inner` and keeps count and hash of them."""

    def __init__(self, inner: IO[bytes]) -> None:
        super().__init__()
        self._inner = inner
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        # pyarrow hands buffers of its own, Python's compressor bytes.
        view = memoryview(data).cast("B")
        self._inner.write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def refuse_without_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise NoPyarrow


def has_header(format_: FileFormat) -> bool:
    """A CSV file names its columns in its first line."""
    return format_ == "csv.gz"


def file_name(format_: FileFormat) -> str:
    return f"rows.{format_}"


def write_rows(
    chunks: Iterable[bytes], columns: Sequence[ArchivedColumn], format_: FileFormat, target: Hashing
) -> str:
    """Write `chunks`, each of whole rows of a COPY in CSV, to `target`, and return the hash of the content.

    They are taken here while a thread converts and compresses those before; what waits is bounded.
    """
    writer = _writer(columns, format_, target)
    waiting: deque[Future[None]] = deque()
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive") as pool:
            for chunk in chunks:
                if len(waiting) >= _AHEAD:
                    waiting.popleft().result()
                waiting.append(pool.submit(writer.add, chunk))
            while waiting:
                waiting.popleft().result()
        return writer.close()
    except BaseException:
        # Left open, it would write its end when it is collected, into a file that is closed by then.
        with suppress(OSError, ValueError):
            writer.close()
        raise


def read_rows(source: IO[bytes], columns: Sequence[ArchivedColumn], format_: FileFormat) -> Iterator[bytes]:
    """The rows as COPY … FROM STDIN (FORMAT csv) takes them, in pieces that may end within a row.

    Raises:
        OSError, EOFError, ValueError, zlib.error: the file is not what it was.
    """
    match format_:
        case "csv.gz":
            with gzip.open(source, "rb") as stream:
                while piece := stream.read(CHUNK):
                    yield piece
        case "parquet":
            yield from _from_parquet(source, columns)
        case _:
            assert_never(format_)


def content_of(source: IO[bytes], format_: FileFormat) -> tuple[int | None, str]:
    """Number of rows, where the file tells it, and the hash of the content, both read from the file.

    Raises:
        OSError, EOFError, ValueError, zlib.error: the file is not what it was.
    """
    match format_:
        case "csv.gz":
            digest = hashlib.sha256()
            with gzip.open(source, "rb") as stream:
                while piece := stream.read(CHUNK):
                    digest.update(piece)
            return None, digest.hexdigest()
        case "parquet":
            return _parquet_content(source)
        case _:
            assert_never(format_)


def _writer(columns: Sequence[ArchivedColumn], format_: FileFormat, target: Hashing) -> Writer:
    match format_:
        case "csv.gz":
            return _Gzip(target)
        case "parquet":
            return _Parquet(columns, target)
        case _:
            assert_never(format_)


class _Gzip:
    def __init__(self, target: Hashing) -> None:
        # The time in the header would make two archives of the same rows differ.
        self._stream = gzip.GzipFile(
            filename="", mode="wb", compresslevel=_FASTEST, fileobj=cast("IO[bytes]", target), mtime=0
        )
        self._hash = hashlib.sha256()

    def add(self, rows: bytes) -> None:
        self._hash.update(rows)
        self._stream.write(rows)

    def close(self) -> str:
        self._stream.close()
        return self._hash.hexdigest()


class _Parquet:
    """A row group for each chunk, so that reading needs no more memory than writing did."""

    def __init__(self, columns: Sequence[ArchivedColumn], target: Hashing) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._names = [column.name for column in columns]
        self._schema = pa.schema([pa.field(column.name, _arrow(column.kept_as)) for column in columns])
        # Each of its many small writes would wait for the interpreter, which the other thread keeps busy.
        self._sink = pa.BufferedOutputStream(pa.PythonFile(target, mode="w"), CHUNK)
        self._file = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._hash = hashlib.sha256()

    def add(self, rows: bytes) -> None:
        import pyarrow as pa
        from pyarrow import csv

        table = csv.read_csv(
            pa.BufferReader(rows),
            read_options=csv.ReadOptions(column_names=self._names, block_size=len(rows) + 1),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=self._schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,  # an empty text is quoted, a NULL is not
                true_values=["t"],
                false_values=["f"],
            ),
        ).combine_chunks()
        for batch in table.to_batches(max_chunksize=_GROUP):
            _digest(self._hash, batch)
            self._file.write_batch(batch, row_group_size=_GROUP)

    def close(self) -> str:
        try:
            self._file.close()
            self._sink.close()
        finally:
            self._file.is_open = False  # where it failed it would try again when it is collected
        return self._hash.hexdigest()


def _from_parquet(source: IO[bytes], columns: Sequence[ArchivedColumn]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    with parquet.ParquetFile(source) as file:
        wanted = pa.schema([pa.field(column.name, _arrow(column.kept_as)) for column in columns])
        if not file.schema_arrow.equals(wanted):
            raise ValueError("its columns are not those of the manifest")
        for number in range(file.num_row_groups):
            text = pa.BufferOutputStream()
            csv.write_csv(file.read_row_group(number), text, csv.WriteOptions(include_header=False))
            yield text.getvalue().to_pybytes()


def _parquet_content(source: IO[bytes]) -> tuple[int, str]:
    from pyarrow import parquet

    digest = hashlib.sha256()
    with parquet.ParquetFile(source) as file:
        for number in range(file.num_row_groups):
            for batch in file.read_row_group(number).combine_chunks().to_batches():
                _digest(digest, batch)
        return file.metadata.num_rows, digest.hexdigest()


def _arrow(kept_as: str) -> pyarrow.DataType:
    import pyarrow as pa

    if kept_as.startswith("decimal("):
        precision, scale = kept_as.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    kinds = {
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "bool": pa.bool_(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "date32": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
        "text": pa.string(),
    }
    if kept_as not in kinds:
        raise ValueError(f"a column is kept as {kept_as}, which is not known here")
    return kinds[kept_as]


def _digest(digest: Any, batch: pyarrow.RecordBatch) -> None:
    """The values column by column: which are NULL, then the bytes of the others, whatever pads them in memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for whole in batch.columns:
        nulls = whole.is_null().cast(pa.uint8())
        digest.update(_fixed(nulls, 1))
        column = whole.drop_null() if whole.null_count else whole
        if not len(column):
            continue
        if pa.types.is_boolean(column.type):
            digest.update(_fixed(column.cast(pa.uint8()), 1))
        elif pa.types.is_string(column.type):
            digest.update(_fixed(pc.call_function("binary_length", [column]), 4))
            _, offsets, data = column.buffers()
            first, last = (
                struct.unpack_from("<i", offsets, 4 * (column.offset + place))[0]
                for place in (0, len(column))
            )
            if data is not None:
                digest.update(memoryview(data)[first:last])
        else:
            digest.update(_fixed(column, column.type.bit_width // 8))


def _fixed(column: Any, width: int) -> memoryview:
    return memoryview(column.buffers()[1])[column.offset * width : (column.offset + len(column)) * width]
