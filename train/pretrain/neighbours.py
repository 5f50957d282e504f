"""Other files of a document's repository, as open buffers of an editor would be.

Looks through one unpacked shard (documents of all repositories, shuffled: of a repository it holds
a random share of the files). Files of the same folder come first, then any of the repository in the
same language. Knows places in a file; knows no tokens.
"""

import json
import random
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

STRING = rb'("(?:[^"\\]|\\.)*")'
HEAD = re.compile(rb'\{"repo": ' + STRING + rb', "path": ' + STRING + rb', "language": ' + STRING)
NEAR_SHARE = 0.7  # of the draws, from the document's own folder if that holds others
TRIES = 4  # draws for each file wanted


@dataclass(frozen=True)
class Place:
    """A document's path, and where its JSON line lies."""

    path: str
    offset: int
    length: int

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


class Neighbours:
    """The documents of one shard by repository and language. Memory: some 300 bytes a document."""

    def __init__(self, shard: Path) -> None:
        self._shard = shard
        self._places: dict[tuple[str, str], list[Place]] = defaultdict(list)
        self._folders: dict[tuple[str, str, str], list[Place]] = defaultdict(list)
        offset = 0
        with shard.open("rb") as lines:
            for line in lines:
                if head := HEAD.match(line):
                    self._add(Place(json.loads(head[2]), offset, len(line)), head)
                offset += len(line)

    def _add(self, place: Place, head: re.Match[bytes]) -> None:
        repo, language = json.loads(head[1]), json.loads(head[3])
        self._places[repo, language].append(place)
        self._folders[repo, language, place.folder].append(place)

    def of(self, document: dict[str, str], count: int, chance: random.Random) -> list[Place]:
        """Up to `count` other files; none for a document that names no repository."""
        repo, path = document.get("repo", ""), document.get("path", "")
        all_of_it = self._places.get((repo, document["language"]), [])
        near = self._folders.get((repo, document["language"], path.rpartition("/")[0]), [])
        found: dict[str, Place] = {}
        for _ in range(TRIES * count if all_of_it else 0):
            place = chance.choice(near if near and chance.random() < NEAR_SHARE else all_of_it)
            if place.path != path:
                found[place.path] = place
            if len(found) == count:
                break
        return list(found.values())

    def read(self, place: Place) -> tuple[str, str]:
        """(path, text)."""
        with self._shard.open("rb") as lines:
            lines.seek(place.offset)
            return place.path, json.loads(lines.read(place.length))["text"]


@lru_cache(maxsize=1)
def neighbours_of(shard: Path) -> Neighbours:
    """Those of a shard, kept from one slice to the next."""
    return Neighbours(shard)
