"""`python -m fwbuild`."""

import sys

from fwbuild.cli import main

sys.exit(main())
