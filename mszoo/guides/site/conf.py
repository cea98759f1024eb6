"""The site: the guides, and the reference from the docstrings of every public name.

``sphinx-build -W`` takes this folder as its configuration and the checkout as its source. A public name without a
docstring or a page is a warning, as are a role and a link that lead nowhere, and a formula that cannot be read.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from typing import TYPE_CHECKING, Any, get_type_hints

import mszoo

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project, author = "mszoo", "the authors of mszoo"
version = release = mszoo.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
root_doc = "mszoo/guides/site/index"
include_patterns = ["mszoo/guides/**", "plugins/README.md", "plugins/*/README.md", "hub_cards/*.md"]
nitpicky = True
# Others' names are not linked: the site is built without a network.
nitpick_ignore_regex = [("py:.*", rf"(torch|abc|importlib|pickletools)\b.*|{'|'.join(dir(builtins))}")]

html_theme = "furo"
html_title = f"mszoo {release}"
html_additional_pages = {"index": "index.html"}
templates_path = ["templates"]
html_math_renderer = "mathml"
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
myst_heading_anchors = 3


def public() -> dict[str, Any]:
    """Every public name, with what it names."""
    modules = [mszoo, *(getattr(mszoo, name) for name in mszoo.STABLE)]
    names = [(module, name) for module in modules for name in module.__all__]
    return {f"{module.__name__}.{name}": getattr(module, name) for module, name in names}


def tell_what_is_missing(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that no page describes; autodoc leaves out what has no docstring."""
    from sphinx.util.logging import getLogger

    described = [value for name, value in public().items() if name in env.domains.python_domain.objects]
    for name, value in public().items():
        if not any(value is each for each in described):  # a page is enough for what has two names
            getLogger(__name__).warning("%s is public: it needs a docstring, and its module a page", name)


def public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Resolve a role as its docstring's module would: by the name that the reference has for what is meant."""
    domain, target = env.domains.python_domain, node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    for name, value in public().items():
        written = f"{getattr(value, '__module__', None)}.{getattr(value, '__qualname__', None)}"
        for called in (name, written, name.rpartition(".")[2]):
            there = name + target.removeprefix(called)
            if f"{target}.".startswith(f"{called}.") and there in domain.objects:
                page = node.get("refdoc", env.current_document.docname)
                return domain.resolve_xref(env, page, app.builder, node["reftype"], there, node, content)
    return None if "refwarn" in node else content  # an annotation may name what is not public, a docstring may not


def leave_out_limits(app: Sphinx, function: Any, bound_method: bool) -> None:
    """Signatures show types; the limits of an option stand in the docstring."""
    try:
        plain, full = get_type_hints(function), get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # imported for the type checker alone, or no function
        return
    if plain != full:
        function.__annotations__ = plain


def keep_colons(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Napoleon takes what stands before the first colon of an attribute for its type: not behind an empty line."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")


def open_with_the_mathematics(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """The page of a package begins with what the modules say that its public names come from."""
    if what != "module":
        return
    homes = dict.fromkeys(getattr(getattr(thing, each), "__module__", name) for each in thing.__all__)
    for home in homes:
        told = inspect.getdoc(sys.modules.get(home)) or ""
        if home.startswith(f"{name}.") and "\n" in told:  # one line says what its names say again
            lines += ["", f".. rubric:: {home.rpartition('.')[2]}", "", *told.splitlines(), ""]


def write_formula(translator: Any, node: nodes.Element) -> None:
    """A formula as MathML, which browsers draw themselves: no script, no network."""
    from docutils import nodes
    from latex2mathml.converter import convert
    from sphinx.util.logging import getLogger

    try:
        formula = convert(node.astext(), display="block" if isinstance(node, nodes.math_block) else "inline")
        fault = "an unknown command" if "<mi>\\" in formula else ""
    except Exception as error:  # of the converter's, which have no base of their own
        formula, fault = "", repr(error)
    if fault:
        getLogger(__name__).warning("%s: %s", node.astext(), fault, location=node)
    translator.body.append(formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("autodoc-before-process-signature", leave_out_limits)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("autodoc-process-docstring", open_with_the_mathematics, priority=400)
    app.connect("env-check-consistency", tell_what_is_missing)
    app.connect("missing-reference", public_name)
