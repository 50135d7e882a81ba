"""`python -m fwbuild`."""

import sys

from fwbuild.process import main

sys.exit(main())
