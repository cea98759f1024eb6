"""A page to try the models on, in a browser on this computer: ``mszoo web``. One module for each of its tabs."""

from mszoo.web.page import build, serve

__all__ = ["build", "serve"]
