#!/usr/bin/env python3
"""scripts/count-tests on made-up results: a crash, a skip and a failed stage must each show in the sums."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "count-tests"

CASES = """<testsuites><testsuite name="Suite">
<testcase name="A" status="run" result="completed" classname="Suite"/>
<testcase name="B" status="run" result="completed" classname="Suite">{failure}</testcase>
<testcase name="C" status="run" result="skipped" classname="Suite"><skipped message="no data"/></testcase>
<testcase name="D" status="notrun" result="suppressed" classname="Suite"/>
</testsuite></testsuites>"""


def count(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            pathlib.Path(folder, name).write_text(text)
        done = subprocess.run([PROGRAM, folder], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()


NOT_RUN = '<testcase name="{name}" status="notrun"><skipped message="{message}"/></testcase>'


def junit(*entries):
    return "<testsuite>" + "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in entries) + \
        "</testsuite>"


class CountTestsTest(unittest.TestCase):
    def test_cases_and_programs(self):
        status, lines = count({"ctest.junit": junit(("a_test", "run"), ("script", "run")),
                               "a_test.xml": CASES.format(failure="")})
        self.assertEqual((status, lines), (0, ["skipped: a_test: Suite.C", "3 passed, 0 failed"]))

    def test_failed_case(self):
        status, lines = count({"ctest.junit": junit(("a_test", "fail")),
                               "a_test.xml": CASES.format(failure="<failure/>")})
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed"))

    def test_crash_before_during_and_after_the_cases(self):
        self.assertEqual(count({"ctest.junit": junit(("a_test", "fail"))}), (1, ["0 passed, 1 failed"]))
        self.assertEqual(count({"ctest.junit": junit(("a_test", "fail")), "a_test.xml": "<testsui"}),
                         (1, ["0 passed, 1 failed"]))
        status, lines = count({"ctest.junit": junit(("a_test", "fail")), "a_test.xml": CASES.format(failure="")})
        self.assertEqual((status, lines[-1]), (1, "2 passed, 1 failed"))

    def test_program_that_could_not_start(self):
        entry = NOT_RUN.format(name="gone", message="Unable to find executable")
        self.assertEqual(count({"ctest.junit": f"<testsuite>{entry}</testsuite>"}), (1, ["0 passed, 1 failed"]))

    def test_skipped_program(self):
        entry = NOT_RUN.format(name="disk", message="SKIP_RETURN_CODE=77")
        self.assertEqual(count({"ctest.junit": f"<testsuite>{entry}</testsuite>", "layers.stage": "passed\n"}),
                         (0, ["skipped: disk", "1 passed, 0 failed"]))

    def test_stages(self):
        self.assertEqual(count({"a.stage": "passed\n", "b.stage": "failed\n"}), (1, ["1 passed, 1 failed"]))

    def test_nothing_is_a_failure(self):
        self.assertEqual(count({}), (1, ["0 passed, 0 failed"]))


if __name__ == "__main__":
    sys.exit(unittest.main())
