#!/usr/bin/env python3
"""scripts/check-layers must find each kind of violation in a made-up tree, and none in a clean one."""

import sys
import unittest

import checkout

CLEAN = {
    "docs/layers.txt": "low <-\nmiddle <- low\nhigh <- middle low\ntop <- *\n",
    "src/low/CMakeLists.txt": "qwen25_layer(\n  NAME low\n  SOURCES a.cc)\n",
    "src/low/a.h": "#pragma once\n#include <vector>\n",
    "src/low/a.cc": '#include "low/a.h"\n',
    "src/low/test_util.h": '#include "low/a.h"\n',
    "src/middle/CMakeLists.txt": "qwen25_layer(NAME middle DEPENDS low SOURCES b.cc TESTS b_test.cc)\n",
    "src/middle/b.h": '#include "low/a.h"\n',
    "src/middle/b.cc": '#include "middle/b.h"\n',
    "src/middle/b_test.cc": '#include "low/test_util.h"\n',
    "src/top/CMakeLists.txt": "qwen25_layer(NAME top DEPENDS middle)  # names what it uses\n",
    "src/top/main.cc": '#include "low/a.h"\n#include "middle/b.h"\n',
}


class CheckLayersTest(checkout.CheckoutTest):
    PROGRAM = "check-layers"
    CLEAN = CLEAN

    def test_clean_tree_passes(self):
        status, output = self.check({})
        self.assertEqual(status, 0, output)
        self.assertIn("3 layers, 0 violations", output)

    def test_upward_include(self):
        self.expect_violation({"src/low/a.cc": '#include "low/a.h"\n  #  include "middle/b.h"\n'},
                              "src/low/a.cc:2", "low may not include middle")

    def test_include_in_a_sub_folder_and_in_a_header(self):
        self.expect_violation({"src/low/cpu/c.h": '#include "top/t.h"\n', "src/top/t.h": ""},
                              "src/low/cpu/c.h:1", "low may not include top")

    def test_path_that_is_not_written_from_src(self):
        self.expect_violation({"src/middle/b.cc": '#include "b.h"\n'}, "src/middle/b.cc:1", "no file of src/")

    def test_two_types_of_one_name(self):
        text = "namespace qwen25 {\n\nstruct Limits {\n  int a;\n};\n\n}  // namespace qwen25\n"
        self.expect_violation({"src/low/c.h": text, "src/middle/c.h": text.replace("struct", "class")},
                              "src/middle/c.h", "Limits is defined in src/low/c.h, too")
        inner = text.replace("namespace qwen25 {", "namespace qwen25::other {")
        status, output = self.check({"src/low/c.h": text, "src/middle/c.h": inner})
        self.assertEqual(status, 0, output)

    def test_test_util_outside_tests(self):
        self.expect_violation({"src/middle/b.cc": '#include "low/test_util.h"\n'}, "for *_test.cc only")

    def test_folder_without_a_line(self):
        self.expect_violation({"src/new/CMakeLists.txt": "qwen25_layer(NAME new)\n"}, "src/new: no line")

    def test_depends_too_much(self):
        self.expect_violation(
            {"src/middle/CMakeLists.txt": "qwen25_layer(NAME middle DEPENDS low top SOURCES b.cc)\n"},
            "DEPENDS names top")

    def test_depends_too_little(self):
        self.expect_violation({"src/middle/CMakeLists.txt": "qwen25_layer(NAME middle SOURCES b.cc)\n"},
                              "DEPENDS lacks low")

    def test_other_name_or_no_call(self):
        self.expect_violation({"src/low/CMakeLists.txt": "qwen25_layer(NAME lower SOURCES a.cc)\n"}, "NAME is")
        self.expect_violation({"src/low/CMakeLists.txt": "# qwen25_layer(NAME low)\n"}, "0 qwen25_layer calls")
        self.expect_violation({"src/low/CMakeLists.txt": None}, "missing")

    def test_table_that_leans_upwards_or_repeats(self):
        table = CLEAN["docs/layers.txt"]
        self.expect_violation({"docs/layers.txt": "early <- low\n" + table}, "early leans on low")
        self.expect_violation({"docs/layers.txt": table + "high <- low\n"}, "two lines")
        self.expect_violation({"docs/layers.txt": table + "high low\n"}, "want `layer <- lower layers`")

    def test_missing_table_is_an_error(self):
        status, output = self.check({"docs/layers.txt": None})
        self.assertEqual(status, 2, output)
        self.assertIn("layers.txt", output)


if __name__ == "__main__":
    sys.exit(unittest.main())
