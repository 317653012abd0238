"""HTML from nested function calls. `Markup` stays as it is; other text is escaped."""

from __future__ import annotations

import html

VOID = {"img", "meta"}
"""Elements without content and without a closing tag."""


class Markup(str):
    """Text that is HTML; `element` does not escape it."""


def element(tag: str, /, *children: str, **attributes: str | None) -> Markup:
    """An element with its children: `element("td", "a < b", class_="score")`.

    Args:
      tag: the element's name.
      *children: `Markup`, or text, which is escaped.
      **attributes: attributes; their values are escaped. An underscore at the end of a name is dropped (`class_`). An
        attribute with the value None is left out.
    """
    written = "".join(
        f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items() if value is not None
    )
    content = "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    return Markup(f"<{tag}{written}>" if tag in VOID else f"<{tag}{written}>{content}</{tag}>")


def scrolling_table(*rows: Markup, caption: str | None = None, class_: str | None = None) -> Markup:
    """A table in a box that scrolls sideways."""
    captions = [] if caption is None else [element("caption", caption)]
    return element("div", element("table", *captions, *rows, class_=class_), class_="scroll", tabindex="0")


def heading_row(*cells: str) -> Markup:
    """A row of column headings."""
    return element("tr", *(element("th", cell, scope="col") for cell in cells))
