"""Other people's checkpoints: recognized, read as tensors and plain values only, and turned into models."""

from mszoo.importers.base import Importer, Source
from mszoo.importers.conversion import Conversion, convert, import_files

__all__ = ["Conversion", "Importer", "Source", "convert", "import_files"]
