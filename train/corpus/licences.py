"""Licence notices: finds those that are not permissive, takes the permissive ones off the top.

A notice of 0.8 KB opens every Apache file: left in, the model learns it better than any code.
Knows only the top of a file; what a repository as a whole allows stands in the manifest.
"""

import re

LOOKED_AT = 3000  # characters: notices stand at the top

NOT_PERMISSIVE = re.compile(
    r"GNU (?:Lesser |Library |Affero )?General Public|\b[AL]?GPL[- ]?v?[23]"
    r"|SPDX-License-Identifier:[^\n]*(?:GPL|MPL|EPL|CDDL|CC-BY-NC|SSPL|BUSL)"
    r"|Mozilla Public License|Eclipse Public License|Business Source License|Elastic License"
    r"|Common Development and Distribution License|Server Side Public License|CC[- ]BY-NC"
    r"|is strictly prohibited|confidential and proprietary",
    re.I,
)
SELF_PERMISSIVE = re.compile(r"this (?:project|file|software) is licensed under the MIT", re.I)
NOTICE = re.compile(
    r"copyright|licen[cs]ed? |licen[cs]e[.,:;\n]|SPDX|all rights reserved|redistribut"
    r"|warrant(?:y|ies)|permission is hereby",
    re.I,
)
DOCSTRING_NOTICE = re.compile(
    r"copyright|licensed under|SPDX|all rights reserved|redistribut|warrant(?:y|ies)"
    r"|permission is hereby|(?:Apache|MIT|BSD|ISC)[^\n]{0,12} licen[cs]e",
    re.I,
)
JAVA_COMMENT = re.compile(r"\s*(/\*.*?\*/|(?://[^\n]*\n\s*)+)", re.S)
PYTHON_DOCSTRING = re.compile(r"\s*([rRuU]?)(\"\"\"|''')(.*?)\2[ \t]*\n?", re.S)
PYTHON_CODING = re.compile(r"#.*coding[:=]|#.*vim?:|# -\*-")


def has_foreign_licence(text: str) -> bool:
    """Whether the top of a file names a licence that is not permissive.

    Some notices call their own project permissive and mention another one's licence beside it.
    """
    if SELF_PERMISSIVE.search(text, 0, LOOKED_AT):
        return False
    return bool(NOT_PERMISSIVE.search(text, 0, LOOKED_AT))


def strip_notice(text: str, language: str) -> str:
    """The text without the licence notice at its top; the rest is unchanged."""
    return strip_java_notice(text) if language == "java" else strip_python_notice(text)


def strip_java_notice(text: str) -> str:
    while (comment := JAVA_COMMENT.match(text)) and NOTICE.search(comment[1]):
        text = text[comment.end() :].lstrip()
    return text


def strip_python_notice(text: str) -> str:
    comments, rest = split_leading_comments(text)
    kept = "".join(filter(None, map(strip_comment_block, comments)))
    return kept + strip_docstring_notice(rest)


def split_leading_comments(text: str) -> tuple[list[str], str]:
    """The blocks of comment lines (and blank ones) before the first line of code, and the rest."""
    lines = text.splitlines(keepends=True)
    end = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    blocks = re.split(r"(?<=\n)(?=\n)", "".join(lines[:end]))
    return blocks, "".join(lines[end:])


def strip_comment_block(block: str) -> str:
    """A comment block without editor and coding lines; only its #! line if it is a notice."""
    lines = [line for line in block.splitlines(keepends=True) if not PYTHON_CODING.match(line)]
    if not NOTICE.search(block):
        return "".join(lines)
    return "".join(line for line in lines[:1] if line.startswith("#!"))


def strip_docstring_notice(text: str) -> str:
    docstring = PYTHON_DOCSTRING.match(text)
    if not docstring or not DOCSTRING_NOTICE.search(docstring[3]):
        return text
    paragraphs = re.split(r"\n\s*\n", docstring[3])
    kept = "\n\n".join(part for part in paragraphs if not DOCSTRING_NOTICE.search(part)).rstrip()
    rest = text[docstring.end() :]
    if not kept.strip():
        return rest.lstrip("\n")
    closing = "\n" if "\n" in kept else ""
    return f"{docstring[1]}{docstring[2]}{kept}{closing}{docstring[2]}\n{rest}"
