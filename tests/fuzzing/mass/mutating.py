"""Mutated files: bytes changed anywhere, or a value deep inside changed and everything around it put right again."""

import io
import json
import struct
import zipfile

import numpy as np

from lcl_ref.suite.report.document import count_states, sealed

NUMBERS = [0, 1, 2, 3, 7, 8, 255, 256, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40]
NUMBERS += [(1 << 63) - 1, 1 << 63, (1 << 64) - 1]
VALUES = [None, True, False, 0, 1, -1, 2.5, 1e308, -0.0, 10**18, 10**400]
VALUES += ["", "x", "\x1b[2J", "\ud83d", "../x", "x" * 5000]
VALUES += [[], {}, [[]], [0], [-1, 2], [10**9] * 3, {"a": {}}, [None], "channels_first", "valid", "same", "float64"]


def mutated(data, name, random):
    """Return a file with one to three changes, most often in the manner of its format."""
    for _ in range(random.choice((1, 1, 2, 3))):
        structured = STRUCTURED.get(name, STRUCTURED.get(name.rpartition(".")[2]))
        try:
            data = structured(data, random) if structured and random.random() < 0.5 else scratched(data, random)
        except Exception:  # noqa: BLE001 -- whatever an earlier change did, this one must find the structure it left
            data = scratched(data, random)
    return data


def scratched(data, random):
    """Return bytes with a piece changed, put in, cut out, doubled or moved."""
    place, length = random.randrange(len(data) + 1), random.choice((1, 1, 2, 4, 8, 16, 100))
    rest, piece = data[place + length :], data[place : place + length]
    other = random.randrange(len(data) + 1)
    width = random.choice((1, 2, 4, 8))
    number = (random.choice(NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, random.choice(("little", "big")))
    changes = (
        lambda: bytes([piece[0] ^ 1 << random.randrange(8)]) + piece[1:] + rest if piece else b"\0",
        lambda: random.randbytes(len(piece)) + rest,
        lambda: number + data[place + width :],
        lambda: number + data[place:],
        lambda: rest,
        lambda: piece + piece + rest,
        lambda: data[other : other + length] + rest,
        lambda: b"" if random.random() < 0.3 else rest,
    )
    return data[:place] + random.choice(changes)()


def json_changed(text, random):
    """Return a JSON text in which one value, somewhere, is another, missing, twice or elsewhere."""
    value = json.loads(text)
    places = list(_places(value))
    holder, key = random.choice(places)
    change = random.randrange(6)
    if change == 0:
        del holder[key]
    elif change == 1:
        from_holder, from_key = random.choice(places)
        holder[key] = json.loads(json.dumps(from_holder[from_key]))
    elif change == 2 and isinstance(holder, dict):
        holder[random.choice(("x", "", "name", "\x1b[31m", str(key) + "\0"))] = holder.pop(key)
    elif change == 3 and isinstance(holder[key], int):
        holder[key] += random.choice((-1, 1, 2, 1 << 31, 1 << 62))
    else:
        holder[key] = random.choice(VALUES)
    return json.dumps(value).encode()


def report_changed(text, random):
    """Return a report with a change, and the counts and the seal that it should then have."""
    value = json.loads(json_changed(text, random))
    if isinstance(value["outcomes"], list) and random.random() < 0.7:
        value["summary"] = count_states(row["state"] for row in value["outcomes"])
    return json.dumps(sealed(value)).encode()


def _places(value):
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield value, key
        yield from _places(one)


def safetensors_changed(data, random):
    """Return a file whose header is changed, with a length that fits."""
    size = int.from_bytes(data[:8], "little")
    header = json_changed(data[8 : 8 + size], random)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def zip_changed(data, random):
    """Return an archive one of whose members is changed, renamed, missing or packed, with checksums that fit."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [[info.filename, archive.read(info)] for info in archive.infolist()]
    number = random.randrange(len(members))
    name, inside = members[number]
    change = random.randrange(8)
    if change == 0:
        del members[number]
    elif change == 1:
        members[number][0] = random.choice(("../" + name, name + ".npy", "", "a" * 300, name.upper(), "\x1b" + name))
    elif change == 2:
        members.append(list(random.choice(members)))
    else:
        members[number][1] = _member_changed(name, inside, random)
    return archived(members, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))


def _member_changed(name, inside, random):
    if name.endswith(".json"):
        return json_changed(inside, random)
    if name.endswith(".npy") and random.random() < 0.7:
        return npy_changed(inside, random)
    return scratched(inside, random) if inside else b"\0"


def archived(members, compression=zipfile.ZIP_STORED):
    """Return an archive of such members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, inside in members:
            archive.writestr(zipfile.ZipInfo(name) if name else zipfile.ZipInfo("x"), inside, compression)
    return file.getvalue()


SHAPES = [(), (0,), (1,), (-1,), (2,), (3, 2), (10**9, 10**9), (1 << 62, 4), (0, 1 << 62), (1,) * 40, (2.5,), "x", None]
DESCRIPTIONS = ["<f4", ">f4", "<f8", "<f2", "|b1", "|u1", "<c8", "|O", "<U3", "<M8[s]", [("a", "<f4")], "<f3", 3, None]


def npy_changed(data, random):
    """Return a .npy file with another header."""
    size = int.from_bytes(data[8:10], "little")
    header = {"descr": "<f4", "fortran_order": False, "shape": (3, 2, 2, 3)}
    header[random.choice((*header, "more"))] = random.choice((*SHAPES, *DESCRIPTIONS, True))
    if random.random() < 0.5:
        header["shape"] = random.choice(SHAPES)
    return npy(repr(header), data[10 + size :])


def npy(header, data):
    """Return a .npy file with this header."""
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def cfg_changed(data, random):
    """Return lines of which one is missing, doubled, moved, or has another value."""
    lines = data.decode().splitlines()
    number = random.randrange(len(lines))
    line = lines.pop(number)
    name = line.partition("=")[0]
    words = ["", line, f"{line}\n{line}", f"{name}={random.choice(('0', '-1', '', 'x', '1e9', '9' * 30, '2.5', '٣'))}"]
    lines.insert(random.randrange(len(lines) + 1) if random.random() < 0.3 else number, random.choice(words))
    return "\n".join(lines).encode()


STRUCTURED = {
    "json": json_changed,
    "report.json": report_changed,
    "safetensors": safetensors_changed,
    "results": safetensors_changed,
    "npz": zip_changed,
    "keras": zip_changed,
    "cfg": cfg_changed,
}
"""Suffix -> a change that leaves the rest of such a file as it must be."""


def random_array(random):
    """Return an array of some numeric dtype and shape."""
    shape = tuple(random.choice((0, 1, 2, 3, 5)) for _ in range(random.randrange(4)))
    return np.ones(shape, random.choice(("f2", "f4", "f8", "i1", "u8", "?", "c8", ">f4")))
