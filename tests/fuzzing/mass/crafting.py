"""Crafted files: each of a known kind of harm, with random sizes, names and places."""

import io
import json
import struct
import zipfile

import numpy as np

from tests.files import test_damaged as files
from tests.fuzzing.mass.crafting_hdf5 import HDF5
from tests.fuzzing.mass.crafting_json import JSON, huge_spec, nested, not_text, odd_json, wide
from tests.fuzzing.mass.mutating import archived, npy, random_array
from tests.fuzzing.readers import CFG, MARK, READERS

NAMES = ["../evil", "/etc/evil", "a/../b", "a//b", "..\\evil", "a\x1b[2Jb", "a\x07", "x" * 2000, "é" * 400, "\u202egnp"]
NAMES += [".", "..", "", "a\nb", "con", "a" * 256, "__proto__", "weight", "local.weight", "LOCAL.weight"]
NAMES += ["\ud83d".encode("utf-8", "backslashreplace").decode()]
DTYPES = ["F32", "F64", "F16", "BF16", "C64", "BOOL", "U8", "U64", "F8_E4M3", "F8_E5M2", "F4", "F8_E8M0", "F33", ""]


def crafted(name, number, random):
    """Return a file of harm and what lies beside it."""
    recipes = RECIPES[name]
    beside = random.choice(READERS[name].samples)[1]
    made = recipes[number % len(recipes)](random)
    return made if isinstance(made, tuple) else (made, beside)


def beside_of(suffix, make):
    """Return a recipe of a good file beside which something of harm lies."""

    def recipe(random):
        data, (name, _) = READERS[suffix].samples[-1 if suffix == "h5" else 0]
        return data, (name, make(random))

    return recipe


def safetensors(random):
    """Return a header that lies about names, shapes, dtypes, places or its own length."""
    dtype, size = random.choice(DTYPES), random.choice((0, 1, 2, 10**9, 1 << 62, -1, 2.5, "x", None))
    entry = {
        "dtype": dtype,
        "shape": [size] * random.choice((0, 1, 2, 9, 100)),
        "data_offsets": [0, random.choice((0, 8, 80, 1 << 62))],
    }
    header = {
        random.choice(NAMES): entry,
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [random.choice((0, 4, 8)), 12]},
    }
    header |= {"__metadata__": random.choice(({}, {"a": "b"}, {"a": 1}, [], None, {"x" * 10_000: "\x1b"}))}
    text = json.dumps(header).encode() if random.random() < 0.8 else random.choice(JSON)(random)
    length = len(text) if random.random() < 0.8 else random.choice((0, 1 << 20, 1 << 31, 1 << 40, (1 << 64) - 1))
    return struct.pack("<Q", length) + text + bytes(random.choice((0, 8, 12, 80)))


def empty_safetensors(random):
    """Return very many arrays of no elements, or with as many lengths of 0 and more."""
    count = random.choice((10, 1000, 30_000))
    shape = random.choice(([0], [0, 1 << 40], [0] * 60))
    header = {f"a{n}": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for n in range(count)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def npz_members(random):
    """Return members with headers that lie, names that lead elsewhere, or objects."""
    shape = random.choice(
        ((2,), (0,), (-1, -2), (10**12,), (1 << 62, 4), (0, 1 << 62), (1,) * 40, (2.5,), (True,), "x")
    )
    descr = random.choice(
        ("<f4", "|O", "<U3", "|V8", "<M8[s]", "<q9", [("a", "<f4")], "<f4,<f4", ">c16", "<f16", "('f4', (10**9,))")
    )
    header = repr({"descr": descr, "fortran_order": random.choice((True, False, 1)), "shape": shape})
    header = random.choice(
        (header, header, "(" * random.choice((50, 5000)), "__import__('os').system('true')", "{" + "1," * 5000)
    )
    member = npy(header[:60_000], bytes(random.choice((0, 8, 16, 32))))
    name = random.choice(("local.weight", *NAMES)) + random.choice((".npy", ".npy", ""))
    return archived([(name, member)], random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))


def npz_right(random):
    """Return arrays of unusual but right kinds: these must come out as they are."""
    file = io.BytesIO()
    kept = {f"a{n}": random_array(random) for n in range(random.randrange(1, 9))}
    order = random.choice((np.asfortranarray, np.ascontiguousarray))
    np.savez_compressed(file, **{name: order(array) if array.ndim else array for name, array in kept.items()})
    return file.getvalue(), None


