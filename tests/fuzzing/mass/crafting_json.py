"""Crafted descriptions: JSON and YAML that are none, deep, wide, or of layers that no memory holds."""

import json

from tests.files import test_damaged as files

NUMBERS = ["NaN", "1e999", "-Infinity", "9" * 400, "1" * 5000, "1e308", "-0.0", "18446744073709551616", "2.5", "true"]


def nested(random):
    """Return lists or objects inside each other, closed or not."""
    depth, (left, right) = random.choice((99, 101, 500, 5000, 200_000)), random.choice((("[", "]"), ('{"a":', "}")))
    inside = "" if left == "[" else "1"
    return (left * depth + inside + right * depth * random.randrange(2)).encode()


def odd_json(random):
    """Return JSON that is none, or holds what no value of ours is."""
    number = random.choice(NUMBERS)
    texts = (
        f'{{"format": {number}}}',
        f"[{number}]",
        '{"a": 1, "a": 2}',
        '{"a": "\\ud83d"}',
        "\ufeff{}",
        "[" + "1," * random.choice((10, 100_000)) + "1]",
        '{"' + "x" * 100_000 + '": 1}',
        '"' + "\\u0000" * 1000 + '"',
        f'{{"layers": {{"length": {number}}}}}',
        "null",
        '{"input_size": [' + ",".join(["4"] * 1000) + "]}",
    )
    return random.choice(texts).encode("utf-8", random.choice(("surrogatepass", "replace")))


def not_text(random):
    """Return bytes that are no UTF-8, or of another encoding."""
    return random.choice(
        (b"\xff\xfe" + '{"a": 1}'.encode("utf-16-le"), b"\x80" * 50, b'{"a": "\xff"}', b"\0" * 1000, b"")
    )


def huge_spec(random):
    """Return a layer of a size that no memory holds, or whose arithmetic overflows."""
    size = random.choice((10**6, 10**9, 1 << 31, 1 << 62, 10**30))
    values = files.SPEC.to_dict() | {
        random.choice(("in_channels", "out_channels", "input_size", "kernel_size", "groups")): size
    }
    if not isinstance(values["input_size"], list):
        values["input_size"] = [values["input_size"]]
    layer = {"name": "local", "layout": random.choice(("canonical", "dense", "keras2/impl2/channels_last", "no/such"))}
    layer |= {"weight": "local.weight", "bias": "local.bias", "spec": values}
    return json.dumps(
        random.choice((values, {"format": "lcl-weights/1", "layers": [layer] * random.choice((1, 3000))}))
    ).encode()


def yaml_bomb(random):
    """Return YAML of which every line is ten of the line before, or that asks for an object of Python."""
    lines = ["a0: &a0 [x]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, random.randrange(2, 12))
    ]
    texts = (
        "\n".join(lines),
        "class_name: !!python/object/apply:os.system [true]",
        "&a [*a]",
        "a: " * 5000,
        "- " * 30_000,
        "? " * 9000,
    )
    return random.choice(texts).encode()


def wide(random):
    """Return very many values that are short to write."""
    value = random.choice((b"[]", b"{}", b"0.5", b'"ab"', b'{"a":1}', b"[[[]]]"))
    return b"[" + (value + b",") * random.choice((10, 1_000_000, 6_000_000)) + b"1]"


JSON = (wide, nested, odd_json, not_text, huge_spec, yaml_bomb)
