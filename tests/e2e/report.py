# SPDX-License-Identifier: Apache-2.0
"""kvant report: one page of models, plans and JSON results; what is no result is refused or passed over."""
import html.parser
import json
import os
import shutil

from kvant_run import Checks, kvant, kvant_json, scratch

MODEL = os.path.join(os.path.dirname(__file__), "..", "models", "fashion_resnet8.onnx")
VOID = {"meta"}  # shapes that are closed in their own tag come as handle_startendtag


class Balance(html.parser.HTMLParser):
    """Whether every element is closed where it was opened, and what stands in headings."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.headings = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, _attributes):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def main():
    c = Checks()
    with scratch() as folder:
        at = lambda name: os.path.join(folder, name)
        results = at("results")
        os.mkdir(results)
        shutil.copy(MODEL, os.path.join(results, "float.onnx"))
        plan = os.path.join(results, "float.plan")
        kvant("build", os.path.join(results, "float.onnx"), "-o", plan)
        said = kvant_json("explain", MODEL)
        c.that(said["command"] == "explain" and said["model"] == MODEL, f"{list(said)}")
        for name, text in (("explain.json", json.dumps(said)), ("other.json", '{"a": 1}'), ("list.json", "[1]"), ("cut.json", '{"command":'),
                           ("failed.json", json.dumps({"command": "eval", "error": "no <labels>", "trail": [], "exit": 1}))):
            with open(os.path.join(results, name), "w") as file:
                file.write(text)

        page = at("report.html")
        done = kvant_json("report", results, "-o", page, "--iterations", "5", "--title", "A & B")
        text = open(page, encoding="utf-8").read()
        balance = Balance(text)
        c.that(not balance.wrong and not balance.open, f"unbalanced: {balance.wrong} {balance.open}")
        c.that(balance.headings[0] == "A & B" and "All models" in balance.headings, f"{balance.headings}")
        c.that(any(h.startswith("Speed: ") and h.endswith("float.plan") for h in balance.headings), f"{balance.headings}")
        c.that(any(h.startswith("What became of each layer") for h in balance.headings), f"{balance.headings}")
        c.that("Roofline" in text and "<svg" in text and "layer1/0/conv1" in text, "the profile is missing")
        c.that("no &lt;labels&gt;" in text and len(done["notes"]) == 1, f"{done}")
        c.that(all(bad not in text for bad in ("<script", "src=", "href=", "http:")), "the page is not self-contained")
        again = at("again.html")
        kvant("report", results, "-o", again, "--iterations", "0")
        c.that("Speed: " not in open(again, encoding="utf-8").read(), "--iterations 0 timed a plan")

        def refused(*arguments):
            failed = kvant("report", *arguments, check=False)
            c.that(failed.returncode == 1 and failed.stderr.count("kvant: ") == 1, f"{arguments}: {failed.returncode} {failed.stderr}")
            return failed.stderr

        c.that("other.json is not what a command prints with --json" in refused(os.path.join(results, "other.json"), "-o", at("x.html")), "named json")
        c.that("is not there" in refused(at("absent.plan"), "-o", at("x.html")), "absent")
        c.that("is no model, plan or JSON result" in refused(os.path.abspath(__file__), "-o", at("x.html")), "python file")
        os.mkdir(at("empty"))
        c.that("nothing to report on" in refused(at("empty"), "-o", at("x.html")), "empty folder")
        with open(at("broken.onnx"), "wb") as file:
            file.write(b"\x08\x07garbage")
        c.that("nothing to report on" in refused(at("broken.onnx"), "-o", at("x.html")), "broken model")
        c.that("x.html" in refused(plan, "-o", at("nowhere/x.html")), "unwritable output")
        c.that(not os.path.exists(at("x.html")), "a refused report was written")
    c.end()


if __name__ == "__main__":
    main()
