"""``python -m mszoo``, and ``accelerate launch -m mszoo train RECIPE``."""

from mszoo.cli import main

if __name__ == "__main__":
    main()
