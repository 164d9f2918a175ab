"""Build the FHIR resources of terminology/ from the lists in terminology/vietnam/.

    python tools/build_terminology.py [--check]
    python tools/build_terminology.py --base URL

The same lists always give the same bytes. --base makes another base our own: in site.toml and
wherever the old one is spelled out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from code_lists import maps, systems, units
from code_lists.resource import Json

from fhir_server.terminology.site import BASE, OWN, site

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "terminology"
SPELLED_OUT = (
    "terminology/site.toml",
    "profiles/**/*",
    "docs/**/*",
)  # by hand, with the base in it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only compare with what is committed")
    parser.add_argument("--base", metavar="URL", help="make this base our own, everywhere")
    asked = parser.parse_args()
    if asked.base:
        rebase(asked.base)
        return
    built = rendered()
    if asked.check:
        wrong = stale(built)
        print("\n".join(wrong) if wrong else "The same bytes.")
        sys.exit(bool(wrong))
    for path in committed():
        if path.name not in built:
            path.unlink()
    for name, text in built.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    print(f"{len(built)} resources, {sum(map(len, built.values())):,} characters")


def resources() -> list[Json]:
    return [*systems.resources(), *units.resources(), *maps.resources()]


def rendered() -> dict[str, str]:
    """The text of each file, by its name."""
    return {f"{told['resourceType']}-{told['id']}.json": text(told) for told in resources()}


def committed() -> list[Path]:
    return sorted(TARGET.glob("[A-Z]*-*.json"))


def stale(built: dict[str, str]) -> list[str]:
    """The files whose bytes are not those that are built."""
    there = {path.name: path.read_text(encoding="utf-8") for path in committed()}
    return [
        f"{name} is not as it is built: run `python tools/build_terminology.py`."
        for name in sorted(built.keys() | there.keys())
        if built.get(name) != there.get(name)
    ]


def text(resource: Json) -> str:
    """A concept or a mapping a line, so that a change can be read in a diff."""
    lines = []
    for name, value in resource.items():
        if name in ("concept", "group", "compose", "uniqueId"):
            lines.append(f"{compact(name)}:{spread(value)}")
        else:
            lines.append(f"{compact(name)}:{compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def spread(value: Any) -> str:
    """Lists that grow long, a line for each of their members."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(line(each) for each in value) + "\n]"
    inner = [f"{compact(name)}:{spread(each)}" for name, each in value.items()]
    return "{" + ",\n".join(inner) + "}"


def line(value: Any) -> str:
    if isinstance(value, dict) and "element" in value:
        head = {name: each for name, each in value.items() if name != "element"}
        return compact(head)[:-1] + f',"element":{spread(value["element"])}}}'
    return compact(value)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def rebase(base: str) -> None:
    """Take a base of one's own. Afterwards the lists are built anew, in a process that knows it."""
    if not BASE.fullmatch(base):
        sys.exit(f"`{base}` is no base: give a URL without a slash at its end.")
    changed = 0
    for pattern in (*SPELLED_OUT, "terminology/*.json"):
        for path in sorted(ROOT.glob(pattern)):
            if path.suffix in (".json", ".md", ".toml") and path.is_file():
                told = path.read_text(encoding="utf-8")
                if OWN in told:
                    path.write_text(told.replace(OWN, base), encoding="utf-8")
                    changed += 1
    site.cache_clear()
    if site()["base"] != base:
        sys.exit("`base` in terminology/site.toml could not be changed; change it by hand.")
    print(f"{changed} files say `{base}` now. Start the server again to use it.")


if __name__ == "__main__":
    main()
