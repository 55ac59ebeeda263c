"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import numpy as np


def machine() -> dict[str, str | int]:
    """Processor, cores that this process may use, and the versions of Python and NumPy."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        model = found[1]
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
