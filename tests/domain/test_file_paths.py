"""How two spellings of one file of a repository become the same path."""

import pytest

from domain.errors import Invalid
from domain.file_paths import normalized


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        ("src/a.py", "src/a.py"),
        ("./src/a.py", "src/a.py"),
        (".\\src\\a.py", "src/a.py"),
        ("src//a.py", "src/a.py"),
        ("src/./a.py", "src/a.py"),
        ("src/b/../a.py", "src/a.py"),
        ("src/", "src"),
        ("Src/A.py", "Src/A.py"),
        (".env", ".env"),
        ("..env", "..env"),
        ("...", "..."),
        ("a b/ü,é.py", "a b/ü,é.py"),
        ("C:notes", "C:notes"),
    ],
)
def test_spellings_of_one_file_are_one_path(spelling, path):
    assert normalized(spelling) == path


@pytest.mark.parametrize(
    "spelling",
    [
        "..",
        "../a.py",
        "..\\a.py",
        "src/../../a.py",
        "src\\..\\..\\a.py",
        "/etc/passwd",
        "//server/share",
        "\\\\server\\share",
        "C:\\a.py",
        "c:/a.py",
        "./../a.py",
    ],
)
def test_a_path_that_leaves_the_repository_is_refused(spelling):
    with pytest.raises(Invalid, match="leaves the repository"):
        normalized(spelling)


@pytest.mark.parametrize("spelling", [".", "./", "src/.."])
def test_the_repository_itself_is_no_file_of_it(spelling):
    with pytest.raises(Invalid, match="names no file"):
        normalized(spelling)
