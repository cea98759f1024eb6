"""Paper B's experiments, each with a table and a plot; ``mszoo experiment NAME`` runs them."""
