"""The speed of wavelet transforms and of a training step beside their peers, as CSV on stdout:

    python tests/benchmarks/table.py [CODE] [--device cpu] [--width 64] ... > speed.csv

All that ``bases.py`` measures, and then all that ``steps.py`` does, with its options. A row is a time: what was done,
in which basis or at which size, by whom, milliseconds (the median), how often mszoo (the compiled step) does it in that
time (above 1, mszoo is faster), how often the data could be copied in it; and the machine, its load over the last
minute at the end of the measurement (the number of threads or less: it was idle but for this), and the versions.
"""

from __future__ import annotations

import csv
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bases
import steps
import torch

PACKAGES = "mszoo", "torch", "PyWavelets", "ptwt"
COLUMNS = "what", "of", "who", "ms", "ratio_to_mszoo", "copies", "machine", "threads", "load", "versions"


def main() -> None:
    given = steps.options().parse_args()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)

    def write(what: str, of: str, times: dict[str, float], mine: str) -> None:
        about = machine(given.device), torch.get_num_threads(), f"{os.getloadavg()[0]:.1f}", versions()
        for who, seconds in times.items():
            copies = f"{seconds / times['copy']:.1f}" if "copy" in times else ""
            table.writerow([what, of, who, f"{seconds * 1e3:.2f}", f"{seconds / times[mine]:.2f}", copies, *about])
        sys.stdout.flush()

    for what, name, times in bases.measure(given.device):
        write(f"{what}, {bases.LEVELS} levels of {'x'.join(map(str, bases.SHAPE))}", name, times, "mszoo")
    size = f"width {given.width}, {given.batch}x{given.channels}x{given.size}x{given.size}"
    write("dual score matching step", size, steps.measure(given), "compiled")


def machine(device: str) -> str:
    """The name of the GPU, or of the processor."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def versions() -> str:
    """Of what was measured, and of Python."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    main()
