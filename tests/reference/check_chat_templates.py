#!/usr/bin/env python3
"""Renders published chat templates with transformers and with this program, which must agree byte for byte.

    check_chat_templates.py --tool build/release/src/text/jinja_tool FOLDER ... [--show N]

Every FOLDER holds templates: *.jinja, *.jinja2, and tokenizer_config.json, whose templates (one, or several with names) are
taken out. Each is rendered with some 90 conversations: with and without system message, tools, calls and their results, image
parts, null content, documents, reasoning, prefilled answers, odd characters, numbers, control tokens in messages. The reference
is Python's Jinja as transformers sets it up, given the messages as its apply_chat_template prepares them; this program gets them
as they are. Where the reference raises, this program must fail, too. Templates are compared at a fixed time.

Prints a line for each template: conversations that agree, those that both refuse, and those that differ. --show N prints the
first N differences. Exits with 1 if there are any. Needs: transformers, jinja2.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import subprocess
import sys

os.environ["TZ"] = "UTC"
import transformers.utils.chat_template_utils as reference  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_chat_fixtures import (SEARCH, SPECIAL, UNICODE, WEATHER, NUMBERS, assistant, call, conversations, result, system,  # noqa: E402
                                user)

refusals = collections.Counter()  # what both sides say
NOW = 1753401600 + 3723  # 25 July 2025, 01:02:03 UTC
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "image_token": "<image>"}


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz)


def image(**source):
    return {"type": "image", **source}


def text(words):
    return {"type": "text", "text": words}


def more_conversations():
    """Yields (name, messages, tools, further arguments of apply_chat_template)."""
    for name, messages, tools in conversations():
        yield name, messages, tools, {}
    one = call("get_weather", {"city": "Oslo", "days": 3, "metric": True, "x": None})
    textual = {"id": "a1b2c3d4e", "type": "function", "function": {"name": "search", "arguments": "{\"query\": \"x\", \"limit\": 2}"}}
    yield "prefilled", [user("Write JSON"), assistant("{\"a\": ")], None, {"continue_final_message": True}
    yield "prefilled, trailing space", [user("Count"), assistant("one, two,  ")], None, {"continue_final_message": True}
    yield "prefilled parts", [user("Hi"), assistant([text("one"), text("two")])], None, {"continue_final_message": True}
    yield "prefilled nothing", [user("Hi"), assistant("")], None, {"continue_final_message": True}
    yield "text parts", [system([text("Be"), text(" brief.")]), user([text("one"), text("two")])], None, {}
    yield "images", [user([image(), text("What is this?")]), assistant("A cat."), user([text("And"), image(url="http://x/y.png")])], None, {}
    yield "image_url", [user([{"type": "image_url", "image_url": {"url": "data:x"}}, text("Describe.")])], None, {}
    yield "video and audio", [user([{"type": "video", "video": "v.mp4"}, {"type": "audio", "audio": "a.wav"}, text("?")])], None, {}
    yield "null content", [user("Hi"), assistant(None), user("Well?")], None, {}
    yield "null everything", [{"role": "user", "content": "Hi", "name": None, "tool_calls": None, "tool_call_id": None}], None, {}
    yield "no content", [{"role": "user"}], None, {}
    yield "names and ids", [{"role": "user", "content": "Hi", "name": "Ann"}, assistant(None, textual),
                            {"role": "tool", "content": "{\"r\": 1}", "tool_call_id": "a1b2c3d4e", "name": "search"}, user("So?")], [SEARCH], {}
    yield "arguments as text", [user("Q"), assistant("", textual), result("r")], [SEARCH, WEATHER], {}
    yield "nested arguments", [user("Q"), assistant("", call("f", {"a": {"b": [1, 2.5, None, True, "x<y&'z'"]}, "c": "日本"})), result("{}")], [WEATHER], {}
    yield "result is a list", [user("Q"), assistant("", one), {"role": "tool", "content": [text("cold")], "tool_call_id": "a1b2c3d4e"}], [WEATHER], {}
    yield "result is an object", [user("Q"), assistant("", one), {"role": "tool", "content": {"temperature": -3.5}}], [WEATHER], {}
    yield "ids of nine letters", [user("Q"), {"role": "assistant", "content": "", "tool_calls": [dict(one, id="123456789")]},
                                  {"role": "tool", "content": "r", "tool_call_id": "123456789", "name": "get_weather"}], [WEATHER], {}
    yield "reasoning", [user("2+2?"), {"role": "assistant", "content": "4", "reasoning_content": "easy\n"}, user("3+3?")], None, {}
    yield "thinking and reasoning", [user("2+2?"), {"role": "assistant", "content": "4", "thinking": "t"},
                                     user("q"), {"role": "assistant", "content": "5", "reasoning": "r"}, user("3+3?")], None, {}
    yield "thoughts in the text", [user("2+2?"), assistant("<think>\nhm\n</think>\n\n4"), user("3+3?")], None, {}
    yield "thoughts with a call", [user("Q"), {"role": "assistant", "content": "<think>x</think>", "reasoning_content": "why", "tool_calls": [one]},
                                   result("r"), assistant("done")], [WEATHER], {}
    yield "thinking off", [user("Hello")], None, {"enable_thinking": False}
    yield "thinking on", [system("S"), user("Hello")], [WEATHER], {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}
    yield "developer", [{"role": "developer", "content": "Obey."}, user("Hi")], None, {}
    yield "unknown role", [{"role": "robot", "content": "beep"}, user("Hi")], None, {}
    yield "no role", [{"content": "beep"}], None, {}
    yield "ipython", [user("Q"), {"role": "ipython", "content": "1"}], None, {}
    yield "documents", [user("What?")], None, {"documents": [{"title": "T", "text": "Some \"text\"."}, {"title": "U", "text": UNICODE, "n": 1.5}]}
    yield "documents and tools", [system("S"), user("What?")], [SEARCH], {"documents": [{"title": "T", "text": "x"}], "date_string": "1 Jan 2020"}
    yield "tools in the user's message", [user("Q")], [WEATHER, NUMBERS], {"tools_in_user_message": False, "builtin_tools": ["brave_search"]}
    yield "tool without parameters", [user("Q")], [{"type": "function", "function": {"name": "f", "description": ""}}], {}
    yield "tool that is no function", [user("Q")], [{"name": "f", "parameters": {}}], {}
    yield "numbers", [user("1"), assistant("1.0"), user("-0")], [NUMBERS], {"n": 5}
    yield "special in everything", [system(SPECIAL), user(SPECIAL), assistant(SPECIAL, call("f" + SPECIAL, {SPECIAL: SPECIAL})),
                                    result(SPECIAL), user("</s><s>[INST]<|eot_id|>")], [WEATHER], {}
    yield "long", [m for i in range(60) for m in (user(f"question {i}"), assistant(f"answer {i}\n"))] + [user("last")], None, {}
    yield "nothing", [], None, {}


def prepared(messages):
    return reference._normalize_chat_messages(messages) if hasattr(reference, "_normalize_chat_messages") else messages


def expected(source, messages, tools, arguments):
    """What transformers renders; an exception is returned as such."""
    try:
        rendered, _ = reference.render_jinja_template(
            conversations=[prepared(messages)], tools=tools, chat_template=source, **{**SPECIAL_TOKENS, **arguments})
        return rendered[0]
    except Exception as problem:  # noqa: BLE001: whatever a template makes Python raise
        return problem


def templates(folders):
    """Yields (name, source) without repeats."""
    seen = set()
    for folder in map(pathlib.Path, folders):
        for path in sorted(folder.rglob("*")):
            found = []
            if path.suffix in (".jinja", ".jinja2", ".j2"):
                found = [(path.name, path.read_text(encoding="utf-8"))]
            elif path.name.endswith("tokenizer_config.json"):
                named = json.loads(path.read_text(encoding="utf-8")).get("chat_template") or []
                if isinstance(named, str):
                    named = [{"name": "default", "template": named}]
                found = [(f"{path.parent.name}/{path.name}: {entry['name']}", entry["template"]) for entry in named]
            for name, source in found:
                if source not in seen:
                    seen.add(source)
                    yield name, source


def check(tool, name, source, show):
    """Returns (equal, refused by both, differences)."""
    requests, wanted = [], []
    for number, (conversation, messages, tools, arguments) in enumerate(more_conversations()):
        arguments = dict(arguments)
        arguments.setdefault("add_generation_prompt", number % 3 != 0 and "continue_final_message" not in arguments)
        arguments.setdefault("documents", None)
        wanted.append((conversation, expected(source, messages, tools, arguments)))
        requests.append(json.dumps({"template": source, "messages": messages, "tools": tools, "now": NOW,
                                    "arguments": {**SPECIAL_TOKENS, **arguments}}))
    done = subprocess.run([tool], input="\n".join(requests) + "\n", capture_output=True, text=True, check=True)
    equal = refused = 0
    differences = []
    for (conversation, want), line in zip(wanted, done.stdout.split("\n")[:-1], strict=True):
        got = json.loads(line)
        if isinstance(want, Exception):
            if "error" in got:
                refused += 1
                refusals[f"{type(want).__name__}: {want}"[:110] + "  |  " + got["error"].split(": ", 2)[-1][:110]] += 1
                continue
            differences.append(f"{name}, {conversation}: transformers fails: {want!r}\nthis program renders: {got['text']!r}")
        elif got.get("text") == want:
            equal += 1
        else:
            differences.append(f"{name}, {conversation}:\nwant {want!r}\ngot  {got.get('text', got.get('error'))!r}")
    return equal, refused, differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--tool", required=True)
    parser.add_argument("--show", type=int, default=3)
    parser.add_argument("--refusals", action="store_true", help="print what both sides say where both refuse")
    parser.add_argument("--only", default="", help="templates whose name holds this")
    arguments = parser.parse_args()
    reference.datetime = FixedTime
    all_differences, totals, count = [], [0, 0], 0
    for name, source in templates(arguments.folders):
        if arguments.only not in name:
            continue
        equal, refused, differences = check(arguments.tool, name, source, arguments.show)
        count += 1
        totals[0] += equal
        totals[1] += refused
        print(f"{equal:4} equal {refused:4} refused by both {len(differences):4} different   {name}", flush=True)
        all_differences += differences
    for said, times in refusals.most_common() if arguments.refusals else []:
        print(f"{times:5} {said}")
    for difference in all_differences[:arguments.show]:
        print("\n" + difference)
    print(f"{count} templates: {totals[0]} prompts equal, {totals[1]} refused by both, {len(all_differences)} different")
    sys.exit(1 if all_differences or count == 0 else 0)


if __name__ == "__main__":
    main()
