"""How a row is asked: the request that ghost text would send with the cursor in the hole.

- A middle of one line is asked with `max_lines` 1, as every editor asks by default; a longer one
  without a limit: the model is not told how many lines there are, and must close the hole itself.
- A line break at the end of the middle goes to the suffix: an editor's cursor has the line break
  behind it, and the comparison is of stripped text anyway. (Public single-line sets hand out whole
  lines, the break included.) Nothing else of a row is changed.

Knows requests; knows no model.
"""

from autocoder.daemon.prompt import PromptBuilder
from autocoder.daemon.protocol import Complete
from autocoder.train.evaluate.rows import Row

MAX_TOKENS = {True: 96, False: 256}  # for one line, and for several: more than all but a few need


def as_cursor(row: Row) -> Row:
    """The row as an editor shows it: line breaks at the middle's end belong to the suffix."""
    kept = row.middle.rstrip()
    behind = row.middle[len(kept) :]
    if "\n" not in behind:
        return row
    at = behind.index("\n")
    return Row(
        row.language, row.prefix, behind[at:] + row.suffix, kept + behind[:at], row.kind, row.path
    )


def request(row: Row) -> Complete:
    """What an editor asks for the row."""
    row = as_cursor(row)
    return Complete(
        prefix=row.prefix,
        suffix=row.suffix,
        language=row.language,
        max_tokens=MAX_TOKENS[row.wants_one_line],
        max_lines=1 if row.wants_one_line else 0,
    )


def prompt_and_middle(builder: PromptBuilder, row: Row) -> tuple[list[int], list[int]]:
    """The serving prompt of a row, and the tokens of a perfect answer, the closing one included."""
    row = as_cursor(row)
    prompt = builder.build(row.language, row.prefix, row.suffix)
    return list(prompt.ids), [*builder.encode(row.middle), builder.end_id]
