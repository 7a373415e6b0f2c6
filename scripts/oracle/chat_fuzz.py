#!/usr/bin/env python3
"""Differential fuzzing of our Jinja against Jinja2: random templates from a grammar of the language.

    build/venv/bin/python scripts/oracle/chat_fuzz.py build/release/bin/jinja_render [--count 20000] [--seed 1]

Prints what differs and exits with 1. Two errors are equal; what Python prints with an address is left out, the constant inf (which Jinja2 cannot compile), and so are numbers
beyond 64 bits, which are an error of ours, and slices of literal numbers and dicts, which Jinja2 takes for undefined.
"""
import argparse, random, re, sys, warnings
import chat_templates as oracle
from chat_snippets import CONTEXT, EXPRESSIONS, FILTERS, METHODS, STATEMENTS, TESTS

NAMES = ["text", "words", "numbers", "nested", "number", "real", "nothing", "empty", "yes", "unicode", "messages", "tools", "missing", "x", "y", "m", "loop.index", "loop.last", "ns.a", "messages[0].content", "messages[2]", "nested.k.l"]
ATOMS = ["0", "1", "-2", "3", "1.5", "'a'", "''", "'ab c'", "' é\\n'", "none", "true", "false", "[]", "[1, 2]", "('a',)", "{'a': 1}", "{}", "range(3)"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


def pieces(text):
    return [piece for line in text.splitlines() for piece in line.split(";")]


CALLS = re.findall(r"\|\s*(\w+(?:\([^()]*\))?)", FILTERS)
TESTS_ = re.findall(r" is ((?:not )?\w+(?: [\w'\[\]]+|\([^()]*\))?)", TESTS)
METHODS_ = re.findall(r"(\.\w+\([^()]*\))", METHODS)
WHOLE = pieces(EXPRESSIONS) + pieces(FILTERS) + pieces(TESTS) + pieces(METHODS)


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)

    def expression(self, depth):
        kind = self.random.randrange(14) if depth > 0 else self.random.randrange(2)
        sub = lambda: self.expression(depth - 1)
        if kind == 0: return self.pick(*NAMES)
        if kind == 1: return self.pick(*ATOMS)
        if kind in (2, 3): return f"({sub()} {self.pick(*OPERATORS)} {sub()})"
        if kind in (4, 5, 6): return f"({sub()})|{self.pick(*CALLS)}"
        if kind == 7: return f"({sub()} is {self.pick(*TESTS_)})"
        if kind in (8, 9): return f"({sub()}){self.pick(*METHODS_)}"
        if kind == 10: return f"({sub()})[{self.pick('0', '-1', '1:', '::-1', ':2', '::2', sub())}]"
        if kind == 11: return f"({sub()} if {sub()} else {sub()})"
        if kind == 12: return f"[{sub()}, {sub()}]"
        return self.pick(*WHOLE)

    def tag(self, inside):
        return "{%" + self.pick("", "", "-", "+") + " " + inside + " " + self.pick("", "", "-", "+") + "%}"

    def text(self):
        return "".join(self.pick("a", " ", "\n", "  ", "\t", "é", "<|x|>") for _ in range(self.random.randrange(4)))

    def body(self, depth):
        return "".join(self.statement(depth) + self.text() for _ in range(self.pick(1, 1, 2)))

    def statement(self, depth):
        kind = self.random.randrange(16) if depth > 0 else self.random.randrange(4)
        expression = lambda: self.expression(self.pick(0, 0, 1, 1, 2))
        body = lambda: self.body(depth - 1)
        if kind < 3: return "{{" + self.pick("", "-") + " " + expression() + " " + self.pick("", "-") + "}}"
        if kind == 3: return self.tag(f"set {self.pick('x', 'y', 'number', 'm')} = {expression()}")
        if kind == 4: return self.tag(f"if {expression()}") + body() + self.tag("endif")
        if kind == 5: return self.tag(f"if {expression()}") + body() + self.tag(f"elif {expression()}") + body() + self.tag("else") + body() + self.tag("endif")
        if kind in (6, 7): return self.tag(f"for {self.pick('x', 'm', 'y')} in {self.pick('messages', 'numbers', 'words', 'range(3)', 'tools', expression())}" + self.pick("", "", f" if {expression()}")) + body() + self.pick("", self.tag("else") + body()) + self.tag("endfor")
        if kind == 8: return self.tag("set x") + body() + self.tag("endset")
        if kind == 9: return self.tag("macro f(x, y=1)") + body() + self.tag("endmacro") + "{{ f(" + self.pick("", "1", "1, 2", "y=3", expression()) + ") }}"
        if kind == 10: return self.tag(f"filter {self.pick('upper', 'trim', 'indent(2)', 'title', 'length', 'reverse')}") + body() + self.tag("endfilter")
        if kind == 11: return self.tag(f"with x = {expression()}") + body() + self.tag("endwith")
        if kind == 12: return self.tag("set ns = namespace(a=1)") + self.tag(f"for x in numbers") + self.tag(f"set ns.a = {expression()}") + self.tag("endfor") + "{{ ns.a }}"
        if kind == 13: return self.tag("for x in numbers") + self.tag(f"if {expression()}") + self.tag(self.pick("break", "continue")) + self.tag("endif") + "{{ x }}" + self.tag("endfor")
        if kind == 14: return self.tag("generation") + body() + self.tag("endgeneration")
        return self.pick(*STATEMENTS)


ADDRESSES = re.compile(r" at 0x|x0 ta |<(function|method|iterator|built-in)|>(rotareti|dohtem)<|name '(inf|nan)'", re.I)
OURS_ALONE = ("64 bits", "too large", "not supported", "is too wide", "too long a text", "takes too long", "dimensions", "too many digits", "has no slices")


def main():
    warnings.simplefilter("ignore", SyntaxWarning)
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    grammar, ours = Grammar(options.seed), oracle.Ours(options.program)
    different = errors = left_out = 0
    for _ in range(options.count):
        template = grammar.body(3)
        expected, got = oracle.theirs(template, CONTEXT), ours.render(template, CONTEXT)
        errors += expected[0] == "error"
        if expected == got or expected[0] == got[0] == "error":
            continue
        if ADDRESSES.search(expected[1] + got[1]) or (got[0] == "error" and any(reason in got[1] for reason in OURS_ALONE)):
            left_out += 1
            continue
        different += 1
        if different <= 20:
            print(f"DIFFERENT: {template!r}\n  theirs {expected[0]}: {oracle.excerpt(expected[1], got[1])}\n  ours   {got[0]}: {oracle.excerpt(got[1], expected[1])}")
    print(f"{options.count} templates, seed {options.seed}: {different} DIFFERENT, {errors} errors of Jinja2, {left_out} left out")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
