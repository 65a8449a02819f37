"""A figure as SVG inside a page: text stays text, colours follow the page's theme, points have tooltips."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from bench.plots.style import COLOURS, GRID, INK, SOFT, tips

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

#: Colours of a figure -> the page's; report.css has both themes.
THEMED = {
    **{color.lower(): f"var(--line{k})" for k, color in enumerate(COLOURS)},
    GRID.lower(): "var(--grid)",
    INK.lower(): "var(--ink)",
    SOFT.lower(): "var(--soft)",
    "#ffffff": "var(--paper)",
    "#cccccc": "var(--grid)",
    "black": "var(--ink)",
}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b", re.IGNORECASE)
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_UNWANTED = ("width", "height", "version")


def inline(figure: Figure, name: str, title: str) -> str:
    """Write a figure as an ``svg`` element for a page.

    Parameters
    ----------
    figure : Figure
    name : str
        Put before every id in it, so that figures of one page do not share any.
    title : str
        Says what it shows, for those who do not see it.

    Returns
    -------
    str
        The same figure gives the same text.  Points that `bench.plots.style.tip` told of have ``data-tip``.
    """
    import matplotlib as mpl  # noqa: PLC0415

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "smmubench", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(buffer.getvalue())
    for child in [c for c in root if c.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}defs")]:
        if child.tag.endswith("metadata"):
            root.remove(child)
    for attribute in _UNWANTED:
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", title)
    for gid, texts in tips(figure).items():
        _tell(root, gid, texts)
    for element in root.iter():
        _retouch(element, name)
    return ET.tostring(root, encoding="unicode")


def _tell(root: ET.Element, gid: str, texts: str | list[str]) -> None:
    group = root.find(f".//*[@id='{gid}']")
    if group is None:
        return
    if isinstance(texts, str):
        group.set("data-tip", texts)
        return
    points = list(group.iter(f"{{{SVG}}}use"))
    if len(points) != len(texts):
        raise ValueError(f"{gid}: expected a point for each of {len(texts)} texts; found {len(points)}")
    for point, text in zip(points, texts, strict=True):
        point.set("data-tip", text)


def _retouch(element: ET.Element, name: str) -> None:
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    link = f"{{{XLINK}}}href"
    if element.get(link, "").startswith("#"):
        element.set(link, f"#{name}-{element.attrib[link][1:]}")
    for attribute in ("clip-path", "style", "fill", "stroke"):
        if attribute not in element.attrib:
            continue
        text = _REFERENCE.sub(rf"url(#{name}-\1)", element.attrib[attribute])
        # An id may look like a colour: references are put aside.
        if "url(" not in text or attribute == "style":
            text = _COLOUR.sub(lambda found: THEMED.get(found[0].lower(), found[0]), text)
        element.set(attribute, text)
