"""Tests of scripts that check a checkout, on made-up ones."""

import pathlib
import subprocess
import tempfile
import unittest


class CheckoutTest(unittest.TestCase):
    """A test of scripts/`PROGRAM`, which finds nothing in a folder with the files `CLEAN`, {path: text}."""

    PROGRAM = None
    CLEAN = {}

    def check(self, changes):
        """Exit status and output on CLEAN with `changes` applied; None removes a file."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**self.CLEAN, **changes}.items():
                if text is None:
                    continue
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            program = pathlib.Path(__file__).resolve().parents[2] / "scripts" / self.PROGRAM
            done = subprocess.run([program, "--root", folder], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr

    def expect_violation(self, changes, *texts):
        """One violation, whose line holds these texts."""
        status, output = self.check(changes)
        self.assertEqual(status, 1, output)
        for text in texts:
            self.assertIn(text, output)
        self.assertIn(", 1 violations", output)
