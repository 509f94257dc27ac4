"""Reader of SigMF as files: metadata beside data, given by either or by their common name."""

from pathlib import Path

from sigmf.keys import SIGMF_COLLECTION_EXT, SIGMF_DATASET_EXT, SIGMF_METADATA_EXT

from pisces.sources.recordings import sigmf_metadata
from pisces.sources.recordings.base import Options, Recording
from pisces.sources.recordings.contents import of_file, sha512
from pisces.sources.recordings.fields import Fields, parsed
from pisces.sources.recordings.sigmf_recording import recordings

MOST_STREAMS = 10_000
NAMED = (SIGMF_METADATA_EXT, SIGMF_DATASET_EXT, SIGMF_COLLECTION_EXT)
"""Endings of SigMF's own files; archives have another reader."""


def is_sigmf(path: Path, _head: bytes, options: Options) -> bool:
    """Whether a file has an ending of SigMF; data with `--datatype` need no metadata."""
    ending = path.suffix.lower()
    return ending in NAMED and (ending != SIGMF_DATASET_EXT or options.datatype is None)


def is_described(path: Path, _head: bytes, options: Options) -> bool:
    """Whether metadata beside a file name it as their data."""
    return options.datatype is None and _metadata_of(path) is not None


def _metadata_of(data: Path) -> Path | None:
    """The metadata beside a file that name it as their data; None where there are none."""
    for beside in (data.with_suffix(SIGMF_METADATA_EXT), Path(f"{data}{SIGMF_METADATA_EXT}")):
        if not beside.is_file():
            continue
        if sigmf_metadata.describe(_text(beside), str(beside)).dataset == data.name:
            return beside
    return None


def open_sigmf(path: Path, options: Options) -> list[Recording]:
    """The recordings that a file of SigMF belongs to.

    Raises:
        ValueError: when its other half is missing, or they do not fit.
    """
    ending = path.suffix.lower()
    if ending == SIGMF_COLLECTION_EXT:
        return _open_collection(path, options)
    if ending == SIGMF_METADATA_EXT:
        return _open_pair(path, path, options)

    metadata = _metadata_of(path) or path.with_suffix(SIGMF_METADATA_EXT)
    if not metadata.is_file():
        raise ValueError(
            f"{path} has no metadata: put {metadata.name} beside it, or give --datatype and "
            "--sample-rate"
        )
    return _open_pair(path, metadata, options)


def _open_pair(path: Path, metadata: Path, options: Options) -> list[Recording]:
    description = sigmf_metadata.describe(_text(metadata), str(metadata))
    name = description.dataset
    if name is not None and (Path(name).name != name or "\\" in name or name == ".."):
        raise ValueError(
            f"{metadata}: core:dataset is {name!r}, outside the folder; it must be the name of a "
            "file beside the metadata: move it there"
        )
    data = metadata.with_name(name) if name else metadata.with_suffix(SIGMF_DATASET_EXT)
    if not data.is_file():
        only = ", as core:metadata_only says" if description.is_metadata_only else ""
        raise ValueError(f"{data}, the data of {metadata}, is not there{only}: copy it there")
    return recordings(path, data.name, description, of_file(data), options)


def _open_collection(path: Path, options: Options) -> list[Recording]:
    """The recordings of a collection, in its order."""
    collection = parsed(_text(path), str(path)).content.get("collection")
    streams = collection.get("core:streams") if isinstance(collection, dict) else None
    if isinstance(streams, dict):
        streams = [streams]
    fields = Fields({"core:streams": streams or []}, str(path))

    found = []
    for stream in fields.items("core:streams", MOST_STREAMS):
        metadata = _metadata_of_stream(path, stream)
        found += _open_pair(metadata, metadata, options)
    if not found:
        raise ValueError(f"{path} names no recordings: collection.core:streams must list some")
    return found


def _metadata_of_stream(path: Path, stream: Fields) -> Path:
    """The metadata that a collection names, with the checksum it names them by."""
    name = stream.text("name") or ""
    base = name.removesuffix(SIGMF_METADATA_EXT)
    if not base or Path(base).name != base or "\\" in base or base == "..":
        raise ValueError(
            f"{stream.where}: name is {name!r}; it must be that of a recording in the folder of "
            "the collection"
        )
    metadata = path.with_name(base + SIGMF_METADATA_EXT)
    if not metadata.is_file():
        raise ValueError(f"{metadata}, which {path} names, is not there: copy it there")
    checksum = stream.text("hash")
    if checksum is not None and sha512(of_file(metadata)) != checksum.lower():
        raise ValueError(
            f"{metadata} is not what {path} names, its SHA-512 differs: copy both again, or "
            "write the collection anew"
        )
    return metadata


def _text(path: Path) -> bytes:
    size = path.stat().st_size
    if size > sigmf_metadata.MOST_BYTES:
        raise ValueError(
            f"{path} has {size} bytes; at most {sigmf_metadata.MOST_BYTES} of metadata are read: "
            "split the recording"
        )
    return path.read_bytes()
