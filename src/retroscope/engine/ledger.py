"""The completion records of a job's shards (pieces of work): one file per shard, with its files' checksums."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from retroscope.engine.storage import Storage
from retroscope.errors import EngineError

RECORDS = ".shards"  # folder of the records; removed when the whole is finished


class Standing(Enum):
    """State of a shard (piece of work) in storage, from an earlier run. Unless it is `DONE`, the shard is computed."""

    DONE = "done"
    ABSENT = "not done yet"
    DAMAGED = "damaged"
    FOREIGN = "made on another kind of device, or with other libraries"


@dataclass(frozen=True)
class Ledger:
    """The completion records of a job's shards: key, kind of device, library versions, and SHA-256 of every file.

    Attributes:
        storage: folder or object store with the records and the files of the shards.
        equipment: kind of device and library versions with which new shards are computed.
    """

    storage: Storage
    equipment: Mapping[str, str] = field(default_factory=dict)

    def standing(self, name: str, key: str) -> Standing:
        """Return the state of a piece of work (shard) in storage: done, absent, damaged, or made with other equipment.

        It is done if its record has this key and the ledger's equipment, and all files match their checksums in the
        record.
        """
        content = self.storage.read(_record(name))
        if content is None:
            return Standing.ABSENT
        record = _read(content, key)
        if record is None:
            return Standing.DAMAGED
        if record["equipment"] != dict(self.equipment):
            return Standing.FOREIGN
        intact = all(self._digest(str(file)) == digest for file, digest in record["files"].items())
        return Standing.DONE if intact else Standing.DAMAGED

    def complete(self, name: str, key: str, files: Sequence[str]) -> None:
        """Record that a piece of work (shard) is done, with checksums of its files, which are read back from storage.

        Raises:
            EngineError: if one of the files is missing.
        """
        digests = {file: self._digest(file) for file in files}
        lost = [file for file, digest in digests.items() if digest is None]
        if lost:
            raise EngineError(
                f"the file {lost[0]} is missing, although shard {name} was just written",
                where=str(self.storage.place),
                fix="repeat the command, which computes this shard again",
            )
        record = {"key": key, "equipment": dict(self.equipment), "files": digests}
        self.storage.write(_record(name), json.dumps(record, sort_keys=True).encode())

    def records(self) -> int:
        """Return the number of pieces of work (shards) that have a completion record."""
        return len(self.storage.names(RECORDS))

    def clear(self) -> None:
        """Remove all records. Call it when the job is finished, or when it must start again."""
        self.storage.remove(RECORDS)

    def _digest(self, file: str) -> str | None:
        content = self.storage.read(file)
        return None if content is None else hashlib.sha256(content).hexdigest()


def _record(name: str) -> str:
    return f"{RECORDS}/{name}.json"


def _read(content: bytes, key: str) -> dict[str, Any] | None:
    """Parse a completion record. Return None if it is damaged or has another key."""
    try:
        record = json.loads(content)
    except ValueError:
        return None
    sound = isinstance(record, dict) and record.get("key") == key and isinstance(record.get("files"), dict)
    return {"equipment": None, **record} if sound else None
