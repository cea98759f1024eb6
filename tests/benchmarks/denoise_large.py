"""Memory and time of ``mszoo denoise`` on a photograph of 24 megapixels, in a process of its own.

    python tests/benchmarks/denoise_large.py [WIDTH HEIGHT]

Prints, for a colour and for a grey photograph, the model that was chosen, the largest resident memory of the whole
process (``resource.getrusage``) and the seconds a megapixel, loading the model included. The memory is to be below
2 GB: that of a tile, and the file's own pixels twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes

# In a process of its own: what this one holds would count as its children's memory.
_WRITE = """
import sys, numpy as np
from PIL import Image
path, width, height, channels = sys.argv[1], *map(int, sys.argv[2:])
random = np.random.default_rng(0)
ramp = np.linspace(0, 200, width)[:, None]
rows = [(ramp + random.integers(0, 50, (width, channels))).astype(np.uint8) for _ in range(height)]
Image.fromarray(np.stack(rows).squeeze()).save(path, compress_level=1)
"""


def main() -> None:
    width, height = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (6000, 4000)
    megapixels = width * height / 1e6
    with tempfile.TemporaryDirectory() as folder:
        for kind, channels in (("colour", 3), ("grey", 1)):
            source, target = (str(Path(folder) / f"{name}.png") for name in (kind, f"{kind}-clean"))
            size = [str(number) for number in (width, height, channels)]
            subprocess.run([sys.executable, "-c", _WRITE, source, *size], check=True)
            began = time.perf_counter()
            command = [sys.executable, "-m", "mszoo", "denoise", source, target]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            said = process.stdout.read().strip().removeprefix(target).strip()
            _, status, used = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"mszoo denoise failed on {kind} {width}x{height}")
            print(
                f"{kind} {width}x{height}, {said}: {used.ru_maxrss * _UNIT / 1e9:.2f} GB, "
                f"{(time.perf_counter() - began) / megapixels:.2f} s a megapixel "
                f"({(used.ru_utime + used.ru_stime) / megapixels:.2f} of processor time)"
            )


if __name__ == "__main__":
    main()
