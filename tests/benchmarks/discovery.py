"""How long finding plugins takes with ten installed, against importlib's own list of all entry points.

python tests/benchmarks/discovery.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import time
import mszoo.components, mszoo.discovery, pluggy  # what mszoo itself costs is not the plugins'
from importlib import metadata
began = time.perf_counter()
count = len(list(metadata.entry_points(group="mszoo")))
listed = time.perf_counter() - began
began = time.perf_counter()
found = mszoo.discovery.plugins()
discovered = time.perf_counter() - began
assert all(plugin.fault is None for plugin in found), found
print(len(found), 1000 * listed, 1000 * discovered)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for i in range(10):
            (Path(folder) / f"plugin_{i}.py").write_text(
                "import mszoo\n\n@mszoo.hookimpl\ndef mszoo_components():\n"
                f'    yield mszoo.Spec("basis", "p{i}/mine", "plugin_parts:Mine")\n'
            )
            info = Path(folder) / f"plugin_{i}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{i}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[mszoo]\np{i} = plugin_{i}\n")
        env = {k: v for k, v in os.environ.items() if k != "MSZOO_PLUGINS"} | {"PYTHONPATH": folder}
        env["MSZOO_PLUGINS"] = ",".join(f"p{i}" for i in range(10))
        runs = []
        for _ in range(7):
            done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
            runs.append(tuple(map(float, done.stdout.split())))
    count, listed, discovered = sorted(runs, key=lambda run: run[2])[len(runs) // 2]
    print(f"{count:.0f} plugins, median of {len(runs)}: discovery {discovered:.1f} ms, entry_points() {listed:.1f} ms")
    print(f"ratio: {discovered / listed:.2f}")


if __name__ == "__main__":
    main()
