"""The tokenizer of a run: read, and held against what windows and model can take.

Knows tokenizer files; trains none.
"""

from pathlib import Path

from tokenizers import Tokenizer

from autocoder.daemon.errors import ConfigError
from autocoder.daemon.prompt import PromptFormat

HIGHEST_ID = 2**16 - 1  # windows are uint16


def read_tokenizer(path: Path, vocab_size: int = HIGHEST_ID + 1) -> Tokenizer:
    """The tokenizer of a file.

    Raises ConfigError where it cannot be read or has ids that a model of `vocab_size` tokens, or
    windows, cannot take.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no other kind
        raise ConfigError(
            f"no tokenizer can be read from {path} ({error}); `autocoder train tokenizer` makes one"
        ) from error
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if highest > HIGHEST_ID:
        raise ConfigError(f"{path} has ids up to {highest}; windows hold up to {HIGHEST_ID}")
    if highest >= vocab_size:
        raise ConfigError(
            f"vocab_size = {vocab_size} is too small for {path}, which has {highest + 1} tokens; "
            "raise it in the recipe's [model], or give another --tokenizer"
        )
    return tokenizer


def control_ids(tokenizer: Tokenizer, form: PromptFormat, path: Path) -> list[int]:
    """The ids of the control codes, with which every document of a window begins."""
    ids = {code: tokenizer.token_to_id(code) for code in form.controls.values()}
    missing = [code for code, number in ids.items() if number is None]
    if missing:
        raise ConfigError(
            f"{path} has no token {missing[0]!r}; `autocoder train tokenizer` makes one that does"
        )
    return list(ids.values())
