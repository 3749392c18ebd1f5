"""Crafted HDF5 files: links, sizes, types and attributes that no model has."""

import io
import struct

import h5py
import numpy as np

from tests.files.test_damaged import keras_h5


def filled(fill, **options):
    """Return a file that a function fills."""
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as opened:
        fill(opened)
    return file.getvalue()


def diamonds(random):
    """Groups joined by several hard links each, some of which lead back."""

    def fill(file):
        group = first = file.create_group("a")
        for _ in range(random.choice((3, 40, 100))):
            new = file.create_group("new")
            group["left"] = new
            if random.random() < 0.9:
                group["right"] = new
            del file["new"]
            group = new
        if random.random() < 0.5:
            group["back"] = first

    return filled(fill)


def links(random):
    """Links to elsewhere: soft, external, to nothing, to themselves."""
    made = (
        h5py.SoftLink("/a"),
        h5py.SoftLink("/no/such"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        h5py.SoftLink("/link"),
    )

    def fill(file):
        file["a"] = np.zeros(3)
        file["link"] = random.choice(made)

    return filled(fill)


def many(random):
    """Very many arrays, groups, attributes, or places of one array."""
    count = random.choice((10, 500, 3000))

    def fill(file):
        file.create_dataset("x", data=np.zeros(1 << random.choice((1, 18, 22)), "f4"), compression=1, chunks=True)
        for number in range(count):
            change = random.randrange(4)
            if change == 0:
                file[f"l{number}"] = file["x"]
            elif change == 1:
                file.create_group(f"g{number}")
            elif change == 2:
                file.attrs[f"a{number}"] = "x" * 100
            else:
                file[f"n{number}"] = number

    return filled(fill, libver=random.choice(("earliest", "latest")))


def declared(random):
    """Arrays that say they are larger than their file, in chunks of all sizes and with all filters."""
    size = random.choice((0, 1, 1000, 1 << 24, 1 << 31, 1 << 40))
    chunk = min(size, random.choice((1, 1000, 1 << 20, 1 << 28))) or 1
    filters = random.choice(
        (
            {},
            {"compression": "gzip"},
            {"compression": "lzf"},
            {"fletcher32": True},
            {"scaleoffset": 4},
            {"shuffle": True},
        )
    )
    kind = random.choice(("f4", "i2", "u1"))
    filters = {} if "scaleoffset" in filters and kind == "f4" else filters

    def fill(file):
        made = file.create_dataset(
            "local.weight", (size,), kind, chunks=(chunk,), maxshape=(None,), fillvalue=7, **filters
        )
        if size >= 1000:
            made[:100] = 1

    return filled(fill)


def types(random):
    """Types that are no plain numbers."""
    kinds = (
        np.dtype([("a", "f4"), ("b", "i2")]),
        h5py.ref_dtype,
        h5py.string_dtype(),
        h5py.vlen_dtype("f4"),
        h5py.enum_dtype({"A": 0}),
        np.dtype("S20"),
        np.dtype("V8"),
        np.dtype(("f4", (3,))),
        h5py.opaque_dtype("M8[s]"),
        np.dtype(">f8"),
        np.dtype("c8"),
        np.dtype("f2"),
        np.dtype("?"),
    )
    return filled(lambda file: file.create_dataset("local.weight", (random.choice((0, 2)), 3), random.choice(kinds)))


def shapes(random):
    """No shape, no axes, no elements, very many axes."""
    made = (
        h5py.Empty("f4"),
        np.float32(3),
        np.zeros((0, 5)),
        np.zeros((1,) * 30),
        np.zeros((2, 0, 3), "i1"),
        np.ones(4, ">i2"),
    )
    return filled(lambda file: file.update({"local.weight": random.choice(made), "b": 1}))


def elsewhere(random):
    """Data that is kept in other files."""
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(random.choice((".", "/etc/hostname", "other.h5")), "y", (4,))

    def fill(file):
        file["y"] = np.arange(4, dtype="f4")
        if random.random() < 0.5:
            file.create_virtual_dataset("x", layout)
        else:
            file.create_dataset("x", (4,), "u1", external=[(random.choice(("/etc/passwd", "/dev/zero", "../x")), 0, 4)])

    return filled(fill)


def attributes(random):
    """Attributes that are large, of all types, or names of arrays that are not there."""
    values = (
        ["x" * (1 << 16)] * random.choice((3, 300)),
        "[" * 60_000,
        np.zeros(8000, "f8"),
        h5py.Empty("f4"),
        np.array([b"\xff\xfe"]),
        "\x1b]0;owned\x07",
        np.array([1, 2]),
        "9" * 10_000,
        b"\x80",
    )
    names = random.choice(("model_config", "layer_names", "weight_names", "keras_version", "backend", "x\x1b[2J"))

    def fill(group):
        place = random.choice((group, group["local"], group.file))
        place.attrs.create(names, random.choice(values[1:] if random.random() < 0.8 else values[:1]))

    return keras_h5(extra=fill)


def one_text_many_times(random):
    """An attribute of texts that all stand at the place of one long one."""
    count, size = random.choice((20, 500)), random.choice((1 << 10, 1 << 18))
    data = bytearray(
        filled(lambda file: file.attrs.create("big", ["x" * size] + ["y" * 7] * (count - 1), dtype=h5py.string_dtype()))
    )
    place = data.find(struct.pack("<I", size))
    while place >= 0 and data[place + 16 : place + 20] != struct.pack("<I", 7):
        place = data.find(struct.pack("<I", size), place + 1)
    for number in range(1, count if place >= 0 else 0):
        data[place + 16 * number : place + 16 * number + 16] = data[place : place + 16]
    return bytes(data)


def deep(random):
    """Groups inside each other, or names that are long or lead elsewhere."""

    def fill(file):
        group = file
        for number in range(random.choice((3, 63, 65, 400))):
            group = group.create_group(random.choice((f"g{number}", "x" * 900, "...", "a b")))
        group["local.weight"] = np.zeros(2)

    return filled(fill)


def layers(random):
    """Two arrays that could be a layer's, a layer without any, another order of them."""

    def fill(group):
        local = group["local/local"]
        change = random.randrange(4)
        if change == 0:
            local["kernel"] = local["kernel:0"][()] * 2
        elif change == 1:
            del local["kernel:0"]
        elif change == 2:
            group["local"].attrs["weight_names"] = [b"local/bias:0", b"local/kernel:0", b"../x"][: random.randrange(4)]
        else:
            group.move("local", random.choice(("else", "Local", "local_1", "in")))

    return keras_h5(extra=fill)


def cut(random):
    """A good file that ends early, goes on, or begins later."""
    data = keras_h5()
    begin = random.choice((b"", bytes(512), bytes(1024), b"x"))
    return begin + random.choice((data[: random.randrange(len(data))], data + bytes(random.randrange(5000)), data * 2))


HDF5 = (diamonds, links, many, declared, types, shapes, elsewhere, attributes, one_text_many_times, deep, layers, cut)
