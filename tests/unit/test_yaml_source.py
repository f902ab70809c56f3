import pytest

from onnxq.diagnostics import OnnxqError
from onnxq.yaml_source import parse, read


def value(text):
    return parse(text, "f.yaml").value


def refusal(text):
    with pytest.raises(OnnxqError) as caught:
        parse(text, "f.yaml")
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("3.", 3.0),
        ("12", 12),
        ("+3", 3),
        ("007", 7),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("NO", "NO"),
        ("y", "y"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        ("'5'", "5"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars(text, expected):
    found = value(f"k: {text}")["k"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("name: *conv", 7, "quote a leading *"),
        ("a: &x 1", 4, "anchors"),
        ("a: !!python/object:os.system x", 4, "tag"),
        ("a: !x 1", 4, "tag"),
        ("a: [1, 2", 4, "never closed"),
        ("a: b: c", 5, "mapping values"),
        ("a: 'x", 4, "never ends"),
        ("a: @x", 4, ""),
        ("? [1]\n: 2", 3, "unhashable"),
        ("a: 1\n---\nb: 2", 1, ""),
    ],
)
def test_refused_with_its_place(text, column, told):
    (found,) = refusal(text)
    assert found.code == "OQ102"
    assert found.span.column == column
    assert told in f"{found.message}; {found.fix}"


@pytest.mark.parametrize("glob", ["*", "**", "*/conv", "**/conv", "*conv", "*.conv"])
def test_an_unquoted_glob_says_to_quote_it(glob):
    (found,) = refusal(f"name: {glob}")
    assert found.code == "OQ102"
    assert "quote" in f"{found.message}; {found.fix}"


def test_duplicate_keys_at_every_depth():
    found = refusal("a: 1\nb: {c: 1, c: 2}\na: 3\nd: [{e: 1, e: 2}]\n")
    assert [(d.span.line, d.span.column) for d in found] == [(2, 11), (3, 1), (4, 12)]
    assert "first in line 1" in found[1].message


def test_the_same_key_in_two_items_is_no_duplicate():
    assert value("- a: 1\n- a: 2") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "[" * 5000 + "]" * 5000])
def test_deep_nesting_is_refused(text):
    (found,) = refusal(text)
    assert found.code == "OQ102"


def test_ten_thousand_aliases_cannot_multiply():
    assert refusal("a: &a [1]\nb: [" + ", ".join(["*a"] * 10_000) + "]")[0].code == "OQ102"


def test_places_of_keys_and_values():
    source = parse("a:\n  - b: x\n    c: y\n", "f.yaml")
    assert str(source.span(("a", 0, "c"))) == "f.yaml:3:8"
    assert str(source.span(("a", 0, "c"), key=True)) == "f.yaml:3:5"
    assert source.span(("a", 0, "c")).source == "    c: y"
    assert str(source.span(("a", 0, "missing", 3))) == "f.yaml:2:5"


def test_empty_files():
    for text in ("", "# only a comment\n", "---\n"):
        assert value(text) is None


def test_unreadable_files(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("grün".encode("latin-1"))
    (tmp_path / "utf16.yaml").write_bytes("a: 1".encode("utf-16"))
    for name, code in (("latin", "OQ102"), ("utf16", "OQ102"), ("missing", "OQ101")):
        with pytest.raises(OnnxqError) as caught:
            read(tmp_path / f"{name}.yaml")
        assert caught.value.diagnostics[0].code == code


def test_control_characters_are_refused():
    assert refusal("a: \x07")[0].code == "OQ102"
