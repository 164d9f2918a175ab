"""parse — from the text of a FHIRPath expression to its tree.

http://hl7.org/fhirpath/N1/grammar.html
https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, NoReturn

from fhir_server.foundation.fhirpath.tree import (
    Binary,
    Call,
    Empty,
    Index,
    Literal,
    Name,
    Node,
    TypeOp,
    Unary,
    Variable,
    parts,
)
from fhir_server.foundation.outcome import Invalid

MAX_LENGTH = 16_384  # characters; the longest of R4's own expressions has under 4,000
MAX_NESTING = 40  # parentheses, brackets and signs within each other
MAX_DEPTH = 160  # of the tree: it is walked by recursion

# The operators, from the loosest to the tightest; all group from the left.
PRECEDENCE: tuple[frozenset[str], ...] = tuple(
    frozenset(operators.split())
    for operators in (
        "implies",
        "or xor",
        "and",
        "in contains",
        "= ~ != !~",
        "<= < > >=",
        "|",
        "is as",
        "+ - &",
        "* / div mod",
    )
)
TYPE_OPERATORS = frozenset({"is", "as"})
# A keyword that is also an identifier where a name is due.
ALSO_NAMES = frozenset({"as", "is", "contains", "in"})
KEYWORDS = frozenset({"true", "false", "and", "or", "xor", "implies", "div", "mod"}) | ALSO_NAMES
CALENDAR = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
CALENDAR_WORDS = frozenset(CALENDAR) | {word + "s" for word in CALENDAR}

DATE = r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
TIME = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
TOKEN = re.compile(
    rf"""
    (?P<space>(?:\s+|/\*(?s:.*?)\*/|//[^\r\n]*)+)
  | (?P<dateTime>@{DATE}T(?:{TIME}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?)
  | (?P<time>@T{TIME})
  | (?P<date>@{DATE})
  | (?P<number>[0-9]+(?:\.[0-9]+)?)
  | (?P<string>'(?:\\.|[^'\\])*')
  | (?P<delimited>`(?:\\.|[^`\\])*`)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<special>\$(?:this|index|total)\b)
  | (?P<sign><=|>=|!=|!~|[-+*/&|=~<>.,()\[\]{{}}%])
    """,
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {c: c for c in "'`\"\\/"}


class Token(NamedTuple):
    kind: str  # a group of TOKEN, or `end`
    text: str
    at: int


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of an expression. Raises Invalid, with the place, where it is not FHIRPath."""
    if len(text) > MAX_LENGTH:
        raise Invalid(f"The FHIRPath expression is longer than {MAX_LENGTH} characters.")
    parser = _Parser(text)
    node = parser.expression()
    parser.expect_end()
    if _depth(node) > MAX_DEPTH:
        raise Invalid(f"The FHIRPath expression is more than {MAX_DEPTH} steps deep.")
    return node


def _depth(node: Node) -> int:
    """How deep the tree is; without recursion, since that is what the answer is for."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((part, depth + 1) for part in parts(node))
    return deepest


def _refuse(text: str, at: int, why: str) -> NoReturn:
    near = text[at : at + 20] or "its end"
    raise Invalid(f"FHIRPath: {why} at character {at + 1}, near `{near}`.")


