"""What the tabs of the page share: gradio, the photograph that was chosen, and errors as messages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mszoo.errors import MszooError
from mszoo.text import one_line

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """The page while it is laid out.

    Attributes:
        gr: the module gradio.
        photo: its state with the photograph that was chosen, a :class:`mszoo.web.photographs.Photo` or None.
    """

    gr: Any
    photo: Any

    def telling(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose user's errors are messages on the page."""

        @functools.wraps(run)
        def answer(*given: Any, **options: Any) -> Any:
            try:
                return run(*given, **options)
            except MszooError as error:
                raise self.gr.Error(one_line(str(error)), duration=None, title="", print_exception=False) from None

        return answer
