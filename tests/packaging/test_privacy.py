"""Private means that nothing reports to anybody, the runtime underneath included."""

import os
import subprocess
import sys
from pathlib import Path

SUGGEST = """
from autocoder.daemon.loading import load_completer
from autocoder.daemon.protocol import Complete
completer = load_completer(None, "cpu", 1)
assert completer.complete(Complete(prefix="for i in ran", language="python"), lambda: False)
"""


def test_the_runtime_keeps_no_device_identifier_and_no_queue_of_events(tmp_path: Path) -> None:
    left_out = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    environment = {**kept, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", SUGGEST], env=environment, check=True, timeout=60)
    assert [path for path in tmp_path.rglob("*") if "Microsoft" in path.parts] == []
