"""The signals by which a user or a host ends a process."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
