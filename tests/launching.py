"""Real launches of two processes on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TWO, DIVIDED = (
    ("accelerate.commands.launch", way, "--num_processes", "2", "--main_process_port", "0")
    for way in ("--multi_gpu", "--use_fsdp")
)


def on_two_processes(script: str, beside: str, *words: object, **variables: str) -> str:
    """Run a script by the launcher, and give what it complained of.

    Args:
        script: its file's name.
        beside: the file of the test, which lies in the same folder.
        words: the script's.
        variables: of the environment.
    """
    path = Path(beside).with_name(script)
    done = subprocess.run(
        [sys.executable, "-m", *TWO, str(path), *map(str, words)],
        env={
            **os.environ,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
