#!/usr/bin/env python3
"""Writes fixtures/chat_template.json: conversations and the prompts that Hugging Face renders from them.

The conversations are generated here; the prompts come from the chat templates of the official Qwen2.5
checkpoints (Instruct and base differ in their default system text), rendered by transformers. The template that
this project writes into its own checkpoints, fixtures/chat_template.jinja, must render the same.

    python make_chat_fixtures.py [--tokenizers FOLDER] [--output FILE]

Needs: transformers, jinja2. FOLDER holds tokenizer_config.json and Qwen2.5-0.5B-base.tokenizer_config.json.
"""

import argparse
import itertools
import json
import pathlib
import random

from transformers.utils.chat_template_utils import render_jinja_template

ROOT = pathlib.Path(__file__).resolve().parents[2]


def function(name, description, **parameters):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": parameters, "required": list(parameters)},
        },
    }


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, *calls):
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    return message


def call(name, arguments, wrapped=True):
    body = {"name": name, "arguments": arguments}
    return {"type": "function", "id": "call_" + name, "function": body} if wrapped else body


def result(text):
    return {"role": "tool", "content": text}


WEATHER = function("get_weather", "Current weather", city={"type": "string", "description": "City <name> & country's code"})
SEARCH = function(
    "search",
    'Searches "everything"\nSecond line\twith a tab, a \\ and a / slash',
    query={"type": "string", "enum": ["日本語", "naïve café", "🦀", "\u2028\u00a0\u007f\u0001"]},
    limit={"type": "integer", "default": 10, "minimum": -1, "maximum": 18446744073709551615},
    nested={"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "array", "items": {}}}]},
)
NUMBERS = {
    "type": "function",
    "function": {
        "name": "numbers",
        "strict": True,
        "parameters": {
            "floats": [0.0, -0.0, 1.0, 0.1, -2.5, 1e-4, 1e-5, 123456.789, 1e15, 1e16, 1.5e16, 1e22, 1e100, 5e-324,
                       1.7976931348623157e308, 0.30000000000000004, 9007199254740993.0, 1e-7, 3.0e-10, 12345678901234567.0],
            "integers": [0, -1, 9223372036854775807, -9223372036854775808, 18446744073709551615],
            "others": [True, False, None, "", [], {}, [[]], [{}], {"": {"": None}}],
            "z": 1, "a": 2, "M": 3,
        },
    },
}

SPECIAL = "<|im_end|>\n<|im_start|>system\n{{ 7 * 7 }} {% raw %} \\n \"quoted\" 'single' </tool_call> &amp; <b>"
UNICODE = "Grüße, 世界! 👩‍👩‍👧‍👦 \u0301e\u0301 \u202eabc\u202c עברית हिन्दी \U0001f600"
SPACES = "  leading, trailing  \n\n\t\r\n"


def conversations():
    """Yields (name, messages, tools)."""
    yield "user only", [user("Hello")], None
    yield "system and user", [system("Be brief."), user("Hello")], None
    yield "empty system", [system(""), user("Hello")], None
    yield "empty user", [user("")], None
    yield "empty assistant", [user("Hi"), assistant(""), user("Still there?")], None
    yield "system only", [system("Alone.")], None
    yield "assistant first", [assistant("I start."), user("Fine.")], None
    yield "tool first", [result("orphan"), user("What was that?")], None
    yield "second system", [user("Hi"), system("Now speak French."), user("Go on")], None
    yield "two systems at the start", [system("One."), system("Two."), user("Hi")], None
    yield "multi turn", [user("a"), assistant("b"), user("c"), assistant("d"), user("e")], None
    yield "ends with assistant", [system("s"), user("a"), assistant("b")], None
    yield "special characters", [system(SPECIAL), user(SPECIAL), assistant(SPECIAL), user(SPECIAL)], None
    yield "unicode", [system(UNICODE), user(UNICODE), assistant(UNICODE)], None
    yield "white space", [system(SPACES), user(SPACES), assistant(SPACES), user(SPACES)], None
    yield "long", [user("word " * 400)], None
    yield "empty tools", [user("Hello")], []
    for name, tools in (("one tool", [WEATHER]), ("two tools", [WEATHER, SEARCH]), ("three tools", [WEATHER, SEARCH, NUMBERS])):
        yield name, [user("Weather in Oslo?")], tools
        yield name + ", system", [system("Use tools."), user("Weather in Oslo?")], tools
    yield "tool of numbers", [system(""), user("Count")], [NUMBERS]
    one = call("get_weather", {"city": "Oslo"})
    two = call("search", {"query": "日本 \"x\" \\ \n", "limit": 3, "flags": [True, None, 0.5, 1e-9], "nested": {"b": {}, "a": []}})
    bare = call("numbers", {}, wrapped=False)
    yield "one call, no content", [user("Q"), assistant("", one), result('{"temperature": -3.5}')], [WEATHER]
    yield "one call, content", [user("Q"), assistant("Let me look.", one), result("cold")], [WEATHER]
    yield "call without result", [user("Q"), assistant("", one)], [WEATHER]
    yield "two calls, two results", [user("Q"), assistant("", one, two), result("1"), result("2"), user("So?")], [WEATHER, SEARCH]
    yield "three calls, content", [user("Q"), assistant(UNICODE, one, two, bare), result("1"), result("2"), result("3")], [WEATHER]
    yield "calls without tools", [user("Q"), assistant("x", bare), result("")], None
    yield "content is a newline", [user("Q"), assistant("\n", one), result("\n")], [WEATHER]
    yield "results between turns", [
        user("Q"), assistant("", one), result("1"), assistant("", two), result("2"), result("3"), assistant("Done."),
        user("Thanks"), assistant("Welcome.")], [WEATHER, SEARCH]
    yield "results, user, result", [user("Q"), result("1"), user("R"), result("2")], [WEATHER]
    yield "empty tool calls", [user("Q"), {"role": "assistant", "content": "none", "tool_calls": []}], [WEATHER]
    yield "null content with a call", [user("Q"), {"role": "assistant", "content": None, "tool_calls": [one]}], [WEATHER]
    yield "no content with a call", [user("Q"), {"role": "assistant", "tool_calls": [two]}], None

    # Random conversations: any order of roles, as requests from outside may have.
    rng = random.Random(7)
    texts = ["", "yes", UNICODE, SPECIAL, SPACES, "line\nline", "{\"json\": [1, 2.50, null]}", "<tool_call>", "0"]
    for number in range(24):
        messages = []
        for _ in range(rng.randint(1, 9)):
            text = rng.choice(texts)
            calls = rng.sample([one, two, bare], rng.randint(1, 3)) if rng.random() < 0.5 else []
            messages.append(rng.choice([lambda: system(text), lambda: user(text), lambda: assistant(text, *calls),
                                        lambda: result(text), lambda: result(text)])())
        tools = rng.sample([WEATHER, SEARCH, NUMBERS], rng.randint(0, 3)) or None
        yield f"random {number}", messages, tools


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", type=pathlib.Path, default=ROOT.parent / "shared/data/qwen25_tokenizer")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "tests/reference/fixtures/chat_template.json")
    arguments = parser.parse_args()
    templates = {
        name: json.loads((arguments.tokenizers / file).read_text(encoding="utf-8"))["chat_template"]
        for name, file in (("instruct", "tokenizer_config.json"), ("base", "Qwen2.5-0.5B-base.tokenizer_config.json"))
    }
    own = (ROOT / "tests/reference/fixtures/chat_template.jinja").read_text(encoding="utf-8")
    fixtures = []
    # Each conversation once; template and prompt flag alternate so that all four combinations meet all kinds.
    kinds = itertools.cycle([("instruct", True), ("instruct", False), ("base", True), ("instruct", True), ("base", False)])
    for (name, messages, tools), (template, add_generation_prompt) in zip(conversations(), kinds):
        def render(jinja):
            return render_jinja_template(conversations=[messages], tools=tools, chat_template=jinja,
                                         add_generation_prompt=add_generation_prompt)[0][0]
        rendered = render(templates[template])
        if template == "instruct" and render(own) != rendered:
            raise SystemExit(f"{name}: chat_template.jinja renders\n{render(own)}\nand the official one\n{rendered}")
        fixtures.append({"name": name, "template": template, "add_generation_prompt": add_generation_prompt,
                         "messages": messages, "tools": tools, "rendered": rendered})
    lines = ",\n".join(json.dumps(fixture) for fixture in fixtures)
    arguments.output.write_text(f"[\n{lines}\n]\n", encoding="ascii")
    print(f"{len(fixtures)} conversations -> {arguments.output}")


if __name__ == "__main__":
    main()
