"""The firmware that tries an accelerator: how long it counts, and what it tells."""

STARTED = 0x21  # "!" on the debug console: the guest runs
ROUNDS = 1 << 23  # of two instructions: milliseconds on a processor, seconds where each is emulated
EXIT_DONE = 0x72  # no stop code of the firmware's, no end of another guest program's
