"""Judges a file by its path alone: vendored, fixture, generated, or a test.

Knows no contents. The rules are deliberately coarse: losing an innocent file costs nothing, a
vendored copy or a recorded response teaches the model to recite.
"""

import re

VENDORED_FOLDERS = frozenset(
    [
        "vendor",
        "vendored",
        "_vendor",
        "_vendored",
        "third_party",
        "third-party",
        "thirdparty",
        "3rdparty",
        "extern",
        "externals",
        "node_modules",
        "site-packages",
        "bundled",
    ]
)
FIXTURE_FOLDERS = frozenset(
    [
        "fixture",
        "fixtures",
        "testdata",
        "test-data",
        "test_data",
        "test_resources",
        "test-resources",
        "testresources",
        "__snapshots__",
        "golden",
        "goldens",
        "cassettes",
        "expected",
        "mockdata",
    ]
)
GENERATED_FOLDERS = frozenset(
    ["generated", "generated-sources", "generated_src", "gen-java", "gen-src", "thriftgen"]
)
FIXTURE_PATH = re.compile(r"(?:^|/)tests?/(?:.*/)?(?:resources|data)/", re.I)
GENERATED_PATH = re.compile(
    r"_pb2(?:_grpc)?\.pyi?$"  # protocol buffers
    r"|/migrations/(?:.*/)?\d{4}_[^/]*\.py$"  # Django
    r"|/versions/(?:.*/)?[0-9a-f]{8,}_[^/]*\.py$"  # Alembic
    r"|(?:^|/)(?:_version|versioneer)\.py$"
)
TEST_FOLDER = re.compile(
    r"^(?:tests?|unittests?|testsuite|e2e|tck|jmh|test[-_].+|.+[-_]tests?)$", re.I
)
TEST_PATH = re.compile(r"(?:^|/)src/(?:it|testFixtures|\w*[tT]est)/")
TEST_FILE = re.compile(
    r"^(?:(?:test_.*|.*_tests?|tests?|conftest)\.py|(?:.*(?:Tests?|TestCase|TestBase|IT)|Test[A-Z].*)\.java)$"
)


def unwanted_path(path: str) -> str | None:
    """The reason for which a path is left out ("vendored", "fixture", "generated"), or None."""
    folders = {part.lower() for part in path.split("/")[:-1]}
    if folders & VENDORED_FOLDERS:
        return "vendored"
    if folders & FIXTURE_FOLDERS or FIXTURE_PATH.search(path):
        return "fixture"
    if folders & GENERATED_FOLDERS or GENERATED_PATH.search("/" + path):
        return "generated"
    return None


def is_test(path: str) -> bool:
    """Whether a path is that of a test, by the habits of Python and Java projects."""
    *folders, name = path.split("/")
    return bool(
        TEST_FILE.match(name) or TEST_PATH.search(path) or any(map(TEST_FOLDER.match, folders))
    )
