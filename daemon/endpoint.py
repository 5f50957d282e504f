"""Where the daemon of this user is found: one private folder with socket, lock, log and more.

The rules are docs/protocol.md's. Knows paths and permissions; opens no socket.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from autocoder.daemon.errors import ConfigError

LONGEST_PATH = 100  # bytes; sockaddr_un holds 107 on Linux and 103 on macOS


@dataclass(frozen=True)
class Endpoint:
    """The folder, and the names in it."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "daemon.sock"

    @property
    def address(self) -> str:
        """The ZeroMQ address of the socket."""
        return f"ipc://{self.socket}"

    @property
    def lock(self) -> Path:
        return self.folder / "daemon.lock"

    @property
    def pid(self) -> Path:
        return self.folder / "daemon.pid"

    @property
    def choice(self) -> Path:
        return self.folder / "daemon.choice"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def older_log(self) -> Path:
        return self.folder / "daemon.log.1"


def endpoint(environment: Mapping[str, str] | None = None) -> Endpoint:
    """This user's endpoint; creates and checks nothing."""
    folder = _folder(os.environ if environment is None else environment)
    if len(os.fsencode(folder / "daemon.sock")) > LONGEST_PATH:
        digest = sha256(os.fsencode(folder)).hexdigest()[:12]
        folder = Path(f"/tmp/autocoder-{os.getuid()}-{digest}")
    return Endpoint(folder)


def _folder(environment: Mapping[str, str]) -> Path:
    own = environment.get("AUTOCODER_RUNTIME_DIR")
    if own:
        return Path(os.path.abspath(own))
    session = environment.get("XDG_RUNTIME_DIR")
    if session and _is_ours(Path(session)):
        return Path(session) / "autocoder"
    return Path(f"/tmp/autocoder-{os.getuid()}")


def _is_ours(folder: Path) -> bool:
    # `su` and `sudo -E` leave the other user's XDG_RUNTIME_DIR in the environment.
    try:
        return folder.is_absolute() and folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def prepared(place: Endpoint) -> Endpoint:
    """The same endpoint, its folder made (mode 0700) where missing and checked where there.

    Raises ConfigError for a folder that is another user's or open to others: whoever can write
    there could pose as the daemon and read the code that is sent to it.
    """
    try:
        place.folder.parent.mkdir(parents=True, exist_ok=True)
        place.folder.mkdir(mode=0o700, exist_ok=True)
        found = place.folder.lstat()
    except OSError as error:
        raise ConfigError(f"no folder for the daemon's socket: {error}. {_REMEDY}") from error
    problem = folder_problem(place, found)
    if problem:
        raise ConfigError(problem)
    return place


_REMEDY = "Set AUTOCODER_RUNTIME_DIR to a folder of your own"


def folder_problem(place: Endpoint, found: os.stat_result) -> str | None:
    """What is wrong with the socket's folder, and the remedy; None if it is private."""
    if not stat.S_ISDIR(found.st_mode):
        return f"{place.folder} is no folder (or a link to one). {_REMEDY}"
    if found.st_uid != os.getuid():
        return f"{place.folder} belongs to user {found.st_uid}. {_REMEDY}"
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return f"{place.folder} is open to others (mode {mode:o}). Run: chmod 700 {place.folder}"
    return None
