"""Other names for a document's own variables, so that a model must read names, not guess them.

A model that has seen `for item in items` a million times writes `item` whatever the loop says. In
a share of the documents some parameters and local variables get, throughout the file, names that
other documents use. Only names that the document itself introduces are changed, never those that it
imports or calls as methods, and nothing in lines of comment. Found by patterns, not by a parser: a
document that half fits a language is still a document. Knows texts and chance; knows no tokens.
"""

import keyword
import random
import re
from collections import deque

WORD = re.compile(r"[^\W\d]\w*")
PARAMETERS = re.compile(r"\bdef \w+\(([^()]*)\)")
PARAMETER = re.compile(r"(?:^|,)\s*\*{0,2}([a-z_]\w*)\s*(?=[,:=]|$)")
PYTHON_LOCAL = re.compile(r"^[ \t]+([a-z_]\w*) = |\bfor ([a-z_]\w*) in |\bas ([a-z_]\w*):", re.M)
JAVA_LOCAL = re.compile(
    r"\b(?!(?:return|new|throw|else|case|package|import|assert|instanceof|goto)\b)"
    r"[A-Za-z_][\w.]*(?:<[^<>;(){}]*>)?(?:\[\])* ([a-z]\w*)(?= ?[=;,):])"
)
METHOD = re.compile(r"\.\s*(\w+)\s*\(")
PROSE = re.compile(r"^[ \t]*(?:\*|/\*|//|#).*$", re.M)  # whole lines of comment
LINE_OR_WORD = re.compile(f"{PROSE.pattern}|{WORD.pattern}", re.M)
IMPORT = re.compile(r"^\s*(?:import|from)\s.*$", re.M)
JAVA_WORDS = (
    "abstract boolean break byte case catch char class const continue default do double else enum "
    "extends final finally float for if implements import instanceof int interface long native new "
    "null package private protected public record return short static super switch synchronized "
    "this throw throws transient true false try var void volatile while yield"
)
RESERVED = {*keyword.kwlist, *keyword.softkwlist, *JAVA_WORDS.split(), "self", "cls"}
POOL = 2000  # names kept of each language
CHANGED = 0.5  # of a document's names


class Renaming:
    """Collects names as documents go by, and gives some to other documents."""

    def __init__(self) -> None:
        self._pools: dict[str, deque[str]] = {}

    def see(self, text: str, language: str) -> list[str]:
        """The document's own names; they join the pool of their language."""
        names = own_names(text, language)
        self._pools.setdefault(language, deque(maxlen=POOL)).extend(names)
        return names

    def rename(self, text: str, language: str, chance: random.Random) -> str:
        """The text with about half of its own names changed, each to one that it does not have."""
        names = self.see(text, language)
        pool, taken = self._pools[language], set(WORD.findall(text))
        changed: dict[str, str] = {}
        for name in names:
            new = pool[chance.randrange(len(pool))]
            if chance.random() < CHANGED and new not in taken:
                changed[name] = new
                taken.add(new)
        return LINE_OR_WORD.sub(lambda found: changed.get(found[0], found[0]), text)


def own_names(text: str, language: str) -> list[str]:
    """Parameters and local variables that a document introduces, in order, each once."""
    code = PROSE.sub("", text)
    found = _python_names(code) if language == "python" else JAVA_LOCAL.findall(code)
    foreign = RESERVED | set(METHOD.findall(text))
    for line in IMPORT.findall(code):
        foreign.update(WORD.findall(line))
    return [name for name in dict.fromkeys(found) if name and name not in foreign]


def _python_names(text: str) -> list[str]:
    names = [name for inside in PARAMETERS.findall(text) for name in PARAMETER.findall(inside)]
    return names + ["".join(found) for found in PYTHON_LOCAL.findall(text)]
