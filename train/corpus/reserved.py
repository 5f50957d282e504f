"""Names that never enter a training corpus: repositories and sets kept for measuring.

Knows names only; copies under other names are found by their hashes (decontamination.py). Sets of
programming tasks are made of what puzzle sites ask, so solutions that name such a site go too.
"""

import re

REPOSITORIES = frozenset(
    name.lower()
    for name in (
        "pallets/click",
        "psf/requests",
        "encode/httpx",
        "Textualize/rich",
        "pytest-dev/pytest",
        "python-attrs/attrs",
        "tornadoweb/tornado",
        "google/gson",
        "square/retrofit",
        "square/okhttp",
        "apache/commons-lang",
        "junit-team/junit4",
        "mockito/mockito",
        "google/guice",
        "zeromq/pyzmq",
    )
)
OWNERS = frozenset({"prompt-toolkit"})
SETS = re.compile(
    r"human[-_]?eval|mbpp|mbxp|mxeval|codexglue|py150|repobench|cross[-_]?code[-_]?eval|safim"
    r"|santacoder[-_]?fim|multipl-e|evalplus|ds[-_]1000|leet[-_]?code",
    re.I,
)
PUZZLE_SITES = re.compile(
    r"(?<![a-z])(?:leet[-_ ]?code|lintcode|hacker[-_ ]?rank|codeforces|codewars|codechef|atcoder"
    r"|kattis|interviewbit)",
    re.I,
)
PACKAGES = re.compile(
    r"(?:^|/)(?:com/google/(?:gson|inject)|retrofit2|okhttp3|com/squareup/(?:okhttp|retrofit)\w*"
    r"|org/apache/commons/lang3?|org/junit|junit/framework|org/mockito|prompt_toolkit|_pytest"
    r"|(?:click|requests|httpx|rich|attrs?|tornado|zmq)-\d[^/]*)/"
)


def is_reserved_repository(name: str) -> bool:
    """Whether "owner/name" is kept for measuring, by its name."""
    owner = name.split("/")[0].lower()
    return name.lower() in REPOSITORIES or owner in OWNERS or bool(SETS.search(name))


def is_reserved_path(path: str) -> bool:
    """Whether a path looks like a copy of something kept for measuring."""
    return bool(SETS.search(path) or PACKAGES.search(path))


def names_puzzle_site(text: str) -> bool:
    """Whether a file mentions a site whose tasks became evaluation sets (LeetCode and its kin)."""
    return bool(PUZZLE_SITES.search(text))
