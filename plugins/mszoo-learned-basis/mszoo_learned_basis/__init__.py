"""What this distribution adds to mszoo: a basis with learned angles, and the objective that makes it likelier."""

from collections.abc import Iterator

import mszoo


@mszoo.hookimpl
def mszoo_components() -> Iterator[mszoo.Spec]:
    """The basis and the objective."""
    yield mszoo.Spec(
        "basis",
        "learned/lattice",
        "mszoo_learned_basis.lattice:Lattice",
        "orthonormal wavelets with learned angles, from a Daubechies filter",
    )
    yield mszoo.Spec(
        "objective",
        "learned/likelihood",
        "mszoo_learned_basis.likelihood:Likelihood",
        "denoising error in the weights of the likelihood (I-MMSE)",
    )
