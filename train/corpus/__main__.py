"""`python -m autocoder.train.corpus`: the same as `autocoder train corpus`."""

import sys

from autocoder.train.corpus.build import main

sys.exit(main())
