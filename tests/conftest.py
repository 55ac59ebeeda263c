"""What all tests stand on."""

from __future__ import annotations

import signal

# A shell starts what it puts into the background with SIGINT ignored, and so would be all processes
# that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