def zeros_npz(random):
    """Return arrays of zeros, some of them more than may be unpacked."""
    size, count = random.choice(((1 << 20, 3), (1 << 26, 1), (1 << 25, 4), (1 << 27, 1), (10, 5000)))
    member = io.BytesIO()
    np.save(member, np.zeros(size // 4, np.float32))
    return archived([(f"a{n}.npy", member.getvalue()) for n in range(count)], zipfile.ZIP_DEFLATED)


def lying_zip(random):
    """Return an archive whose tables contradict each other: sizes, places, counts, methods, encryption, comments."""
    data = bytearray(random.choice((files.npz(), files.keras_zip())))
    mark = random.choice((b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"))
    place = data.find(mark) + random.randrange(4, 22 if mark != b"PK\x01\x02" else 46)
    width = random.choice((1, 2, 4))
    data[place : place + width] = random.choice((0, 1, 8, 0x7F, 0xFF)).to_bytes(1, "little") * width
    return bytes(data) + random.choice((b"", b"PK\5\6" + bytes(18), b"x" * 70_000))


def inside_itself(random):
    """Return an archive that holds an archive, a link, or a folder."""
    info = zipfile.ZipInfo(random.choice(("model.weights.h5", "config.json", "local.weight.npy", "assets/")))
    info.external_attr = random.choice((0o120777, 0o040755, 0o100644)) << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, random.choice((b"/etc/passwd", files.keras_zip(), files.npz(), b"")))
    return file.getvalue()


def keras_config(random):
    """Return a model whose configuration is of harm and its weights good."""
    settings = {
        random.choice(("filters", "kernel_size", "strides", "implementation", "padding", "name", "units")): json.loads(
            random.choice(("null", "-1", "1e18", "[0]", '"x"', "{}", "[[]]", "100000000000000000000", '"\\u001b[2J"'))
        )
    }
    text = json.dumps(files.model_config(**settings)) if random.random() < 0.5 else random.choice(JSON)(random)
    return files.keras_zip(config=text)


def nested_model(random):
    """Return models inside each other, or very many layers."""
    depth = random.choice((2, 20, 90, 400))
    model = files.model_config()
    for number in range(depth):
        inner = {"class_name": "Sequential", "config": {"name": f"m{number}", "layers": [model]}}
        model = inner if random.random() < 0.9 else inner | {"config": {"layers": [model] * 2}}
    many = files.model_config()
    many["config"]["layers"] *= random.choice((1, 300, 3000))
    try:
        return files.keras_zip(config=json.dumps(random.choice((model, many))))
    except RecursionError:
        return files.keras_zip()


def weights_in_keras(random):
    """Return a Keras archive around an HDF5 file of harm."""
    return files.keras_zip(weights=random.choice(HDF5)(random))


def darknet(random):
    """Return a header of another version, or another length."""
    version = struct.pack("<iii", *(random.choice((0, 1, 2, -1, 1001, (1 << 31) - 1)) for _ in range(3)))
    return (
        version
        + files.DARKNET[12 : random.choice((12, 14, 16, 20, 100, 10**6))]
        + bytes(random.choice((0, 4, 1 << 20)))
    )


def cfg(random):
    """Return sections with sizes of harm, or without end."""
    size = random.choice(("0", "-1", "1000000000", "9" * 400, "x", "", "4" * 5000, "2.5", "nan"))
    key = random.choice((b"height", b"width", b"channels", b"filters", b"size", b"stride", b"pad"))
    text = CFG.replace(key + b"=", key + b"=" + size.encode() + b"\n" + key + b"_=")
    texts = (
        text,
        CFG * random.choice((1, 300)),
        CFG + b"[local]\n" * 2000,
        b"[" * 10_000,
        b"[net]\n" + b"x=1\n" * 20_000,
    )
    return files.DARKNET, ("m.cfg", random.choice((*texts, *(make(random) for make in (not_text, nested)))))


def report(random):
    """Return a report with very many rows, or with values of harm."""
    value = json.loads(READERS["report.json"].samples[0][0])
    rows = value["outcomes"]
    row = rows[0] | {
        random.choice(list(rows[0])): random.choice((None, -1, 1e308, "x" * 10_000, [], {}, "\x1b[2J", 10**300))
    }
    value["outcomes"] = random.choice(([*rows, row], [row], rows * 1000, [*rows, {}]))
    return json.dumps(value).encode()


def results(random):
    """Return a result of every dtype and shape that a header can name."""
    data = bytes(random.choice((0, 4, 24, 48)))
    shape = random.choice(([2, 3], [3, 2], [6], [], [0], [1 << 62, 4], [-2, -3], [1] * 70, [2, 3, 1]))
    header = {
        random.choice(("y", "dx", *NAMES)): {
            "dtype": random.choice(DTYPES),
            "shape": shape,
            "data_offsets": [0, len(data)],
        }
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(random):
    """Return a tensor in JSON that is not what it says."""
    text = random.choice(("", "AAAA", "A" * 100_000, "\u00e9" * 8, "====", "AAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
    shape = random.choice(([2, 3], [], [0], [10**30, 0], [1] * 100, [10**9, 10**9], [True], [1.0]))
    return json.dumps({"dtype": random.choice(DTYPES), "shape": shape, "data": text}).encode()


def messages(random):
    """Return lines of which one announces too much, or that are no message."""
    size = random.choice(("0", "5", "-1", "1e3", "99999999999999", "null", "true"))
    line = MARK + b'{"event": "%b", "bytes": %b}\n' % (
        random.choice((b"loaded", b"answer", b"x", b"done")),
        size.encode(),
    )
    return random.choice(
        (line * 100, line + bytes(100), MARK + nested(random) + b"\n", MARK * 1000, line[:-3], MARK + b"x" * 100_000)
    )


ARCHIVES = (lying_zip, inside_itself)
RECIPES = {
    "h5": (*HDF5, *(beside_of("h5", make) for make in JSON)),
    "keras": (keras_config, nested_model, weights_in_keras, *ARCHIVES),
    "npz": (npz_members, npz_members, npz_right, zeros_npz, *ARCHIVES, *(beside_of("npz", make) for make in JSON)),
    "safetensors": (safetensors, safetensors, empty_safetensors, *(beside_of("safetensors", make) for make in JSON)),
    "weights": (darknet, cfg, beside_of("weights", huge_spec)),
    "spec.json": JSON,
    "report.json": (report, wide, nested, odd_json, not_text),
    "results": (results, safetensors, empty_safetensors),
    "tensor.json": (tensor, nested, odd_json, not_text),
    "messages": (messages,),
}
"""Suffix -> kinds of harm, which take turns."""
