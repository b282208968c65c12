#!/usr/bin/env python3
"""Compares what grammars of JSON Schema accept with two public collections of schemas and instances.

  check_json_schema.py --tool BUILD/src/grammar/grammar_tool suite FOLDER     JSON-Schema-Test-Suite
  check_json_schema.py --tool ... bench FOLDER [--tokenizer FILE.gguf] [--sample N]   jsonschemabench, maskbench/data

Instances are written compactly and with their members in the schema's order, since grammars have one order. A schema
that is refused by name counts as refused, not as wrong. 1 if an instance is decided wrongly that EXCEPTIONS does not
name.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import subprocess
import sys

# Decided otherwise on purpose, by what the description matches. Instances that are valid and rejected, all of them: a
# grammar has one way to write a value.
EXCEPTIONS = {
    r"is only an annotation by default": "a format constrains",
    r"a float with zero fractional part|float (zero|one) is valid|\[[01].0\] is valid|integer -2 is valid|64-bit.*: float is valid":
        "a number is written in one way, integers without a fraction",
    r"same object with different property order": "constants are written as they are",
    r"no validation: invalid number": "the vocabularies of a metaschema are not read",
    r"leap second": "no leap seconds",
    r"fraction of fifteen nines": "fractions of seconds have nine digits at most",
    r"quoted string .* local part is valid|address-literal after the @ is valid": "addresses of mail have their common form",
    r"host ?names?.*: .*(punycode|A-label|xn--)|validation of (A-label|internationalized)": "no host names in Punycode",
    r"63|maximum label length|long.*(label|host)": "labels of host names have 31 characters at most, of which there are 7",
    r"supplementary-plane private-use char in query": "no characters of private use",
}


class Tool:
    """The program, which answers a line for a line."""

    def __init__(self, command):
        self.command = command
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, schema, texts):
        self.process.stdin.write(json.dumps({"schema": schema, "texts": texts, "compact": False}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self.start()
        return {"error": f"CRASHED with {status}", "compile_us": 0}


def property_order(schema):
    """Names of properties in the order in which the schema first has them."""
    names = {}

    def visit(part):
        if isinstance(part, dict):
            if isinstance(part.get("properties"), dict):
                for name in part["properties"]:
                    names.setdefault(name, len(names))
            lists = [part.get("required")]
            for keyword in ("dependentRequired", "dependencies"):
                if isinstance(part.get(keyword), dict):
                    lists += [[name, *(more if isinstance(more, list) else [])] for name, more in part[keyword].items()]
            for name in (name for list_of_names in lists if isinstance(list_of_names, list) for name in list_of_names):
                if isinstance(name, str):
                    names.setdefault(name, len(names))
            for value in part.values():
                visit(value)
        elif isinstance(part, list):
            for value in part:
                visit(value)

    visit(schema)
    return names


def ordered(value, order):
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: order.get(key, len(order)))
        return {key: ordered(value[key], order) for key in keys}
    if isinstance(value, list):
        return [ordered(item, order) for item in value]
    return value


def texts_of(data, order):
    """The instance in the order of the schema, and as it is."""
    texts = [json.dumps(ordered(data, order), ensure_ascii=False, separators=(",", ":"))]
    as_it_is = json.dumps(data, ensure_ascii=False)
    return texts + [as_it_is]


def check_suite(tool, folder):
    counts = collections.Counter()
    wrong, refused = [], collections.Counter()
    root = pathlib.Path(folder) / "tests/draft2020-12"
    files = sorted(root.glob("*.json")) + sorted((root / "optional/format").glob("*.json"))
    for path in files:
        for case in json.loads(path.read_text()):
            order = property_order(case["schema"])
            texts = [texts_of(test["data"], order) for test in case["tests"]]
            answer = tool.ask(case["schema"], [text for pair in texts for text in pair])
            for number, test in enumerate(case["tests"]):
                if "error" in answer:
                    # A schema that nothing satisfies is refused, too: right for instances that are all invalid.
                    nothing = "no text matches" in answer["error"] and not test["valid"]
                    counts["right" if nothing else "refused"] += 1
                    if not nothing:
                        refused[f"{path.name}: {answer['error'][:150]}"] += 1
                    continue
                accepted = any(answer["accepted"][2 * number : 2 * number + 2])
                right = accepted == test["valid"]
                name = f"{path.relative_to(root)}: {case['description']}: {test['description']}"
                known = not accepted and any(re.search(pattern, name, re.IGNORECASE) for pattern in EXCEPTIONS)
                counts["right" if right else "named exceptions" if known else "wrong"] += 1
                if not right and not known:
                    wrong.append(f"{'accepted' if accepted else 'rejected'}: {name}: {json.dumps(test['data'])[:80]}")
    return counts, wrong, refused


def check_bench(tool, folder, sample):
    counts = collections.Counter()
    wrong, refused, compile_us, masks_ns = [], collections.Counter(), [], []
    files = sorted(pathlib.Path(folder).glob("*.json"))
    if sample:
        files = random.Random(1).sample(files, min(sample, len(files)))
    for path in files:
        task = json.loads(path.read_text())
        order = property_order(task["schema"])
        texts = [texts_of(test["data"], order) for test in task["tests"]]
        answer = tool.ask(task["schema"], [text for pair in texts for text in pair])
        compile_us.append(answer["compile_us"])
        if "error" in answer:
            counts["refused"] += 1
            refused[answer["error"]] += 1
            continue
        counts["compiled"] += 1
        masks_ns += answer.get("masks_ns", [])
        fine = True
        for number, test in enumerate(task["tests"]):
            accepted = any(answer["accepted"][2 * number : 2 * number + 2])
            if accepted != test["valid"]:
                fine = False
                wrong.append(f"{'accepted' if accepted else 'rejected'}: {path.name}: test {number}")
        counts["all instances right" if fine else "some instance wrong"] += 1
    for name, values, unit in (("compile", compile_us, "us"), ("mask", masks_ns, "ns")):
        values.sort()
        if values:
            percentiles = {p: values[min(len(values) - 1, int(len(values) * p / 100))] for p in (50, 90, 99, 100)}
            print(f"{name}: mean {sum(values) / len(values):.0f} {unit}, percentiles {percentiles}, {len(values)} times")
    return counts, wrong, refused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("collection", choices=["suite", "bench"])
    parser.add_argument("folder")
    parser.add_argument("--tokenizer")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    tool = Tool([arguments.tool] + ([arguments.tokenizer] if arguments.tokenizer else []))
    if arguments.collection == "suite":
        counts, wrong, refused = check_suite(tool, arguments.folder)
    else:
        counts, wrong, refused = check_bench(tool, arguments.folder, arguments.sample)
    print(dict(counts))
    for text in wrong[: None if arguments.verbose else 40]:
        print(text)
    for text, count in refused.most_common(None if arguments.verbose else 40):
        print(f"refused {count}: {text}")
    return 1 if wrong and arguments.collection == "suite" else 0


if __name__ == "__main__":
    sys.exit(main())
