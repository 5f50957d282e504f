"""Replaces secrets and e-mail addresses by harmless stand-ins of the same kind.

Knows shapes, not meanings: a password that looks like a word stays. What it replaces is counted.
"""

import re

PRIVATE_KEY = re.compile(
    r"-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?)-----.*?-----END \1-----", re.S
)
TOKEN = re.compile(
    r"\b(?:A(?:KI|SI)A[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,}"
    r"|xox[abposr]-[\w-]{10,}|AIza[\w-]{35}|sk_(?:live|test)_[A-Za-z0-9]{16,}|glpat-[\w-]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|sk-[A-Za-z0-9]{32,}|hf_[A-Za-z0-9]{30,})"
)
ASSIGNED = re.compile(
    r"""(?i)((?:api_?key|secret(?:_?key)?|access_?key|auth_?token|token|passw(?:or)?d)\w*["']?"""
    r"""\s*[:=]\s*["'])(?=[^"'\n]*\d)[A-Za-z0-9+/=_-]{24,}(?=["'])"""
)
HOST = re.compile(r"@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
EMAIL = re.compile(
    r"(?<![\w.+%/:-])(?!git@)[A-Za-z0-9][\w.+%-]{0,63}"
    r"@(?!example\.)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"
)


def scrub(text: str) -> tuple[str, int]:
    """The text without secrets and addresses, and how many were replaced."""
    text, keys = PRIVATE_KEY.subn(r"-----BEGIN \1-----\n-----END \1-----", text)
    text, tokens = TOKEN.subn("TOKEN", text)
    text, assigned = ASSIGNED.subn(r"\1TOKEN", text)
    addresses = 0
    if HOST.search(text):  # far cheaper than trying an address at every word
        text, addresses = EMAIL.subn("user@example.com", text)
    return text, keys + tokens + assigned + addresses
