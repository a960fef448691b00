"""A reader of JSON on bytes that hides nothing: repeated names, lone surrogates and the text of numbers stay visible.

Values are pairs: ("null", None), ("bool", b), ("number", its bytes), ("string", (unescaped bytes, has a lone surrogate)),
("array", [values]) and ("object", [(name bytes, has a lone surrogate, value)]). UTF-8 is the caller's to check.
"""

import re


class NotJson(Exception):
    """The bytes break the grammar of JSON (or nest deeper than allowed)."""


SPACE = re.compile(rb"[ \t\n\r]*")
PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
SIMPLE_ESCAPES = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
WORDS = ((b"null", ("null", None)), (b"true", ("bool", True)), (b"false", ("bool", False)))


def skip_space(data, at):
    """The position of the first byte at or after `at` that is not JSON white space."""
    return SPACE.match(data, at).end()


def read_hex4(data, at):
    """The code unit of a \\u escape whose four digits begin at `at`."""
    if not HEX4.match(data, at):
        raise NotJson("escape")
    return int(data[at:at + 4], 16)


def read_string(data, at):
    """The string whose opening quote is at `at`: (unescaped bytes, has a lone surrogate, position after it)."""
    pieces, lone, at = [], False, at + 1
    while True:
        end = PLAIN.match(data, at).end()
        pieces.append(data[at:end])
        mark = data[end:end + 1]
        if mark == b'"':
            return b"".join(pieces), lone, end + 1
        if mark != b"\\":
            raise NotJson("string")
        letter = data[end + 1:end + 2]
        at = end + 2
        if letter in SIMPLE_ESCAPES:
            pieces.append(SIMPLE_ESCAPES[letter])
            continue
        if letter != b"u":
            raise NotJson("escape")
        unit = read_hex4(data, at)
        at += 4
        if 0xD800 <= unit <= 0xDBFF and data[at:at + 2] == b"\\u":
            low = read_hex4(data, at + 2)
            if 0xDC00 <= low <= 0xDFFF:
                unit = 0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00)
                at += 6
        if 0xD800 <= unit <= 0xDFFF:
            lone = True
        pieces.append(chr(unit).encode("utf-8", "surrogatepass"))


def read_value(data, at, level, level_max):
    """One JSON value that begins at `at` and lies on nesting level `level`, as (kind, content) and where it ends."""
    mark = data[at:at + 1]
    if mark == b'"':
        text, lone, at = read_string(data, at)
        return ("string", (text, lone)), at
    if mark in (b"{", b"["):
        if level > level_max:
            raise NotJson("depth")
        return read_object(data, at, level, level_max) if mark == b"{" else read_array(data, at, level, level_max)
    for word, value in WORDS:
        if data.startswith(word, at):
            return value, at + len(word)
    number = NUMBER.match(data, at)
    if not number:
        raise NotJson("value")
    return ("number", number.group()), number.end()


def read_array(data, at, level, level_max):
    """The array whose bracket is at `at`."""
    items = []
    at = skip_space(data, at + 1)
    if data[at:at + 1] == b"]":
        return ("array", items), at + 1
    while True:
        value, at = read_value(data, skip_space(data, at), level + 1, level_max)
        items.append(value)
        at = skip_space(data, at)
        mark = data[at:at + 1]
        at += 1
        if mark == b"]":
            return ("array", items), at
        if mark != b",":
            raise NotJson("array")


def read_object(data, at, level, level_max):
    """The object whose brace is at `at`; its members stay a list, since names may repeat."""
    members = []
    at = skip_space(data, at + 1)
    if data[at:at + 1] == b"}":
        return ("object", members), at + 1
    while True:
        at = skip_space(data, at)
        if data[at:at + 1] != b'"':
            raise NotJson("name")
        name, lone, at = read_string(data, at)
        at = skip_space(data, at)
        if data[at:at + 1] != b":":
            raise NotJson("colon")
        value, at = read_value(data, skip_space(data, at + 1), level + 1, level_max)
        members.append((name, lone, value))
        at = skip_space(data, at)
        mark = data[at:at + 1]
        at += 1
        if mark == b"}":
            return ("object", members), at
        if mark != b",":
            raise NotJson("object")


def read_document(data, level_max):
    """The one value that the bytes hold, with nothing but white space around it."""
    value, at = read_value(data, skip_space(data, 0), 1, level_max)
    if skip_space(data, at) != len(data):
        raise NotJson("trailing bytes")
    return value
