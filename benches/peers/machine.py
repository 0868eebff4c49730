"""The machine, in words."""

import os
import platform
from pathlib import Path


def machine():
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    flags = Path("/proc/cpuinfo").read_text()
    vector = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "neither AVX2 nor AVX-512"
    return f"{model}, {os.cpu_count()} cores, {vector}; {platform.system()} {platform.release().split('-')[0]}"
