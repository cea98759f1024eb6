"""The owner's command: publish every packaged model, write its card, and pin what was published.

    python -m mszoo.hub.release OWNER [TAG]

in a checkout, with a token that may write (``hf auth login``). ``mszoo/hub/pins.json`` then holds the commits and
checksums: commit it together with ``hub_cards/``.
"""

from __future__ import annotations

import hashlib
import json
import sys

from mszoo.checkpoint.folder import CARD
from mszoo.errors import HubError, MszooError
from mszoo.files import replace_file
from mszoo.hub.names import PINS, Pin, pins
from mszoo.hub.packaged import packaged_models
from mszoo.hub.pushing import publication, push
from mszoo.shipped import shipped_folder

__all__ = ["release", "write_cards"]


def write_cards() -> list[str]:
    """Write ``hub_cards/NAME.md`` of every packaged model as :func:`mszoo.hub.pushing.push` would; the names."""
    for name, folder in packaged_models().items():
        card = publication(folder, name)[CARD].decode()
        path = shipped_folder("hub_cards") / f"{name}.md"
        replace_file(path, lambda part, card=card: part.write_text(card, encoding="utf-8"))
    return list(packaged_models())


def release(owner: str, tag: str | None = None) -> dict[str, Pin]:
    """Publish every packaged model as ``owner/NAME``, and keep where it is; what was published is kept if one fails.

    Raises:
        HubError: see :func:`mszoo.hub.pushing.push`.
    """
    write_cards()
    for name, folder in packaged_models().items():
        repo_id = f"{owner}/{name}"
        pushed = push(folder, repo_id, tag=tag)
        checksums = {n: hashlib.sha256(data).hexdigest() for n, data in publication(folder, repo_id).items()}
        known = {**pins(), name: Pin(repo_id=repo_id, commit=pushed.commit, sha256=checksums)}
        text = json.dumps({n: pin.model_dump() for n, pin in sorted(known.items())}, indent=2) + "\n"
        replace_file(PINS, lambda part, text=text: part.write_text(text, encoding="utf-8"))
        print(f"{pushed.url} {pushed.commit}")
    return pins()


if __name__ == "__main__":
    try:
        if len(sys.argv) not in (2, 3):
            raise HubError("give the owner on the Hub: python -m mszoo.hub.release OWNER [TAG]")
        release(*sys.argv[1:])
    except MszooError as error:
        sys.exit(f"error: {error}")
