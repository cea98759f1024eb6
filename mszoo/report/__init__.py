"""What is to be said of a model on some images, as one page that can be handed on: ``mszoo report``."""

from mszoo.report.findings import Findings, find_out
from mszoo.report.page import page

__all__ = ["Findings", "find_out", "page"]
