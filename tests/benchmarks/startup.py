"""What a command costs beside torch: processor time (user and system, children too) of whole processes.

    python tests/benchmarks/startup.py [ROUNDS]

Prints the least of some rounds for ``python -c "import torch"`` and for commands on one photograph of 256 x 256, and
their differences. They are to be at most 1 s for ``mszoo denoise`` and 6 s for ``mszoo demo``. A round before the
first is not counted: it fills the caches of the disk and of compiled code.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

TORCH = "import torch"
COMMANDS = {
    TORCH: ["-c", "import torch"],
    "mszoo models": ["-m", "mszoo", "models"],
    "mszoo denoise": ["-m", "mszoo", "denoise", "photo.png", "out.png", "--overwrite"],
    "mszoo info": ["-m", "mszoo", "info", "photographs-haar-rf13"],
    "mszoo demo": ["-m", "mszoo", "demo"],
}


def seconds(arguments: list[str], folder: str) -> float:
    """Processor time of ``python ARGUMENTS``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        Image.effect_noise((256, 256), 64).save(Path(folder) / "photo.png")
        taken = [{name: seconds(command, folder) for name, command in COMMANDS.items()} for _ in range(rounds + 1)][1:]
    least = {name: min(one[name] for one in taken) for name in COMMANDS}
    for name, value in least.items():
        print(f"{name:<14} {value:5.2f} s, {TORCH} {value - least[TORCH]:+5.2f} s, x {value / least[TORCH]:.2f}")


if __name__ == "__main__":
    main()
