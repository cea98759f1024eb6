"""Both papers' analyses, each a table and a plot.

Paper A: adaptive filters, receptive fields, and the demo. Paper B: scale mixture, known densities, generalization,
transformations, dimensionality, energies against score networks, histogram. ``mszoo experiment NAME`` runs paper B's;
``mszoo evaluate --out`` draws paper A's two, ``mszoo demo`` the demo.
"""
