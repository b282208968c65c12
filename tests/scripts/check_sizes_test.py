#!/usr/bin/env python3
"""scripts/check-sizes must find each kind of violation in a made-up tree, and none in a clean one."""

import sys
import unittest

import checkout

CLEAN = {
    "README.md": "# A title\n",
    "CONTRIBUTING.md": "# Another\n",
    "docs/formats/a.md": "x" * 110 + "\n",
    "src/low/a.cc": "int F() {\n  return 1;\n}\n",
}


def function(head, num_lines, first="  Call();"):
    """A function of `num_lines` lines after `head`."""
    return "\n".join([head, first] + ["  Call();"] * (num_lines - 3) + ["}", ""])


class CheckSizesTest(checkout.CheckoutTest):
    PROGRAM = "check-sizes"
    CLEAN = CLEAN

    def expect_none(self, source):
        status, output = self.check({"src/low/a.cc": source})
        self.assertEqual(status, 0, output)

    def test_clean_tree_passes(self):
        status, output = self.check({})
        self.assertEqual(status, 0, output)
        self.assertIn("4 files, 0 violations", output)

    def test_long_file(self):
        self.expect_violation({"src/low/a.h": "int x;\n" * 601}, "src/low/a.h: 601 lines")
        self.expect_none("int x;\n" * 600)

    def test_long_function(self):
        self.expect_violation({"src/low/a.cc": "\n" + function("int F() {", 61)}, "src/low/a.cc:2", "61 lines")
        self.expect_none(function("int F() {", 60) * 2)

    def test_a_declaration_counts_from_its_first_line(self):
        self.expect_violation(
            {"src/low/a.cc": "int x;\n\ntemplate <typename A>\n" + function("int F(A a) {", 60)}, "a.cc:3", "61 lines")

    def test_functions_in_classes_and_namespaces(self):
        for before in ("namespace a {\n", "class A : public B {\n public:\n", "struct alignas(16) A {\n",
                       'extern "C" {\n', "PUSH(x)\nnamespace {\n", "struct A {\n  int x{1}, y = {2};\n"):
            self.expect_violation({"src/low/a.cc": before + function("A() : x_{1}, y_(2) {", 61) + "}\n"}, "61 lines")
            self.expect_none(before + function("A() : x_{1}, y_(2) {", 60) * 3 + "};\n")

    def test_tests_and_lambdas_are_functions(self):
        self.expect_violation({"src/low/a_test.cc": function("TEST(A, B) {", 61)}, "a_test.cc:1")
        self.expect_violation({"src/low/a.cc": function("const auto f = [](int x) {", 61)}, "a.cc:1")

    def test_data_is_not_a_function(self):
        self.expect_none("const int kTable[] = {\n" + "  F(1),\n" * 100 + "};\n")
        self.expect_none("const A a{\n" + "  F(1),\n" * 100 + "};\n")

    def test_braces_in_text_do_not_count(self):
        self.expect_none(function("int F() {", 50, first='  Say("{{{", \'{\');  // {') + function("int G() {", 50))
        self.expect_none(function("int F() {", 50, first='  Say(R"x({\n"{)x");') + function("int G() {", 50))
        self.expect_none("#define A {\n" + function("int F() {", 50) + function("int G() {", 50))

    def test_a_reason_excuses_a_function(self):
        self.expect_none("// Counts.\n// Long: a table of cases.\n" + function("int F() {", 70))
        self.expect_none(function("int F() {", 70, first="  // Long: a table of cases."))
        self.expect_violation({"src/low/a.cc": "// Long, but so what.\n" + function("int F() {", 70)}, "70 lines")
        self.expect_violation(
            {"src/low/a.cc": function("int F() {", 70, first="  Call();\n  // Long: too late.")}, "71 lines")

    def test_wide_lines_of_pages(self):
        self.expect_violation({"docs/formats/a.md": "short\n" + "x" * 111 + "\n"}, "docs/formats/a.md:2", "111 columns")
        self.expect_violation({"README.md": "| " + "é" * 109 + "\n"}, "README.md:1", "111 columns")

    def test_nothing_to_check_is_a_violation_or_an_error(self):
        self.expect_violation({"src/low/a.cc": None, "src/low/b.txt": ""}, "nothing was checked")
        self.assertEqual(self.check({"README.md": None})[0], 2)


if __name__ == "__main__":
    sys.exit(unittest.main())
