"""Where models come from, and where they go: this package, a folder, the Hugging Face Hub."""

from mszoo.hub.find import find, pull
from mszoo.hub.packaged import DENOISERS, packaged_models

__all__ = ["DENOISERS", "find", "packaged_models", "pull"]
