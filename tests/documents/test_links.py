"""Every relative link and image in a Markdown file leads to a file, a folder or a heading of this repository.

    python3 -m unittest tests/documents/test_links.py

Needs git and nothing but Python. Links to other hosts are not followed.
"""

import re
import subprocess
import unittest
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]

FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(\s*<?([^()\s<>]+(?:\([^()\s]*\))?)>?(?:\s+\"[^\"]*\")?\s*\)")  # [text](target "title")
DEFINITION = re.compile(r"^\[[^\]]+\]:\s*<?(\S+?)>?\s*$", re.MULTILINE)  # [name]: target
HTML = re.compile(r"<[^>]*\b(?:href|src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def links(text):
    """The targets of all links of a document that are not within code."""
    text = FENCED.sub("", text)
    # The text of a link may be code, so only what is between the backticks goes.
    text = CODE.sub("``", text)
    return [target for pattern in (LINK, DEFINITION, HTML) for target in pattern.findall(text)]


def anchors(text):
    """The names under which a code host makes the headings of a document linkable."""
    found = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        count = 1
        unique = name
        while unique in found:
            unique = f"{name}-{count}"
            count += 1
        found.add(unique)
    return found


def repository():
    """All files that git tracks or would add, and the folders that they are in."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # A file that is deleted and not yet committed is still listed.
    files = {PurePosixPath(name) for name in listed.split("\0") if name and (ROOT / name).is_file()}
    return files | {folder for file in files for folder in file.parents}


def normal(path):
    """The path without `.` and `..`; None if it leaves the repository."""
    parts = []
    for part in path.parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)


def dead_links(document, text, paths, read):
    """The links of `text` that lead nowhere, where `paths` exist and `read` gives the text of one."""
    dead = []
    for link in links(text):
        if ELSEWHERE.match(link):
            continue
        target, _, fragment = link.partition("#")
        path = normal(document.parent / unquote(target)) if target else document
        if path not in paths:
            dead.append(link)
        elif fragment and path.suffix == ".md":
            other = text if path == document else read(path)
            if fragment not in anchors(other):
                dead.append(link)
    return dead


class Links(unittest.TestCase):
    def test_every_relative_link_leads_somewhere(self):
        paths = repository()
        documents = sorted(path for path in paths if path.suffix == ".md")
        self.assertIn(PurePosixPath("README.md"), documents)

        def read(path):
            return (ROOT / path).read_text(encoding="utf-8")

        for document in documents:
            with self.subTest(document=str(document)):
                self.assertEqual(dead_links(document, read(document), paths, read), [])

    def test_dead_links_are_found(self):
        text = (
            "# One\n[a](b.md) [c](gone.md) ![d](d.svg) ![e](gone.svg) [`f`](b.md#two) [g](b.md#gone)\n"
            "[h](#one) [i](#gone) [j](..) [k](../..) [l](https://example.com/gone) `[m](code.md)`\n"
            '```\n[n](fenced.md)\n```\n<img src="gone.png"> [o][p]\n\n[p]: gone.txt\n'
        )
        files = [PurePosixPath(name) for name in ("x/a.md", "x/b.md", "x/d.svg")]
        paths = {*files, PurePosixPath("x"), PurePosixPath(".")}
        dead = dead_links(files[0], text, paths, lambda _: "## Two\n")
        expected = ["gone.md", "gone.svg", "b.md#gone", "#gone", "../..", "gone.txt", "gone.png"]
        self.assertEqual(dead, expected)


if __name__ == "__main__":
    unittest.main()
