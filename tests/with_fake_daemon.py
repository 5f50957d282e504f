"""`autocoder WORDS`, except that a daemon it starts is a fake one.

Usage: python tests/with_fake_daemon.py 'OPTIONS OF THE FAKE' WORDS…
"""

import sys
from pathlib import Path

from autocoder.__main__ import main
from autocoder.daemon import lifecycle

FAKE = Path(__file__).parent / "fake_daemon.py"

if __name__ == "__main__":
    options, *words = sys.argv[1:]
    lifecycle.run_command = lambda wanted: [sys.executable, str(FAKE), *options.split()]
    sys.exit(main(words))
