"""texts_asked — `_text`, `_content` and `:text`: which words a resource is to be told in.

https://hl7.org/fhir/R4/search.html#text
https://hl7.org/fhir/R4/search.html#modifiers

R4 leaves to servers what a search by text can say. Words are met whole, without case and tones,
wherever they stand and in any order; with a `*` behind, as they begin.
"""

from __future__ import annotations

import re
from itertools import product

from fhir_server.foundation.folding import WORD_LENGTH, fold
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.escape import unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.scope import Scope
from fhir_server.search.site import Site
from fhir_server.search.texts import CONTENT, NARRATIVE, has_texts, token_terms
from fhir_server.store.contract import Condition, TextHas

MAX_WORDS = 50  # of one question
MAX_NESTED = 8  # parentheses within one another
MAX_TERMS = 1000  # once every `or` within an `and` is written out

TOKEN = re.compile(r"[(),]|[^\s(),]+")
ESCAPED = re.compile(r"\\.")  # `\,` parts words, as any comma in a text does

List = tuple[str, ...]  # terms of which one must be there
Lists = tuple[List, ...]  # all of which must hold


def text(scope: Scope, name: str, value: str) -> Condition:
    """`_text`: words of the narrative."""
    return _worded(scope, name, value, NARRATIVE)


def content(scope: Scope, name: str, value: str) -> Condition:
    """`_content`: words of the whole resource."""
    return _worded(scope, name, value, CONTENT)


def said(parameter: Parameter, text: str, modifier: str | None, site: Site) -> Condition:  # noqa: ARG001 - as the other modifiers of a token
    """`:text`: how words begin that are said for a code. R4: "processed as a string"."""
    _demand(site, f"{parameter.code}:text")
    if not has_texts(parameter):
        raise NotSupported(
            f"`{parameter.code}:text` is not supported: its values are no CodeableConcept, Coding "
            "or Identifier of R4's own parameters, for which something is said in words."
        )
    words = fold(unescape(text)).split()
    if not words:
        raise Invalid(f"`{parameter.code}:text` is given `{text[:80]}`, which has no word in it.")
    if len(words) > MAX_WORDS:
        raise Invalid(_many(f"{parameter.code}:text"))
    before = token_terms(parameter.number)
    return TextHas(tuple((f"{before}{word[:WORD_LENGTH]}*",) for word in dict.fromkeys(words)))


def _demand(site: Site, name: str) -> None:
    if not site.texts:
        raise NotSupported(
            f"`{name}` needs the index of words, which this server is not told to keep. The "
            "setting `text_index` turns it on."
        )


def _many(name: str) -> str:
    return f"`{name}` asks for more than {MAX_WORDS} words. Ask for fewer."


def _worded(scope: Scope, name: str, value: str, before: str) -> Condition:
    code, _, modifier = name.partition(":")
    if modifier:
        raise Invalid(f"`:{modifier[:40]}` is no modifier of `{code}`. No modifier works with it.")
    _demand(scope.site, code)
    if '"' in value:
        raise NotSupported(
            f"`{code}` is given words in quotes. Which words follow one another is not known: leave"
            " the quotes out, and the words are found in any order."
        )
    return TextHas(_Reading(code, ESCAPED.sub(" ", value), before).all())


class _Reading:
    """Reads a question from its beginning to its end.

    R4 gives an example, `(bone OR liver) and metastases`, and no grammar. Ours:

        either = both *( ("or" | ",") both )
        both   = one *( ["and"] one )
        one    = word ["*"] | "(" either ")"
    """

    def __init__(self, code: str, value: str, before: str) -> None:
        self.code, self.before = code, before
        self.value = value
        self.tokens = TOKEN.findall(value)
        self.at = 0
        self.words = 0

    def all(self) -> Lists:
        found = self.either(0)
        if self.at < len(self.tokens):
            raise self.wrong(f"`{self.tokens[self.at]}` closes nothing that was opened")
        if not found:
            raise self.wrong("it has no word in it")
        return found

    @property
    def next(self) -> str:
        """What comes next, operators in small letters; nothing at the end."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        return token.lower() if token.lower() in ("and", "or") else token

    def either(self, depth: int) -> Lists:
        found = self.both(depth)
        while self.next in ("or", ","):
            self.at += 1
            found = self.one_of(found, self.both(depth))
        return found

    def both(self, depth: int) -> Lists:
        found = dict.fromkeys(self.one(depth))
        while self.next not in ("", ")", "or", ","):
            if self.next == "and":
                self.at += 1
            found.update(dict.fromkeys(self.one(depth)))
        return tuple(found)

    def one(self, depth: int) -> Lists:
        told = self.next
        self.at += 1
        if told in ("", ")", "and", "or", ","):
            raise self.wrong(f"a word is missing before `{told or 'its end'}`")
        if told == "NOT":
            raise NotSupported(f"`NOT` in `{self.code}` is not supported. Ask for what is there.")
        if told != "(":
            return self.word(told)
        if depth == MAX_NESTED:
            raise self.wrong(f"parentheses are nested more than {MAX_NESTED} deep")
        found = self.either(depth + 1)
        if self.next != ")":
            raise self.wrong("a `)` is missing")
        self.at += 1
        return found

    def word(self, told: str) -> Lists:
        """A token may be several words (`X-quang`), or none (`-`)."""
        words = [self.before + word[:WORD_LENGTH] for word in fold(told).split()]
        self.words += len(words)
        if self.words > MAX_WORDS:
            raise Invalid(_many(self.code))
        if words and told.endswith("*"):
            words[-1] += "*"
        return tuple((word,) for word in words)

    def one_of(self, these: Lists, those: Lists) -> Lists:
        """Either of two questions, as lists that must all hold."""
        if not these or not those:  # punctuation alone asks for nothing
            return these or those
        if len(these) * len(those) > MAX_TERMS:
            raise self.wrong(self.much())
        found = dict.fromkeys(
            tuple(dict.fromkeys((*this, *that))) for this, that in product(these, those)
        )
        if sum(map(len, found)) > MAX_TERMS:
            raise self.wrong(self.much())
        return tuple(found)

    def much(self) -> str:
        return f"written out, it asks for more than {MAX_TERMS} words"

    def wrong(self, why: str) -> Invalid:
        return Invalid(
            f"`{self.code}` is given `{self.value[:80]}`, and {why}. Write words, as "
            "`(xuong or gan) and di can`."
        )
