"""`python -m fwbuild`."""

import sys

from fwbuild.start import main

sys.exit(main())
