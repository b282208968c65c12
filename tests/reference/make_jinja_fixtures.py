#!/usr/bin/env python3
"""Writes fixtures/jinja.json: small templates for every construct, with what Jinja renders from them.

    python make_jinja_fixtures.py [--output FILE] [--tool build/release/src/text/jinja_tool]

The templates are written here; the texts come from Python's Jinja as transformers sets it up. "text" is null where Jinja
raises. With --tool, the program is compared at once, and differences are printed. Needs: transformers, jinja2.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess

os.environ["TZ"] = "UTC"
import transformers.utils.chat_template_utils as reference  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = 1753401600 + 3723


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


VARIABLES = {
    "text": "Hello World", "empty": "", "uni": "naïve Σίσυφος 日本 🦀 ß ǆ", "spaces": "  \t a b \n ", "lines": "one\ntwo\r\nthree\n\nfive",
    "html": "<a href=\"x\">T'&amp;</a>", "n": 7, "neg": -7, "zero": 0, "pi": 3.14159, "big": 2**70, "huge": 1e22, "tiny": 1e-7, "yes": True, "no": False,
    "nothing": None, "list": [3, 1, 2], "words": ["banana", "Apple", "cherry", "apple"], "nested": [[1, [2, "x"]], {"a": [None, True]}],
    "d": {"b": 1, "a": [1, 2], "C": {"x": "y"}, "items": "own"}, "people": [{"name": "Bob", "age": 31, "tags": ["x"]}, {"name": "ann", "age": 25, "tags": []},
                                                                            {"name": "Cid", "age": 31, "city": {"zip": 12}}],
    "tree": [{"n": 1, "c": [{"n": 2, "c": [{"n": 3, "c": []}]}, {"n": 4, "c": []}]}, {"n": 5, "c": []}],
}

# Each line is a template.
EXPRESSIONS = r"""
{{ 1 + 2 * 3 - 4 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}
{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 0.1 + 0.2 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1e16 }} {{ 123456789.123 }}
{{ -2 ** 2 }} {{ (-2) ** 2 }} {{ -n }} {{ +n }} {{ - neg }} {{ 2 - -2 }} {{ not yes }} {{ not not n }} {{ -yes }} {{ true + true }}
{{ 1 / 0 }}
{{ 5 % 0 }}
{{ "a" + 1 }}
{{ 1 + "a" }}
{{ "a" ~ 1 ~ none ~ true ~ 1.0 ~ [1, "x"] ~ undefined_thing }}
{{ "ab" * 3 }} {{ 2 * "xy" }} {{ [1, 2] * 2 }} {{ "a" * 0 }} {{ "a" * -1 }} {{ (1,) * 2 }} {{ [1] + [2] }} {{ (1, 2) + (3,) }}
{{ [1] + (2,) }}
{{ "a" - "b" }}
{{ "x" * "y" }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ "a" < "b" }} {{ "a" == "a" }} {{ "a" != "b" }} {{ [1, 2] < [1, 3] }} {{ (1, 2) == (1, 2) }} {{ [1] == (1,) }} {{ none == false }} {{ d == d }}
{{ 1 < "a" }}
{{ none < 1 }}
{{ {} < {} }}
{{ 1 in list }} {{ 9 in list }} {{ 9 not in list }} {{ "ell" in text }} {{ "a" in d }} {{ "z" in d }} {{ 1 in (1, 2) }} {{ 2 in range(3) }} {{ "a" in undefined_thing }} {{ 1 in {"x": 1}.values() }}
{{ 1 in "abc" }}
{{ 1 in 5 }}
{{ yes and "x" }} {{ no and "x" }} {{ empty or "y" }} {{ 0 or none or [] or "z" }} {{ n and list }} {{ no or no }} {{ yes if no }} {{ "a" if yes else "b" }} {{ "a" if no else "b" if no else "c" }}
{{ (yes if no) is defined }} {{ (1 if no) is undefined }}
{{ 1 if 2 if 0 else 3 else 4 }}
{{ text[0] }}{{ text[-1] }} {{ text[1:4] }} {{ text[:-3] }} {{ text[::-1] }} {{ text[::2] }} {{ text[-3:] }} {{ text[5:2] }} {{ text[100:] }} {{ text[-100:3] }} {{ uni[0:8] }} {{ uni[-3:] }} {{ uni[::-1] }}
{{ list[0] }} {{ list[-1] }} {{ list[1:] }} {{ list[::-1] }} {{ list[:] }} {{ (1, 2, 3)[1:] }} {{ range(10)[2:5] | list }} {{ range(10)[::-3] | list }} {{ list[true] }} {{ list[9] }} {{ list["0"] }} {{ words[1][0] }}
{{ list[1:2:0] }}
{{ list["a":] }}
{{ n[1:2] }}
{{ list.0 }} {{ nested.1.a.0 }} {{ d.a.1 }} {{ d["a"][0] }} {{ d.C.x }} {{ d["C"]["x"] }} {{ d.missing }} {{ d["missing"] }} {{ d.items is callable }} {{ d["items"] }} {{ text.missing }} {{ none.x }}
{{ d.missing.more }}
{{ undefined_thing.x }}
{{ undefined_thing["x"] }}
{{ undefined_thing() }}
{{ undefined_thing + 1 }}
{{ -undefined_thing }}
{{ undefined_thing < 1 }}
{{ "[" ~ undefined_thing ~ "]" }} {{ undefined_thing == other_thing }} {{ undefined_thing == none }} {{ undefined_thing | length }} {{ not undefined_thing }} {{ [undefined_thing] }} {{ undefined_thing | list }}
{{ text() }}
{{ n.x }} {{ (n).y is defined }}
{{ text.__class__ }} {{ text["__class__"] }} {{ d.__init__ is defined }} {{ [].__len__ }}
{{ text.__class__.__mro__ }}
{{ list.append(4) }}
{{ d.update({"x": 1}) }}
{{ list.append is defined }} {{ d.pop is defined }} {{ d.setdefault }}
{{ [1, 2.0, "x", none, true, (1,), (1, 2), {"k": "v", 1: 2}, []] }} {{ () }} {{ {} }} {{ ("a",) }} {{ {"a": 1, "a": 2} }} {{ {1: "a", true: "b"} }}
{{ {[1]: 2} }}
{{ ["it's", 'say "x"', "both ' \"", "\n\t\\ \x01 \x7f é 日 \u200b \U0001F980 \u2028"] }}
{{ "\x41\u00e9\U0001F980\101\0 \q \'\" \
x" }}
{{ 'a' 'b' "c" }} {{ 'multi
line' }}
{{ big }} {{ -big }} {{ big == big }} {{ big > 5 }} {{ 5 < big }} {{ [big] }} {{ big | string | length }} {{ big | tojson }} {{ 2 ** 62 }} {{ huge }} {{ tiny }} {{ big is integer }} {{ 12345678901234567890 }}
{{ nothing }} {{ yes }} {{ no }} {{ true }} {{ True }} {{ False }} {{ None }} {{ none }}
{{ n is number }} {{ pi is float }} {{ n is integer }} {{ yes is integer }} {{ yes is number }} {{ yes is boolean }} {{ yes is true }} {{ no is false }} {{ 1 is true }} {{ none is none }} {{ text is string }} {{ d is mapping }} {{ list is mapping }}
{{ text is sequence }} {{ list is sequence }} {{ d is sequence }} {{ n is sequence }} {{ text is iterable }} {{ n is iterable }} {{ range(3) is iterable }} {{ range(3) is sequence }} {{ d.keys() is sequence }} {{ undefined_thing is iterable }} {{ undefined_thing is sequence }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ n is not odd }} {{ 3 is in list }} {{ 3 is not in [1] }} {{ n is eq 7 }} {{ n is ne(7) }} {{ n is gt 3 }} {{ n is ge 7 }} {{ n is lt 3 }} {{ n is le 7 }} {{ n is equalto 7 }} {{ n is greaterthan 1 }} {{ n is lessthan 1 }} {{ n is sameas 7 }} {{ none is sameas none }} {{ d is sameas d }}
{{ "abc" is lower }} {{ "ABC" is upper }} {{ "aB" is lower }} {{ "" is lower }} {{ "1" is upper }} {{ 5 is lower }} {{ range is callable }} {{ text.upper is callable }} {{ text is callable }} {{ undefined_thing is callable }} {{ "upper" is filter }} {{ "nope" is filter }} {{ "odd" is test }} {{ text | e is escaped }} {{ text is escaped }}
{{ text is defined }} {{ undefined_thing is defined }} {{ undefined_thing is undefined }} {{ d.x is defined }} {{ d.a is defined }}
{{ (d.x).y is defined }}
{{ "x" is odd }}
{{ 7.5 is odd }} {{ 4.0 is even }} {{ true is odd }}
{{ range(5) }} {{ range(5) | list }} {{ range(2, 8, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(0) | list }} {{ range(3) | length }} {{ range(3)[1] }} {{ range(1, 2, 5) }} {{ range(3) == range(0, 3) }} {{ range(5) | sum }}
{{ range(1000000) | length }}
{{ range("a") }}
{{ range() }}
{{ dict(a=1, b=2) }} {{ dict({"x": 1}, y=2) }} {{ dict([("a", 1), ("b", 2)]) }} {{ dict() }} {{ dict(a=1).a }}
{{ namespace(a=1, b="x") }} {{ namespace({"q": 2}).q }} {{ namespace().missing }} {{ namespace(a=1) is mapping }}
{{ namespace(_x=1) }}
{{ text | upper | lower | title | capitalize }} {{ text.upper().lower() }} {{ (text | upper)[0] }} {{ text | replace("l", "L") | length }}
{{ foo.bar(1, *[2], **{"a": 3}) }}
{{ "%s and %d and %5.2f and %x and %r and %%" % ("a", 5, 3.14159, 255, "q") }} {{ "%(a)s-%(b)03d" % {"a": "x", "b": 7} }} {{ "%s" % "only" }} {{ "%s" % none }} {{ "%s" % [1, 2] }} {{ "%-6s|%6s|%06d|%+d|% d" % ("ab", "cd", 42, 5, 6) }} {{ "%.3s" % "abcdef" }} {{ "%c%c" % ("x", 65) }} {{ "%e %g %G" % (12345.678, 0.00001, 1e20) }} {{ "%i" % 3.9 }} {{ "%*d" % (5, 3) }} {{ "%#x %o %X" % (255, 8, 255) }} {{ "%5.1f%%" % 99.55 }} {{ "%.5d" % 42 }}
{{ "%d" % "x" }}
{{ "%s %s" % "x" }}
{{ "%s" % ("a", "b") }}
{{ "x" % "y" }}
{{ "x" % [] }} {{ "x" % {} }} {{ "%s" % undefined_thing }}
{{ "{} {}".format(1, "x") }} {{ "{0} {1} {0}".format("a", "b") }} {{ "{x} {y!r}".format(x=1, y="q") }} {{ "{:>5}|{:<5}|{:^5}|{:*^7}".format("a", "b", "c", "d") }} {{ "{:05d} {:+d} {:,} {:_} {:x} {:#x} {:b}".format(42, 7, 1234567, 1234567, 255, 255, 5) }} {{ "{:.2f} {:8.3f} {:e} {:g} {:%}".format(3.14159, 2.5, 12345.678, 0.0001, 0.25) }} {{ "{{}} {}".format(1) }} {{ "{0[a]} {0.b}".format({"a": 1, "b": 2}) }} {{ "{[1]}".format([1, 2]) }} {{ "{:{}}".format("x", 4) }}| {{ "{!s:>4}".format(none) }} {{ "{}".format(none) }} {{ "{}".format([1, "x"]) }} {{ "{:5}|{:5}".format(1, "a") }} {{ "{:.3}".format("abcdef") }} {{ "{:.3}".format(3.14159) }} {{ "{:d}".format(true) }} {{ "{}".format(true) }} {{ "{:,.2f}".format(1234567.891) }}
{{ "{}".format() }}
{{ "{x}".format(y=1) }}
{{ "{".format() }}
{{ "{:d}".format("x") }}
{{ "{:z}".format(1) }}
{{ "{a} {b}".format_map({"a": 1, "b": 2}) }}
""".split("\n")

STRINGS = r"""
{{ spaces.strip() ~ "|" ~ spaces.lstrip() ~ "|" ~ spaces.rstrip() ~ "|" }} {{ "xxaxx".strip("x") }} {{ "xyaxy".lstrip("xy") }} {{ "abcba".rstrip("ab") }} {{ "日本日".strip("日") }} {{ "x".strip(none) }} {{ spaces | trim }} {{ "xax" | trim("x") }}
{{ "a,b,,c".split(",") }} {{ " a  b ".split() }} {{ "a,b,c".split(",", 1) }} {{ "a,b,c".rsplit(",", 1) }} {{ "a b  c ".split(none, 1) }} {{ " a b  c".rsplit(none, 1) }} {{ "abc".split("x") }} {{ "".split(",") }} {{ "".split() }} {{ "a--b--c".split("--") }} {{ "a,b".split(sep=",", maxsplit=1) }} {{ "aXbX".rsplit("X") }}
{{ "a".split("") }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ "".splitlines() }} {{ "\n".splitlines() }} {{ "a\x0bb\x1cc\u2028d\x85e\r".splitlines() }}
{{ "abc".startswith("a") }} {{ "abc".startswith(("x", "ab")) }} {{ "abc".startswith("b", 1) }} {{ "abc".startswith("c", 1, 2) }} {{ "abc".endswith("c") }} {{ "abc".endswith(("x", "bc")) }} {{ "abc".endswith("b", 0, 2) }} {{ "abc".startswith("") }} {{ "abc".startswith("", 5) }} {{ "abc".startswith("c", -1) }}
{{ "abc".startswith(1) }}
{{ "abc".startswith(["a"]) }}
{{ "aXbXc".replace("X", "-") }} {{ "aaa".replace("a", "b", 2) }} {{ "abc".replace("", "-") }} {{ "abc".replace("", "-", 2) }} {{ "".replace("", "x") }} {{ "aé日".replace("", ".") }} {{ "a" | replace("a", "b") }} {{ 121 | replace(1, 3) }} {{ "aaa" | replace("a", "b", 1) }}
{{ text.find("o") }} {{ text.rfind("o") }} {{ text.find("zz") }} {{ text.index("W") }} {{ text.count("l") }} {{ text.count("") }} {{ text.find("o", 5) }} {{ text.find("o", 5, 6) }} {{ uni.find("日") }} {{ uni.rfind(" ") }} {{ text.count("o", 5) }} {{ text.find("", 50) }} {{ text.rindex("l") }}
{{ text.index("zz") }}
{{ uni.upper() }}|{{ uni.lower() }}|{{ uni.title() }}|{{ uni.capitalize() }}|{{ uni.swapcase() }}|{{ uni.casefold() }}|{{ "ΑΣ ΣΑ Σ".lower() }}|{{ "they're bill's".title() }}|{{ "they're bill's (nice) a-b" | title }}|{{ "ǆ x" | title }}|{{ "ﬁx" | capitalize }}
{{ ", ".join(["a", "b"]) }} {{ "".join([]) }} {{ "-".join("abc") }} {{ "-".join(d) }} {{ "-".join(("x", "y")) }}
{{ ", ".join([1, 2]) }}
{{ "prefix-x".removeprefix("prefix-") }} {{ "x.txt".removesuffix(".txt") }} {{ "x".removeprefix("y") }} {{ "abc".removesuffix("") }}
{{ "ab".ljust(5) }}|{{ "ab".rjust(5, "*") }}|{{ "ab".center(7, "-") }}|{{ "abc".center(6) }}|{{ "ab".center(5) }}|{{ "-5".zfill(5) }}|{{ "5".zfill(1) }}|{{ "a\tb".expandtabs(4) }}|{{ "ab" | center(9) }}|{{ "日本".ljust(4, "。") }}
{{ "ab".ljust(5, "xy") }}
{{ "a-b-c".partition("-") }} {{ "a-b-c".rpartition("-") }} {{ "abc".partition("-") }} {{ "abc".rpartition("-") }}
{{ "123".isdigit() }} {{ "12a".isdigit() }} {{ "".isdigit() }} {{ "²".isdigit() }} {{ "²".isdecimal() }} {{ "Ⅷ".isnumeric() }} {{ "abc".isalpha() }} {{ "é日".isalpha() }} {{ "a1".isalnum() }} {{ " \t\n".isspace() }} {{ "AB".isupper() }} {{ "ab1".islower() }} {{ "Ab Cd".istitle() }} {{ "a_1".isidentifier() }} {{ "1a".isidentifier() }} {{ "abc".isascii() }} {{ "é".isascii() }} {{ "a\n".isprintable() }} {{ "".isascii() }}
{{ text.strip(1) }}
{{ text.strip("a", "b") }}
{{ text.nope() }}
{{ text.upper(1) }}
{{ "x".upper.__self__ }}
{{ (text.upper)() }} {{ text["upper"]() }} {{ text | attr("upper") is callable }} {{ (text | attr("lower"))() }} {{ d | attr("a") }} {{ d | attr("keys") is callable }}
{{ d.keys() }} {{ d.values() }} {{ d.items() }} {{ d.keys() | list }} {{ d.get("a") }} {{ d.get("zz") }} {{ d.get("zz", 5) }} {{ d.copy() == d }} {{ d.items() | list }} {{ d | length }} {{ d | list }} {{ d.keys() | length }} {{ "a" in d.keys() }} {{ d.items() | first }}
{{ d.keys()[0] }}
{{ list.index(1) }} {{ list.count(3) }} {{ list.copy() }} {{ (1, 2, 1).count(1) }} {{ (1, 2).index(2) }} {{ words.index("Apple", 1) }}
{{ list.index(99) }}
{{ list | join }} {{ list | join(", ") }} {{ words | join("|") }} {{ people | join(", ", attribute="name") }} {{ "abc" | join("-") }} {{ [1, none, undefined_thing, true] | join(",") }} {{ d | join(",") }} {{ list | join(1) }}
{{ 5 | join }}
{{ html | e }} {{ html | escape | e }} {{ html | forceescape }} {{ html | safe }} {{ (html | e) ~ "<b>" }} {{ (html | e) + "<b>" }} {{ "<i>" + (html | e) }} {{ "<" | e | upper }} {{ html | striptags }} {{ ["<" | e] }} {{ ("%s" | safe) % "x" }}
{{ text | length }} {{ uni | length }} {{ list | count }} {{ d | length }} {{ "" | length }}
{{ 5 | length }}
{{ "a b/c?d&é" | urlencode }} {{ {"a b": "c/d", "e": 1} | urlencode }} {{ [("x", "y z")] | urlencode }} {{ 5 | urlencode }}
{{ "the quick brown fox" | wordcount }} {{ "it's a-b c_d 日本" | wordcount }} {{ "" | wordcount }}
{{ "foo bar baz qux" | truncate(9) }}|{{ "foo bar baz qux" | truncate(9, true) }}|{{ "foo bar baz qux" | truncate(11) }}|{{ "foo bar baz qux" | truncate(11, false, "...", 0) }}|{{ "foo bar baz qux" | truncate(5, end="") }}|{{ uni | truncate(6, leeway=0) }}
{{ "foo bar baz qux" | truncate(2) }}
{{ lines | indent }}|{{ lines | indent(2) }}|{{ lines | indent(2, true) }}|{{ lines | indent(2, blank=true) }}|{{ lines | indent(">> ") }}|{{ "" | indent }}|{{ "x" | indent(first=true) }}|{{ lines | indent(width=1, first=true, blank=true) }}
{{ 5 | indent }}
{{ "%s-%s" | format(1, "b") }} {{ "%(x)s" | format(x=3) }} {{ "x" | string }} {{ 5 | string ~ "" }} {{ none | string }} {{ [1] | string }} {{ 5 | upper }} {{ none | lower }} {{ true | capitalize }}
{{ "abc" | reverse }} {{ list | reverse | list }} {{ (1, 2) | reverse | list }} {{ range(3) | reverse | list }} {{ d | reverse | list }} {{ uni | reverse }}
{{ 1024 | filesizeformat }} {{ 1024 | filesizeformat(true) }} {{ 1 | filesizeformat }} {{ 999 | filesizeformat }} {{ 1500000 | filesizeformat }} {{ 5e9 | filesizeformat }}
""".split("\n")

SEQUENCES = r"""
{{ list | sort }} {{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ words | sort(reverse=true) }} {{ people | sort(attribute="age") | map(attribute="name") | list }} {{ people | sort(attribute="age,name") | map(attribute="name") | list }} {{ [true, 0, 1.5] | sort }} {{ "cab" | sort }}
{{ [1, "a"] | sort }}
{{ [none, 1] | sort }}
{{ words | unique | list }} {{ words | unique(true) | list }} {{ [1, 1.0, true, "1"] | unique | list }} {{ people | unique(attribute="age") | map(attribute="name") | list }}
{{ list | min }} {{ list | max }} {{ words | min }} {{ words | max }} {{ people | max(attribute="age") | attr("x") }} {{ (people | min(attribute="age")).name }} {{ [] | min }} {{ "hello" | max }}
{{ list | sum }} {{ people | sum(attribute="age") }} {{ list | sum(start=10) }} {{ [] | sum }} {{ [0.1, 0.2] | sum }} {{ [[1], [2]] | sum(start=[]) }}
{{ ["a"] | sum }}
{{ list | first }} {{ list | last }} {{ [] | first }} {{ "" | first }} {{ "日本" | first }} {{ "日本" | last }} {{ d | first }} {{ range(3) | last }} {{ d | last }}
{{ (list | map("string")) | last }}
{{ 5 | first }}
{{ list | map("string") | list }} {{ words | map("upper") | join(",") }} {{ people | map(attribute="name") | list }} {{ people | map(attribute="city.zip") | list }}
{{ people | map(attribute="city.zip", default="?") | list }} {{ people | map(attribute="tags.0") | list }} {{ words | map("replace", "a", "o") | list }} {{ [[3, 1], [2]] | map("sort") | list }} {{ [1.55, 2.5] | map("round", precision=1) | list }} {{ [] | map("nope") | list }} {{ undefined_thing | map("upper") | list }}
{{ list | map("nope") | list }}
{{ list | map | list }}
{{ list | map(x=1) | list }}
{{ list | select | list }} {{ [0, 1, none, "", "a"] | select | list }} {{ [0, 1, none, ""] | reject | list }} {{ list | select("odd") | list }} {{ list | reject("odd") | list }} {{ list | select("gt", 1) | list }} {{ list | select(">", 1) | list }} {{ words | select("in", ["apple"]) | list }} {{ [1, "a", none] | select("string") | list }}
{{ people | selectattr("city") | map(attribute="name") | list }} {{ people | rejectattr("city") | map(attribute="name") | list }} {{ people | selectattr("age", "equalto", 31) | map(attribute="name") | list }} {{ people | selectattr("city", "defined") | map(attribute="name") | list }} {{ people | rejectattr("age", "lt", 30) | map(attribute="name") | list }} {{ people | selectattr("city.zip", "==", 12) | list | length }}
{{ list | select("nope") | list }}
{{ list | selectattr | list }}
{{ range(7) | batch(3) | list }} {{ range(7) | batch(3, "x") | list }} {{ range(7) | slice(3) | list }} {{ range(7) | slice(3, "x") | list }} {{ [] | batch(2) | list }}
{% for g in people | groupby("age") %}{{ g.grouper }}:{{ g.list | map(attribute="name") | join(",") }};{% endfor %}{% for k, v in people | groupby("city.zip", default=0) %}{{ k }}={{ v | length }} {% endfor %}{{ [{"k": "B"}, {"k": "b"}, {"k": "A"}] | groupby("k") }} {{ [{"k": "B"}, {"k": "b"}] | groupby("k", case_sensitive=true) | length }}
{{ d | items | list }} {{ d | dictsort }} {{ d | dictsort(true) }} {{ {"b": 1, "a": 2} | dictsort(by="value") }} {{ {"b": 1, "a": 2} | dictsort(reverse=true) }} {{ undefined_thing | items | list }}
{{ list | items }}{{ list | items | list }}
{{ {1: "a", "b": 2} | dictsort }}
{{ undefined_thing | default("x") }} {{ none | default("x") }} {{ none | default("x", true) }} {{ "" | d("y", boolean=true) }} {{ 0 | default(5) }} {{ undefined_thing | default }}|{{ d.nope | default("n") }} {{ undefined_thing | d(d.a) }}
{{ "42" | int }} {{ "42.9" | int }} {{ "x" | int }} {{ "x" | int(7) }} {{ 3.9 | int }} {{ -3.9 | int }} {{ "0x1F" | int(base=16) }} {{ "ff" | int(0, 16) }} {{ "101" | int(base=2) }} {{ " 5 " | int }} {{ "1_000" | int }} {{ none | int }} {{ true | int }} {{ "-7" | int }} {{ "1e3" | int }} {{ [] | int }} {{ "12345678901234567890123" | int }} {{ "0b11" | int(base=0) }} {{ "" | int }} {{ "+3" | int }}
{{ undefined_thing | int }}
{{ "3.5" | float }} {{ "x" | float }} {{ "x" | float(1.5) }} {{ 3 | float }} {{ "inf" | float }} {{ "-1e3" | float }} {{ none | float }} {{ " 2 " | float }} {{ "nan" | float }} {{ true | float }} {{ "1_0.5" | float }} {{ ".5" | float }} {{ "5." | float }}
{{ -5 | abs }} {{ neg | abs }} {{ -2.5 | abs }} {{ true | abs }}
{{ "x" | abs }}
{{ 42.55 | round }} {{ 42.55 | round(1) }} {{ 42.55 | round(1, "floor") }} {{ 42.51 | round(1, "ceil") }} {{ 2.5 | round }} {{ 3.5 | round }} {{ -2.5 | round }} {{ 2.675 | round(2) }} {{ 1234 | round(-2) }} {{ 1250 | round(-2) }} {{ 7 | round }} {{ 1234.5 | round(-2) }} {{ 42.7 | round | int }} {{ 5 | round(1, "floor") }} {{ 0.5 | round }} {{ 1e300 | round(2) }}
{{ "x" | round }}
{{ 5 | round(1, "up") }}
{{ d | tojson }} {{ nested | tojson }} {{ text | tojson }} {{ uni | tojson }} {{ "</script>&'\"\n\u2028" | tojson }} {{ none | tojson }} {{ true | tojson }} {{ 1.0 | tojson }} {{ 1e22 | tojson }} {{ (1, "x") | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ [] | tojson }} {{ {} | tojson }} {{ "x" | e | tojson }}
{{ d | tojson(indent=2) }} {{ nested | tojson(indent=0) }} {{ d | tojson(indent="\t") }} {{ [] | tojson(indent=2) }} {{ {"a": {}} | tojson(indent=1) }} {{ d | tojson(sort_keys=true) }} {{ d | tojson(separators=(",", ":")) }} {{ d | tojson(separators=[" ; ", " = "], indent=1) }} {{ uni | tojson(ensure_ascii=true) }} {{ "\x7f\x1f" | tojson(ensure_ascii=true) }} {{ uni | tojson(true) }} {{ d | tojson(indent=none) }}
{{ undefined_thing | tojson }}
{{ range(3) | tojson }}
{{ d.items() | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ namespace(a=1) | tojson }}
{{ {"b": 1, 2: 3} | tojson(sort_keys=true) }}
{{ "x" | nope }}
{{ "x" is nope }}
{{ "a" if true else ("x" | nope) }}
{% if false %}{{ "x" | nope }}{% endif %}ok
{% if true %}{{ "x" | nope }}{% endif %}
{% if true %}{% for x in [] %}{{ x | nope }}{% endfor %}{% endif %}
{{ text | upper(1) }}
{{ text | replace("a") }}
{{ text | replace(old="l", new="_") }} {{ text | replace("l", new="_", count=1) }}
{{ text | replace("a", "b", nope=1) }}
{% set g = list | map("string") %}{{ g | list }} {{ g | list }} {{ g is defined }} {{ (list | select("odd")) is iterable }} {% if [] | select %}true{% endif %}
{{ (list | map("string"))[0] }}{{ (list | map("string")) | length }}
{% set g = [1] | map("nope") %}unused
{{ [3, 4] | map("int") | sum }} {{ words | map("length") | max }} {{ "abc" | map("upper") | join }} {{ d | map("upper") | list }}
{{ strftime_now("%Y-%m-%d %H:%M:%S %d %b %B %A %j %p %I %y %%") }} {{ strftime_now("%-d %B %Y") }} {{ strftime_now("") }}
{{ raise_exception("stop") }}
{{ cycler("a", "b").next() }}{% set c = cycler(1, 2, 3) %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}
{% set j = joiner("|") %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}{% set k = joiner() %}{{ k() }}a{{ k() }}b
{{ cycler() }}
""".split("\n")

STATEMENTS = [
    # Loops
    "{% for x in list %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}:{{ x }}\n{% endfor %}",
    "{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.previtem is defined }} {% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {{ loop.cycle('a', 'b', 'c') }} {% endfor %}",
    "{% for x in list if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }}/{{ loop.last }} {% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}{% for x in [1] %}x{% else %}none{% endfor %}{% for x in [1] if false %}x{% else %}filtered{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }} {% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for a, b in [1, 2] %}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in ['xy', [1, 2]] %}{{ a }}-{{ b }} {% endfor %}",
    "{% for c in 'aé日' %}[{{ c }}]{% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}{% for x in undefined_thing %}x{% else %}e{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in range(5) %}{% for y in range(5) %}{% if y > x %}{% break %}{% endif %}{{ y }}{% endfor %};{% endfor %}",
    "{% break %}",
    "{% for x in list %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for n in tree recursive %}{{ n.n }}@{{ loop.depth }}.{{ loop.depth0 }}[{{ loop(n.c) }}]{% endfor %}",
    "{% for n in tree recursive %}{{ n.n }}{% if n.c %}({{ loop(n.c) }}){% endif %}{% else %}-{% endfor %}",
    "{% for n in tree %}{{ loop(n.c) }}{% endfor %}",
    "{% for x in list %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in list %}{{ loop }}{% endfor %}",
    "{% for loop in list %}{% endfor %}",
    "{% for x in list %}{% set loop = 1 %}{% endfor %}",
    "{% for x in list %}{% for y in list if loop.first %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{{ loop is defined }}{% for x in [1] %}{{ loop is defined }}{% endfor %}{{ loop is defined }}",
    "{% for x in list | map('string') %}{{ loop.last }}{{ x }}{{ loop.length }}{% endfor %}",
    "{% for x in list | sort %}{{ x }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for x in list %}{{ loop.nope }}{{ loop['index'] }}{% endfor %}",
    "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}",
    "{% for [a, b] in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}",
    # Scopes
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ ns }}",
    "{% if true %}{% set x = 1 %}{% endif %}{{ x }}{% if false %}{% set y = 1 %}{% endif %}[{{ y }}]",
    "{% for i in [1] %}{{ text }}{% endfor %}{% set text = 'later' %}{{ text }}",
    "{{ text }}{% set text = 'own' %}{{ text }}{% for i in [1] %}{{ text }}{% set text = 'in' %}{{ text }}{% endfor %}{{ text }}",
    "{% macro m() %}{{ text }}{% endmacro %}{{ m() }}{% set text = 'own' %}{{ m() }}",
    "{% macro m() %}{{ n }}{% endmacro %}{{ m() }}{% for n in [1, 2] %}{{ m() }}{% endfor %}",
    "{% if n %}{% set n = 1 %}{% endif %}{{ n }}{% if not n %}{% set text = 1 %}{% endif %}{{ text }}",
    "{% if no %}{% set q = 1 %}{% elif yes %}{% set q = 2 %}{% else %}{% set q = 3 %}{% endif %}{{ q }}",
    "{% if no %}a{% elif no %}b{% elif yes %}c{% elif yes %}d{% else %}e{% endif %}{% if no %}x{% else %}y{% endif %}{% if list %}L{% endif %}{% if undefined_thing %}u{% endif %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a, b = b, a %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set (p, q) = [3, 4] %}{{ p }}{{ q }}",
    "{% set a, b = 1 %}",
    "{% set a.b = 1 %}",
    "{% set d.b = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set ns = namespace(a=[]) %}{% set ns.a = ns.a + [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }}{{ ns.b is defined }}{% set ns.x, y = 1, 2 %}{{ ns.x }}{{ y }}",
    "{% set x %}block {{ n }}{% endset %}[{{ x }}]{% set y | upper | replace('B', 'P') %}block{% endset %}[{{ y }}]{{ x | length }}{{ x is string }}",
    "{% set x %}{% set z = 5 %}{{ z }}{% endset %}{{ x }}{{ z }}",
    "{% set true = 1 %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% set a = 5 %}{{ a }}{% endwith %}{{ a }}{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% filter upper %}abc {{ text }}{% endfilter %}{% filter replace('a', 'b') | trim %} aa {% endfilter %}{% filter indent(2) %}a\nb{% endfilter %}",
    "{% filter nope %}x{% endfilter %}",
    "{% for x in list %}{% filter upper %}{% if x == 2 %}{% break %}{% endif %}a{{ x }}{% endfilter %}{% endfor %}",
    # Macros
    "{% macro f(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c=5) }}{{ f(c=1, a=2) }}{{ f() }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}",
    "{% macro f(a) %}{{ a }}|{{ varargs }}|{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}{{ f() }}",
    "{% macro f(a, b) %}{{ a is defined }}{{ b is defined }}{{ b }}{% endmacro %}{{ f(1) }}",
    "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}",
    "{% macro f(a=1, b) %}{% endmacro %}",
    "{% macro f() %}{{ caller() }}{{ caller('q') }}{% endmacro %}{% call(x='d') f() %}<{{ x }}>{% endcall %}",
    "{% macro f(n) %}{% for i in range(n) %}{{ caller(i, i * 2) }}{% endfor %}{% endmacro %}{% call(a, b) f(3) %}{{ a }}-{{ b }} {% endcall %}",
    "{% macro f() %}{{ caller is defined }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ f() }}{% call f() %}body{% endcall %}",
    "{% macro f() %}x{% endmacro %}{% call f() %}body{% endcall %}",
    "{% call 5 %}{% endcall %}",
    "{% macro fact(n) %}{{ 1 if n < 2 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(10) }}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ f.name }} {{ f.arguments }} {{ f.catch_kwargs }} {{ f.catch_varargs }} {{ f.caller }} {{ f }} {{ f is callable }} {{ f(1) is string }}",
    "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}G{% endmacro %}{{ f() }}",
    "{% for i in [1, 2] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}{{ f is defined }}",
    "{% macro f(x) %}{% set y = x * 2 %}{{ y }}{% endmacro %}{{ f(2) }}{{ y is defined }}",
    "{% macro outer(x) %}{% macro inner() %}{{ x }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer(5) }}",
    "{% set ns = namespace() %}{% macro f() %}m{% endmacro %}{% set ns.f = f %}{{ ns.f() }}{{ (f)() }}{{ [f][0]() }}{{ f() ~ f() }}",
    "{% macro f(caller) %}{{ caller() }}{% endmacro %}",
    "{% macro f(*args) %}{% endmacro %}",
    "{{ f(1) }}{% macro f(x) %}{{ x }}{% endmacro %}",
    "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(*[1]) }}{{ f(**{'x': 2}) }}{{ f(*'a') }}",
    "{% macro f(messages) %}{% for m in messages %}{{ m }}{% if not loop.last %},{% endif %}{% endfor %}{% endmacro %}{{ f([1, 2]) }}",
    # White space
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc\n\n",
    "a\n  {%+ if true +%}\n  b\n  {%+ endif %}\nc",
    "  {{ 1 }}\n  {{- 2 -}}  \n {{ 3 }}\n",
    "  {# comment #}\nx {#- c -#} y {#+ c +#}\nz\n\t{# multi\nline #}  w",
    "{% raw %}{{ x }} {% if %}{# c #}{% endraw %}|  {%- raw -%}  {{ y }}  {%- endraw -%}  |\n  {% raw %}\n z\n  {% endraw %}\nq",
    "{% raw %}never ends",
    "{# never ends",
    "{{ 'never ends' ",
    "{% if true %}x",
    "{% endif %}",
    "{% if true %}x{% endfor %}",
    "{% nope %}",
    "{{ }}",
    "{{ 1 2 }}",
    "{{ a b }}",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ [1 }}",
    "{{ {1: 2 }}",
    "{{ {'a': {'b': 1}} }}{{ {'a': {'b': 1}}['a'] }}{{ {} }}",
    "{{ 'a' if }}",
    "{{ x. }}",
    "{{ 1 ? 2 }}",
    "{{ 'unclosed }}",
    "{{ \"\\x4\" }}",
    "{{ x | }}",
    "{{ x is }}",
    "{% set %}",
    "{% set x 1 %}",
    "{% for x %}{% endfor %}",
    "{% for x in %}{% endfor %}",
    "{% if %}{% endif %}",
    "{{ f(a=1, 2) }}",
    "{{ f(**a, *b) }}",
    "{{ 007 }}",
    "{{ not }}",
    "text only\r\nwith\rline ends\n",
    "\n\n",
    "",
    "{{ 1 }}\n",
    "{{ 1 }}\n\n",
    "x{% set a = 1 %}\n\n{% set b = 2 %}  \n  {% set c = 3 %}y",
    "  \n {%- for x in list %} {{ x }} {%- endfor %} \n",
    "{% for x in list -%}\n  {{ x }}\n{%- endfor %}\n!",
    "a {%- set x = 1 -%} b {{- x -}} c",
    "{%set x=1%}{{x}}{%-if x-%} y {%-endif-%}",
    "<{% print 1, 'a' ~ 2 %}>{% print %}",
    "{% generation %}said {{ n }}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }}",
    "{%- generation -%} x {%- endgeneration -%} y",
    "{% for x in list %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% autoescape false %}{{ html }}{% endautoescape %}",
    "{% block a %}in {{ text }}{% set q = 1 %}{% endblock %}{{ q is defined }}{% set z = 5 %}{% block b %}{{ z }}{% endblock b %}",
    "{% block a %}{% endblock %}{% block a %}{% endblock %}",
    "{% include 'x' %}",
    "{% if false %}{% include 'x' %}{% import 'y' as z %}{% endif %}ok",
    "{% do list.append(1) %}",
    "{% if x is not defined and not y %}a{% endif %}{% if not (x is defined) or false %}b{% endif %}{% if x is defined and x.y %}c{% endif %}",
    "{% set x = [1, 2, 3,] %}{{ x }}{% set y = {'a': 1,} %}{{ y }}{{ (1, 2,) }}{% set z = 1, %}{{ z }}",
    "{{ [1, 2, 3] | length > 2 }} {{ -1 | abs }} {{ 2 * 3 | string }} {{ 'a' ~ 'b' | upper }} {{ not 'a' in 'b' }} {{ 1 + 1 | float }} {{ -n | abs }} {{ 3 is odd and 4 is even }} {{ 'x' is string == true }}",
    "{{ 1 if true else 2 if true else 3 }} {{ (1, 2)[0] }} {{ ('a') }} {{ 'a'.upper() ~ 'b' }} {{ {'a': 1}.a }} {{ [1, 2][1] }} {{ 'abc'[1] }} {{ \"%s\" % 'x' ~ 'y' }}",
    "{{ 1.5.real is defined }} {{ 'a'.b.c is defined if false else 'skip' }}",
    "{{ a.b.c if a is defined else 'no' }} {{ (a | default({})).b is defined }}",
    "{{ true is true }} {{ 'true' is true }} {{ 1 is boolean }} {{ {} is mapping }} {{ '' is none }}",
    "{%- set ns = namespace(found=false) -%}{%- for p in people -%}{%- if p.age == 25 -%}{%- set ns.found = true -%}{%- endif -%}{%- endfor -%}{{ ns.found }}",
    "{%- macro render(item, level=0) -%}{{ '  ' * level }}{{ item.n }}\n{%- for c in item.c %}\n{{ render(c, level + 1) }}{%- endfor -%}{%- endmacro -%}{% for t in tree %}{{ render(t) }};{% endfor %}",
    "{{- '<|im_start|>' + 'user' + '\\n' }}\n{{ text + '<|im_end|>' + '\\n' -}}\n\n  x",
    "{{ messages[0]['role'] if messages is defined and messages else 'none' }}",
    "{{ range(3) | map('string') | map('int') | select('gt', 0) | list }}",
    "{% set content = '<think>a</think>b' %}{{ content.split('</think>')[-1].lstrip('\\n') }} {{ content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] }} {% if '</think>' in content %}y{% endif %}",
]


def rendered(source):
    try:
        return reference._compile_jinja_template(source).render(**VARIABLES)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001: whatever a template makes Python raise
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "tests/reference/fixtures/jinja.json")
    parser.add_argument("--tool")
    arguments = parser.parse_args()
    reference.datetime = FixedTime
    # A string over two lines is one template.
    one_line = "\n".join(EXPRESSIONS + STRINGS + SEQUENCES)
    sources, current = [], ""
    for line in one_line.split("\n"):
        current = f"{current}\n{line}" if current else line
        if current.count("{{") == current.count("}}") or current.startswith("{{ \"{\""):
            sources += [current] if current else []
            current = ""
    sources += STATEMENTS
    cases = [{"template": source, "text": rendered(source)} for source in sources]
    lines = ",\n".join(json.dumps(case) for case in cases)
    arguments.output.write_text(f'{{"now": {NOW}, "variables": {json.dumps(VARIABLES)},\n"cases": [\n{lines}\n]}}\n', encoding="ascii")
    print(f"{len(cases)} templates, {sum(case['text'] is None for case in cases)} of them refused -> {arguments.output}")
    if not arguments.tool:
        return
    requests = [json.dumps({"template": case["template"], "variables": VARIABLES, "now": NOW}) for case in cases]
    done = subprocess.run([arguments.tool], input="\n".join(requests) + "\n", capture_output=True, text=True, check=True)
    different = 0
    for case, line in zip(cases, done.stdout.split("\n"), strict=False):
        got = json.loads(line)
        if got.get("text") != case["text"]:
            different += 1
            print(f"\n{case['template']}\nwant {case['text']!r}\ngot  {got.get('text', got.get('error'))!r}")
    print(f"{different} different")


if __name__ == "__main__":
    main()
