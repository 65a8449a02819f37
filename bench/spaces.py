"""The spaces of a trace's manifest, in the model's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smmucore.spaces import Space, Upper

if TYPE_CHECKING:
    from traces import manifest


def model_space(space: manifest.Space) -> Space:
    """Return a space of a manifest as the model takes it."""
    words = space.model_dump(exclude={"space", "name", "ttbr1"})
    return Space(**words, ttbr1=None if space.ttbr1 is None else Upper(**space.ttbr1.model_dump()))
