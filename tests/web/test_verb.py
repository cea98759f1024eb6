"""mszoo web, from the command line."""

from __future__ import annotations

import importlib.util
import socket

import pytest

HAS_GRADIO = importlib.util.find_spec("gradio") is not None


@pytest.mark.skipif(HAS_GRADIO, reason="gradio is installed")
def test_without_gradio_it_says_how_to_get_it(mszoo_command):
    code, _, err = mszoo_command("web")
    assert code == 1
    assert "pip install 'mszoo[web]'" in err


@pytest.mark.skipif(not HAS_GRADIO, reason="needs gradio: pip install 'mszoo[web]'")
def test_a_port_that_is_taken_is_told(mszoo_command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = mszoo_command("web", "--no-browser", "--port", str(port))
    assert code == 1
    assert f"port {port}" in err