def _tokens(text: str) -> list[Token]:
    tokens, at = [], 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            _refuse(text, at, "no token begins")
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, found[0], at))
        at = found.end()
    tokens.append(Token("end", "", at))
    return tokens


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.place = 0
        self.nesting = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def refuse(self, why: str) -> NoReturn:
        _refuse(self.text, self.token.at, why)

    def advance(self) -> Token:
        token = self.token
        self.place += 1
        return token

    def take(self, sign: str) -> bool:
        """Whether the sign stands here; if so, it is passed."""
        if self.token.kind == "sign" and self.token.text == sign:
            self.place += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            self.refuse(f"`{sign}` is missing")

    def expect_end(self) -> None:
        if self.token.kind != "end":
            self.refuse("the expression should end")

    def expression(self, level: int = 0) -> Node:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.refuse(f"more than {MAX_NESTING} things within each other")
        node = self.operation(level)
        self.nesting -= 1
        return node

    def operation(self, loosest: int) -> Node:
        """An operand and all operators at least as tight as `loosest`."""
        node = self.polarity()
        while (level := self.operator_level()) >= loosest:
            op = self.advance().text
            if op in TYPE_OPERATORS:
                node = TypeOp(op, node, self.type_specifier())
            else:
                # not through expression(): a tighter operand is no nesting
                node = Binary(op, node, self.operation(level + 1))
        return node

    def operator_level(self) -> int:
        if self.token.kind in ("sign", "name"):
            for level, operators in enumerate(PRECEDENCE):
                if self.token.text in operators:
                    return level
        return -1

    def polarity(self) -> Node:
        # N1 expression:  ('+' | '-') expression — tighter than `*`, looser than `.`
        for op in "+-":
            if self.take(op):
                return Unary(op, self.expression(len(PRECEDENCE)))
        node = self.term()
        while True:
            if self.take("."):
                node = self.invocation(node)
            elif self.take("["):
                node = Index(node, self.expression())
                self.expect("]")
            else:
                return node

    def term(self) -> Node:
        # N1 term:  invocation | literal | externalConstant | '(' expression ')'
        if self.take("("):
            node = self.expression()
            self.expect(")")
            return node
        if self.take("{"):
            self.expect("}")
            return Empty()
        if self.take("%"):
            return Variable("%" + self.constant())
        return self.literal() or self.invocation(None)

    def constant(self) -> str:
        # N1 externalConstant:  '%' ( identifier | STRING )
        if self.token.kind == "string":
            return self.unescaped(self.advance())
        return self.identifier()

    def literal(self) -> Literal | None:
        token = self.token
        match token.kind:
            case "string":
                return Literal(self.unescaped(self.advance()), "string")
            case "date" | "dateTime":
                return Literal(self.advance().text[1:], token.kind)
            case "time":
                return Literal(self.advance().text[2:], "time")
            case "number":
                self.place += 1
                return self.number(token.text)
            case "name" if token.text in ("true", "false"):
                return Literal(self.advance().text == "true", "boolean")
        return None

    def number(self, text: str) -> Literal:
        # N1 quantity:  NUMBER unit?   unit:  dateTimePrecision | pluralDateTimePrecision | STRING
        unit = self.token
        if unit.kind == "string":
            return Literal((Decimal(text), self.unescaped(self.advance())), "quantity")
        if unit.kind == "name" and unit.text in CALENDAR_WORDS:
            return Literal((Decimal(text), self.advance().text), "quantity")
        if "." in text:
            return Literal(Decimal(text), "decimal")
        if len(text) > 18:
            self.place -= 1
            self.refuse("an integer too large")
        return Literal(int(text), "integer")

    def invocation(self, base: Node | None) -> Node:
        # N1 invocation:  identifier | function | '$this' | '$index' | '$total'
        if self.token.kind == "special":
            if base is not None:
                self.refuse("a name is missing")
            return Variable(self.advance().text)
        name = self.identifier()
        if not self.take("("):
            return Name(base, name)
        if self.take(")"):
            return Call(base, name, ())
        args = [self.expression()]
        while self.take(","):
            args.append(self.expression())
        self.expect(")")
        return Call(base, name, tuple(args))

    def identifier(self) -> str:
        token = self.token
        named = token.kind == "name" and (token.text not in KEYWORDS or token.text in ALSO_NAMES)
        if not named and token.kind != "delimited":
            self.refuse("a name is missing")
        self.place += 1
        return token.text if named else self.unescaped(token)

    def type_specifier(self) -> str:
        # N1 qualifiedIdentifier:  identifier ('.' identifier)*
        # Two names at most: after a type, `.` goes on with the operand's members.
        name = self.identifier()
        if name in ("FHIR", "System") and self.take("."):
            return f"{name}.{self.identifier()}"
        return name

    def unescaped(self, token: Token) -> str:
        def one(found: re.Match[str]) -> str:
            if found[1]:
                return chr(int(found[1], 16))
            # N1 leaves other escapes open; the character itself is what people mean
            return ESCAPES.get(found[2], found[2])

        text = ESCAPE.sub(one, token.text[1:-1])
        # two escapes may be the halves of one character; half a character is none
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
