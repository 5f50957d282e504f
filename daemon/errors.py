"""The errors a user can mend. Each message names the offending value and the remedy.

AutocoderError
├── ConfigError      a setting, argument or file of the user's is wrong
├── ModelError       a model folder is missing, damaged or of another kind
│   └── CudaFailed   the device cannot go on
├── ProtocolError    a message does not fit docs/protocol.md (carries a `code`)
└── DaemonError      the daemon cannot be started, reached or replaced
"""


class AutocoderError(Exception):
    """Something a user can mend; the message says how."""


class ConfigError(AutocoderError):
    """A setting, argument or file of the user's is wrong."""


class ModelError(AutocoderError):
    """A model folder is missing, damaged, or of a kind this version cannot serve."""


class CudaFailed(ModelError):
    """The device cannot go on: out of memory, or lost. The CPU can serve instead."""


class DaemonError(AutocoderError):
    """The daemon cannot be started, reached or replaced."""


class ProtocolError(AutocoderError):
    """A message that does not fit the protocol; `code` is one of docs/protocol.md's error codes."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
