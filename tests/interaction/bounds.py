"""bounds — from how many on a search is done in another way, made so few that a test has more.

Whichever way it is done, the answer is the same.
"""

from __future__ import annotations

import pytest

from fhir_server.interaction import resolving, sorting, stretches, text_following
from fhir_server.store.condition import keys, links
from fhir_server.store.select import body, counting, page, weighing

FEW = 2
TIGHT = (
    (resolving, ("FEW", "OWNED", "READ")),
    (sorting, ("FEW", "FEW_TIMES")),
    (stretches, ("LOOK", "WALKED", "GATHERED")),
    (text_following, ("RARE",)),
    (keys, ("PROBED",)),
    (links, ("KEPT",)),
    (body, ("APART",)),
    (counting, ("ENOUGH", "EXACT", "FEW")),
    (page, ("FEW_TYPES",)),
    (weighing, ("RARE", "RARE_TOGETHER", "WEIGHED_UP_TO")),
)


def tighten(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in TIGHT:
        for name in names:
            monkeypatch.setattr(module, name, FEW)
