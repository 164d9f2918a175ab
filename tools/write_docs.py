"""write_docs — docs/settings.md, docs/commands.md and docs/errors.md, made from the code.

python tools/write_docs.py           writes them
python tools/write_docs.py --check   only says which are not what the code says
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer.core import TyperCommand, TyperGroup

from fhir_server.cli.app import app
from fhir_server.cli.exits import TOLD
from fhir_server.foundation import outcome
from fhir_server.settings import TABLE, Line
from fhir_server.validation.messages import catalogue

DOCS = Path(__file__).parent.parent / "docs"
MADE = "<!-- Made by tools/write_docs.py from the code: change it there, then `make docs`. -->"
FORMAT = re.compile(r"(?<=\w):\w+(?=\})")  # {name:plain}
ROW = re.compile(r"^ +(\w+) +(\d{3})  (\S+)$", re.M)

# What each refusal is for, and what a client does about it.
REFUSALS = {
    "FhirError": (
        "A fault of ours, without detail. The log line with the same X-Request-Id tells operators"
        " more.",
        "Try once again; then tell whoever runs the server, with the X-Request-Id.",
    ),
    "Invalid": (
        "The body, the URL or a header is not what R4 says; each issue names its element.",
        "Correct what the issues name. The same request again is refused again.",
    ),
    "NotSupported": (
        "What was asked is R4, but this server does not do it: a parameter, a modifier, a form.",
        "Leave it out, or send `Prefer: handling=lenient` for a search.",
    ),
    "Unauthorized": (
        "Access is asked for, and the request shows no access token that is good now.",
        "Get a token at the token endpoint of `.well-known/smart-configuration`.",
    ),
    "Forbidden": ("The caller may not do this.", "Ask with other credentials."),
    "NotFound": ("No such resource, or no such version of it, was ever here.", "Look for it."),
    "UnknownType": ("The path begins with what is not a type of R4.", "Spell it as R4 does."),
    "MethodNotAllowed": (
        "The URL is right, the HTTP method is not; `Allow` lists those that are.",
        "Use one of `Allow`.",
    ),
    "NotAcceptable": (
        "`Accept` or `_format` names no format the server writes.",
        "Ask for `application/fhir+json` or `application/fhir+xml`.",
    ),
    "TooSlow": ("The body did not arrive in time.", "Send it again, or in parts."),
    "Conflict": (
        "Others wrote the same resource at the same time, again and again.",
        "Read it again, then write.",
    ),
    "Gone": ("The resource was deleted; `_history` still tells of it.", "Stop using the id."),
    "PreconditionFailed": (
        "`If-Match` names a version that is not the newest: somebody wrote in between.",
        "Read the resource, make the change again, send the new ETag.",
    ),
    "MultipleMatches": (
        "A conditional interaction's criteria match more than one resource.",
        "Make the criteria narrower, or mend the duplicates.",
    ),
    "TooLarge": (
        "A body, a Bundle or a question is larger than a bound; the issue names the setting.",
        "Send it in parts, ask for less, or have the setting raised.",
    ),
    "UriTooLong": ("The URL is longer than `max_url`.", "Post the search to `_search`."),
    "UnsupportedMedia": (
        "`Content-Type` or `Content-Encoding` is one the server does not read.",
        "Send `application/fhir+json`, plain, gzip or zstd.",
    ),
    "Unprocessable": (
        "The resource is R4, but not what a profile asks for ([validation](validation.md)); or it"
        " cannot be taken; or an `Idempotency-Key` came again with another body.",
        "Correct what the issues name.",
    ),
    "TooCostly": (
        "Answering would take longer than a request may; it was stopped.",
        "Ask for less: add a parameter that fewer resources meet.",
    ),
    "TooMany": ("More requests at once than the server takes.", "Wait for `Retry-After`."),
    "HeadersTooLarge": ("The header fields are larger than `max_header`.", "Send fewer."),
    "Unavailable": (
        "The database or the server is busy, stopping or away. Nothing was done.",
        "Send the same request again after `Retry-After`.",
    ),
    "OutOfSpace": (
        "The database's disk is full. Nothing was written; reads go on.",
        "Tell whoever runs the server; send it again later.",
    ),
}


def settings() -> str:
    lines = [
        "# Settings",
        "",
        MADE,
        "",
        "Every setting can be given as a command-line option or as an environment variable; the",
        "option wins. `fhir-server settings` shows what is in force and where each value comes",
        "from. A value that cannot be meant is refused, and the refusal names the variable.",
        "Sizes may be written `64k`, `50M`, `2G`; yes and no are `true` and `false`. Where a",
        "variable that ends in `_FILE` is listed, it may name a file that holds the value, such",
        "as a secret of Docker or Kubernetes. A secret, and a URL with a password in it, is",
        "refused as an option: what a program was started with, the whole machine can see.",
        "",
        "| setting | variable | option | default | what it is for |",
        "|---|---|---|---|---|",
    ]
    for line in TABLE:
        default = f"`{line.shown(line.default)}`" if line.shown(line.default) else "empty"
        option = f"`{line.option}`" if line.has_option else "none"
        if line.is_flag:
            option += f", `--no-{line.option[2:]}`"
        lines.append(
            f"| `{line.name}` | {variables(line)} | {option} | {default} | {line.told.help} |"
        )
    lines += [
        "",
        "In Kubernetes, a Service called `fhir` puts a variable `FHIR_PORT=tcp://...` into every",
        "container, which is then refused as a port: give the Service another name, or set",
        "`enableServiceLinks: false`.",
        "",
    ]
    return "\n".join(lines)


def variables(line: Line) -> str:
    also = f", `{line.file_variable}`" if line.told.kind.may_be_secret else ""
    return f"`{line.variable}`{also}"


def commands() -> str:
    group = typer.main.get_group(app)
    told = [
        "# Commands",
        "",
        MADE,
        "",
        "`fhir-server COMMAND --help` says the same. Options that are settings are listed in",
        "[settings.md](settings.md) and are not repeated here.",
        "",
    ]
    for name, command in spelled_out(group):
        told += [f"## fhir-server {name}", "", *prose(inspect.cleandoc(command.help or "")), ""]
        own = [each for each in command.params if each.name not in {line.name for line in TABLE}]
        listed = {line.name for line in TABLE} & {each.name for each in command.params}
        for each in own:
            shown = ", ".join(f"`{opt}`" for opt in [*each.opts, *each.secondary_opts])
            if each.param_type_name == "argument":
                shown = f"`{(each.name or '').upper()}`"
            told.append(f"- {shown}: {getattr(each, 'help', '') or ''}")
        if len(listed) == sum(line.has_option for line in TABLE):
            told.append("- All [settings](settings.md) are options.")
        elif listed:
            names = [f"`{line.option}`" for line in TABLE if line.name in listed]
            told.append(f"- Of the [settings](settings.md): {', '.join(names)}.")
        told += [""] if own or listed else []
    told += ["## Exit statuses", "", "| status | what it means |", "|---|---|"]
    told += [f"| {int(status)} | {sentence} |" for status, sentence in TOLD.items()]
    return "\n".join([*told, ""])


def spelled_out(group: TyperGroup, before: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Every command by all the words it is called by: `serve`, `package add`."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from spelled_out(command, f"{before}{name} ")
        elif isinstance(command, TyperCommand):
            yield f"{before}{name}", command


def prose(help: str) -> list[str]:
    """A command's help as Markdown: the examples become a block of commands."""
    text, _, examples = help.partition("\b\n")
    lines = text.strip().splitlines()
    shown: list[str] = []
    for line in examples.splitlines()[1:]:
        goes_on = bool(shown) and shown[-1].endswith("\\")
        if line.strip():
            shown.append(f"{'    ' if goes_on else '$ '}{line.strip()}")
    return [*lines, "", "```console", *shown, "```"] if shown else lines


