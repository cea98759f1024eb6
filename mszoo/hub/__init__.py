"""Where models come from: this package, or a folder."""

from mszoo.hub.packaged import find, packaged_models

__all__ = ["find", "packaged_models"]
