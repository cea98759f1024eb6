"""Text that may come from a stranger: names, descriptions, paths."""

from __future__ import annotations

__all__ = ["one_line", "printable"]


def printable(text: str) -> str:
    """The text with question marks for control characters and unpaired surrogates; line breaks are kept."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def one_line(text: str) -> str:
    """The same as one line: a line break, or a tab, becomes a space.

    Example:
        >>> one_line("holiday\\n2026")
        'holiday 2026'
    """
    return printable(" ".join(text.splitlines()).replace("\t", " "))