def errors() -> str:
    told = [
        "# Refusals",
        "",
        MADE,
        "",
        "Whatever is refused is answered with an OperationOutcome",
        "([R4](https://hl7.org/fhir/R4/operationoutcome.html)). Each issue has a severity, a code,",
        "a sentence in `diagnostics` that says what to do, and, where it can be told, the element",
        "(`Patient.name[0].family`) or the parameter (`http.name`) in `expression`.",
        "What is wrong with a resource has also the key of the rule in `details.coding`, line and",
        "column of what was sent in two extensions, and its sentence in English and Vietnamese, of",
        "which `Accept-Language` chooses one. How to mend it: [validation.md](validation.md).",
        "",
        "| refusal | status | issue code | when | what to do |",
        "|---|---|---|---|---|",
    ]
    for name, status, code in ROW.findall(outcome.__doc__ or ""):
        when, then = REFUSALS[name]
        told.append(f"| {name} | {status} | `{code}` | {when} | {then} |")
    told += [
        "",
        "## Rules",
        "",
        "The keys in `details.coding`, of the system",
        "`https://fhir-server.example/CodeSystem/rule`. Those of invariants are their own: R4's",
        "(`dom-6`) are in its definitions, the local ones (`vn-...`) in `profiles/`. In a sentence",
        "`{name}` stands for what was found or wanted.",
        "",
        "| rule | severity | issue code | what is said |",
        "|---|---|---|---|",
    ]
    for message in sorted(catalogue().values(), key=lambda each: each.key):
        said = FORMAT.sub("", message.en).replace("|", "\\|")
        told.append(f"| `{message.rule}` | {message.severity} | `{message.code}` | {said} |")
    return "\n".join([*told, ""])


DOCUMENTS = {"settings.md": settings, "commands.md": commands, "errors.md": errors}


def stale() -> list[str]:
    """The documents that are not what the code says."""
    return [
        name
        for name, make in DOCUMENTS.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text("utf-8") != make()
    ]


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        if names := stale():
            sys.exit(f"Not what the code says: docs/{', docs/'.join(names)}. Run `make docs`.")
        return
    DOCS.mkdir(exist_ok=True)
    for name, make in DOCUMENTS.items():
        (DOCS / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
