# SPDX-License-Identifier: Apache-2.0
"""Running the program from tests: where it is, what it said, what it left behind."""
import json
import os
import re
import subprocess
import sys
import tempfile

KVANT = os.environ["KVANT_BIN"]
FASHION = "/usr/share/datasets/fashion-mnist"


def kvant(*arguments, check=True, **options):
    """Runs kvant; with `check` a failure ends the test with what it said."""
    done = subprocess.run([KVANT, *map(str, arguments)], capture_output=True, text=True, timeout=600, **options)
    if check and done.returncode != 0:
        sys.exit(f"kvant {' '.join(map(str, arguments))} failed ({done.returncode}):\n{done.stderr}")
    return done


def kvant_json(*arguments):
    return json.loads(kvant(*arguments, "--json", "--quiet").stdout)


def scratch():
    return tempfile.TemporaryDirectory(prefix="kvant-e2e-")


def skip(reason):
    """CTest shows a test that says this as skipped (SKIP_RETURN_CODE)."""
    print("skipped: " + reason)
    sys.exit(77)


class Checks:
    """Expectations that are all looked at before the test ends."""

    def __init__(self):
        self.failed = self.passed = 0

    def that(self, holds, text):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print("FAILED: " + text)

    def refused(self, name, arguments, pattern, status=1, outputs=(), folder=None, **options):
        """The command must fail with `status`, say `pattern` in its first line, and leave no file."""
        before = set(os.listdir(folder)) if folder else set()
        done = kvant(*arguments, check=False, **options)
        said = [line for line in done.stderr.splitlines() if line.startswith("kvant: ")]
        first = said[-1] if said else ""
        self.that(done.returncode == status, f"{name}: exit status {done.returncode}, expected {status}\n{done.stderr}")
        self.that(re.search(pattern, first) is not None, f"{name}: said {first!r}, expected /{pattern}/\n{done.stderr}")
        self.that("Sanitizer" not in done.stderr and "runtime error" not in done.stderr, f"{name}: {done.stderr}")
        for output in outputs:
            self.that(not os.path.exists(output), f"{name}: left {output} behind")
        if folder:
            self.that(set(os.listdir(folder)) == before, f"{name}: left {set(os.listdir(folder)) - before} behind")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)
