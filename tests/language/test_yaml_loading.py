"""Strict YAML: what is read, what is refused, and where the fault is said to be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.language.load import MAX_BYTES, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("21:00-09:00", "21:00-09:00"),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("1_000", "1_000"),
        ("2026-03-01", "2026-03-01"),
        ("10%", "10%"),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("'010'", "010"),
        ('"true"', "true"),
        ("3d before next_due", "3d before next_due"),
        ("+", "+"),
        (".", "."),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    document = load("f.yaml", f"key: {text}\n")
    assert document.ok
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_every_node_has_its_place() -> None:
    document = load("f.yaml", "name: x\nsteps:\n  - send: a\n    with: {code: 'B'}\n")
    place = document.place(("steps", 0, "with", "code"))
    assert (place.line, place.column, place.text_column) == (4, 18, 19)
    assert document.place(("steps", 0, "with", "code"), key=True).column == 12
    assert document.place(("steps", 0, "nothing", 3)).line == 3
    assert load("f.md", "subject: x", first_line=2).place(("subject",)).line == 2


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "f.yaml:1:1: the file is empty (start from a working file)"),
        ("# only a comment\n", "f.yaml:1:1: the file is empty (start from a working file)"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: duplicate key 'a' (it is already in line 1: keep one)"),
        ("a: {b: 1, b: 2}\n", "f.yaml:1:11: duplicate key 'b' (it is already in line 1: keep one)"),
        (
            "a: &x 1\nb: *x\n",
            "f.yaml:1:4: anchors (&name) are not allowed (write the value out where it is used)",
        ),
        ("a: *x\n", "f.yaml:1:4: aliases (*name) are not allowed (write the value out)"),
        ("a: {<<: 1}\n", "f.yaml:1:5: merge keys (<<) are not allowed (write the keys out)"),
        (
            "a: !!python/object/apply:os.system [id]\n",
            "f.yaml:1:4: tags (tag:yaml.org,2002:python/object/apply:os.system) are not allowed (remove the tag)",
        ),
        ("a: !x 1\n", "f.yaml:1:4: tags (!x) are not allowed (remove the tag)"),
        ("name: a\n---\nname: b\n", "f.yaml:2:1: a second document starts here (write one journey per file)"),
        ("%YAML 1.1\n---\na: no\n", "f.yaml:2:1: YAML directives (%) are not allowed (remove the line)"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a key must be a word (write 'key: value')"),
        (
            "a: .inf\n",
            "f.yaml:1:4: '.inf' is not a finite number (write a number, or put quotes around the text)",
        ),
        (
            "a: 1e999\n",
            "f.yaml:1:4: '1e999' is not a finite number (write a number, or put quotes around the text)",
        ),
        (
            "price: > 50\n",
            "f.yaml:1:10: this is not valid YAML: while scanning a block scalar expected a comment or a line break, "
            "but found '5' ('>' starts a text block in YAML: write 'over 50' or 'under 50')",
        ),
        (
            "a:\n\t- b\n",
            "f.yaml:2:1: this is not valid YAML: while scanning for the next token found character '\\t' that cannot "
            "start any token (put quotes around the text, and indent with spaces, not tabs)",
        ),
        (
            "name: Hello: you\n",
            "f.yaml:1:12: this is not valid YAML: mapping values are not allowed here (put quotes around a text that "
            "holds ': ', or correct the indentation)",
        ),
        ("a: \x07\n", "f.yaml:1:4: a character that is not allowed in YAML (remove the invisible character)"),
    ],
)
def test_faults_name_place_and_fix(text: str, finding: str) -> None:
    document = load("f.yaml", text)
    assert [str(found) for found in document.findings] == [finding]


def test_alias_bomb_is_refused_at_its_first_anchor_without_expanding() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    started = time.perf_counter()
    document = load("bomb.yaml", "\n".join(lines))
    assert time.perf_counter() - started < 1
    assert [(f.line, f.column) for f in document.findings] == [(1, 5)]


def test_ten_megabytes_are_refused_before_reading() -> None:
    started = time.perf_counter()
    document = load("big.yaml", "a: " + "x" * 10_000_000)
    assert time.perf_counter() - started < 1
    assert [str(f) for f in document.findings] == [
        "big.yaml:1:1: the file is larger than 256 KiB (split it into several files)"
    ]


def test_size_counts_bytes_not_characters() -> None:
    assert load("f.yaml", "a: '" + "x" * (MAX_BYTES - 100) + "'").ok
    assert not load("f.yaml", "a: '" + "ż" * (MAX_BYTES - 100) + "'").ok


@pytest.mark.parametrize("text", ["[" * 5_000, "{a: " * 5_000, "\n".join(" " * n + "a:" for n in range(300))])
def test_deep_nesting_is_a_finding(text: str) -> None:
    document = load("f.yaml", text)
    assert "nested deeper than 64 levels" in document.findings[0].message


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"%@`#,?~ \n\t0\x00\ufeff\U0001f600\ud800")), max_size=60))
def test_any_text_gives_data_or_findings(text: str) -> None:
    document = load("f.yaml", text)
    assert document.findings or document.data is not None
    for finding in document.findings:
        assert finding.line >= 1
        assert finding.column >= 1
