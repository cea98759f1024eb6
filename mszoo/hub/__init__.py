"""Where models come from, and where they go: this package, a folder, the Hugging Face Hub."""

from mszoo.hub.find import find, pull
from mszoo.hub.packaged import packaged_models

__all__ = ["find", "packaged_models", "pull"]
