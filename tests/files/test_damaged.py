"""Over 200 files that are cut short, altered or made to harm: each is refused in words, and nothing is written."""

import io
import json
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.convert import convert
from lcl_ref.files import convert_file, open_weights, specs
from lcl_ref.files.hdf5.process import Hdf5
from tests.support.marks import quick
from tests.support.tables import table

WRONG = table(__file__, "damaged.json")
"""What is wrong -> what stands in its place, for each kind of text in a file."""

SPEC = lcl.Spec(input_size=7, in_channels=2, out_channels=3, kernel_size=2, stride=2)
WEIGHT = np.arange(np.prod(SPEC.weight_shape), dtype=np.float32).reshape(SPEC.weight_shape)
BIAS = np.arange(np.prod(SPEC.bias_shape), dtype=np.float32).reshape(SPEC.bias_shape)
KERAS = "keras2/impl3/channels_last"
KERNEL, KERAS_BIAS = lcl.layouts.convert(SPEC, WEIGHT, BIAS, source="canonical", target=KERAS)


def model_config(**changes):
    """A Keras model of one locally connected layer; `changes` are made to its settings."""
    settings = {"name": "local", "filters": 3, "kernel_size": [2], "strides": [2], "padding": "valid", "use_bias": True}
    settings |= {"data_format": "channels_last", "implementation": 3, "activation": "linear"}
    layers = [
        {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, 7, 2]}},
        {"class_name": "LocallyConnected1D", "config": settings | changes},
    ]
    return {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}


def hdf5(fill):
    """Return the bytes of an HDF5 file that `fill` makes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    return memory.getvalue()


def keras_h5(config=None, kernel=KERNEL, extra=None):
    """Return a whole-model file; `extra` adds to its weights."""

    def fill(file):
        file.attrs["model_config"] = json.dumps(model_config()) if config is None else config
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"in", b"local"])
        group["local/local/kernel:0"], group["local/local/bias:0"] = kernel, KERAS_BIAS
        if extra is not None:
            extra(group)

    return hdf5(fill)


def keras_weights(file):
    for number, array in enumerate((KERNEL, KERAS_BIAS)):
        file[f"layers/locally_connected1d/vars/{number}"] = array


def archive(members, compression=zipfile.ZIP_STORED):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return memory.getvalue()


def keras_zip(extra=(), config=None, weights=None):
    config = json.dumps(model_config()) if config is None else config
    weights = hdf5(keras_weights) if weights is None else weights
    return archive([("metadata.json", "{}"), ("config.json", config), ("model.weights.h5", weights), *extra])


def npz(**arrays):
    memory = io.BytesIO()
    np.savez(memory, **({"local.weight": WEIGHT, "local.bias": BIAS} | arrays))
    return memory.getvalue()


SQUARE = lcl.Spec(input_size=(4, 4), in_channels=1, out_channels=2, kernel_size=2)
DARKNET = struct.pack("<iiiQ", 0, 2, 0, 0) + b"".join(
    array.astype("<f4").tobytes()
    for array in lcl.layouts.convert(
        SQUARE, np.ones(SQUARE.weight_shape), np.ones(SQUARE.bias_shape), source="canonical", target="darknet"
    )[::-1]
)
SAFE = safetensors.numpy.save({"local.weight": WEIGHT, "local.bias": BIAS})


def document(**changes):
    """Return the description of a layer in a file without a configuration."""
    layer = {"name": "local", "layout": "canonical", "weight": "local.weight", "bias": "local.bias"}
    layer["spec"] = SPEC.to_dict()
    return {"format": "lcl-weights/1", "layers": [layer | changes]}


GOOD = {
    ".h5": (keras_h5(), None),
    ".keras": (keras_zip(), None),
    ".npz": (npz(), document()),
    ".safetensors": (SAFE, document()),
    ".weights": (DARKNET, document(layout="darknet", spec=SQUARE.to_dict())),
    "plain.h5": (hdf5(lambda file: file.update({"local.weight": WEIGHT, "local.bias": BIAS})), document()),
}
"""Kind of file -> a good one, and the description beside it."""

TRICKS = ("../evil", "/etc/evil", "a/../../b", "a//b", "..\\evil", "a\x1b[2Jb")
"""Names that no array and no member may have."""

DAMAGED = {}
"""Name -> (suffix, bytes, description beside it)."""


def add(name, suffix, data, beside=None):
    assert name not in DAMAGED
    DAMAGED[name] = suffix, data, beside if beside is not None else GOOD[suffix][1]


def at_once(build):
    """Let a function add its files where it stands."""
    build()
    return build


@at_once
def cut_and_grown():
    for suffix, (data, _) in GOOD.items():
        size = len(data)
        for length in sorted({0, 1, 3, 7, 11, 40, size // 10, size // 3, size // 2, 3 * size // 4, size - 1}):
            add(f"cut {suffix} to {length}", suffix, data[:length])


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]


@at_once
def altered_hdf5():
    """Flip bytes of the superblock, and of the marks of the structures that hold names and links."""
    for suffix in (".h5", "plain.h5"):
        data = GOOD[suffix][0]
        for place in (0, 1, 4, 8, 13, 14):
            add(f"flip {suffix} superblock byte {place}", suffix, flipped(data, place))
        for mark in (b"TREE", b"SNOD", b"HEAP", b"GCOL"):
            place, count = data.find(mark), 0
            while place >= 0 and count < 6:
                add(f"flip {suffix} {mark.decode()} at {place}", suffix, flipped(data, place + 1))
                place, count = data.find(mark, place + 1), count + 1


@at_once
def altered_archives():
    """Flip bytes of members, which have a checksum, and of the directory."""
    for suffix in (".keras", ".npz"):
        data = GOOD[suffix][0]
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = [info for info in file.infolist() if info.filename != "metadata.json"]
        for info in members:
            name, extra = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
            start = info.header_offset + 30 + name + extra
            for place in range(start, start + info.file_size, info.file_size // 3):
                add(f"flip {suffix} {info.filename} at {place}", suffix, flipped(data, place))
        for mark in (b"PK\x05\x06", b"PK\x01\x02"):
            add(f"flip {suffix} {mark!r}", suffix, flipped(data, data.rfind(mark)))


@at_once
def altered_headers():
    header = struct.unpack("<Q", SAFE[:8])[0]
    for place in (0, 1, 3, 7, 8, 8 + header - 1):
        add(f"flip .safetensors byte {place}", ".safetensors", flipped(SAFE, place))
    for word in (b"dtype", b"F32", b"shape", b"data_offsets", b"local.weight", b":", b"["):
        add(f"flip .safetensors {word.decode()}", ".safetensors", flipped(SAFE, SAFE.find(word)))
    add("grown .safetensors", ".safetensors", SAFE + b"\0")
    add("grown .weights", ".weights", DARKNET + b"\0\0\0\0")
    for name, version in (("negative", (-1, 2, 0)), ("transposed", (1001, 0, 0)), ("old", (0, 1, 0))):
        add(f".weights version {name}", ".weights", struct.pack("<iii", *version) + DARKNET[12:])


def safe_header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@at_once
def absurd_safetensors():
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    headers = {
        "length 2**60": struct.pack("<Q", 1 << 60) + SAFE[8:],
        "length 2**31": struct.pack("<Q", 1 << 31) + SAFE[8:],
        "deep nesting": safe_header(b"[" * 200_000),
        "no JSON": safe_header(b"not json", b"\0" * 8),
        "half a name": safe_header(b'{"a', b"\0" * 8),
    }
    for name, header in WRONG["headers of a .safetensors file"].items():
        headers[name] = safe_header(header, b"\0" * (12 if "b" in header else 8))
    for name, data in headers.items():
        add(f".safetensors {name}", ".safetensors", data)
    for trick in (*TRICKS, "", "a\0b"):
        add(f".safetensors named {trick!r}", ".safetensors", safe_header({trick: entry}, b"\0" * 8))


def npy(header, data=b"", version=b"\x01\x00"):
    text = header if isinstance(header, bytes) else repr(header).encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


NPY = {"descr": "<f4", "fortran_order": False, "shape": (2,)}
MEMBERS = {
    "array of 10**12": npy(NPY | {"shape": (10**12,)}, b"\0" * 8),
    "negative length": npy(NPY | {"shape": (-2,)}, b"\0" * 8),
    "shape of floats": npy(NPY | {"shape": (2.5,)}, b"\0" * 8),
    "objects": npy(NPY | {"descr": "|O"}, b"\0" * 8),
    "records": npy(NPY | {"descr": [("a", "<f4")]}, b"\0" * 8),
    "text": npy(NPY | {"descr": "<U2"}, b"\0" * 16),
    "unknown dtype": npy(NPY | {"descr": "<q9"}, b"\0" * 8),
    "an expression": npy(b"__import__('os').system('true')"),
    "deep nesting": npy(b"(" * 9000),
    "missing keys": npy({"descr": "<f4"}, b"\0" * 8),
    "version 9": npy(NPY, b"\0" * 8, b"\x09\x00"),
    "no magic": b"nothing" * 8,
    "too short": npy(NPY, b"\0" * 4),
    "too long": npy(NPY, b"\0" * 12),
}
"""What is wrong -> bytes of a member of a .npz file."""


@at_once
def absurd_npz():
    for name, data in MEMBERS.items():
        add(f".npz {name}", ".npz", archive([("local.weight.npy", data)]))
    for trick in (*(f"{trick}.npy" for trick in (*TRICKS, "")), "a.txt", "a.pkl", "dir/"):
        add(f".npz member {trick!r}", ".npz", archive([(trick, npy(NPY, b"\0" * 8))]))


@at_once
def hostile_npz():
    zeros = npy(NPY | {"shape": (1 << 25,)}, bytes(1 << 27))
    add(".npz bomb", ".npz", archive([("local.weight.npy", zeros)], zipfile.ZIP_DEFLATED))
    with pytest.warns(UserWarning, match="Duplicate"):
        add(".npz twice", ".npz", archive([("a.npy", npy(NPY, b"\0" * 8))] * 2))
    locked = bytearray(npz())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.find(mark) + offset] |= 1
    add(".npz encrypted", ".npz", bytes(locked))


@at_once
def hostile_hdf5():
    def loop(group):
        group["local/again"] = group

    def deep(group):
        for number in range(100):
            group = group.create_group(f"g{number}")
        group["x"] = np.zeros(2)

    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    extras = {
        "soft link": lambda group: group.__setitem__("x", h5py.SoftLink("/elsewhere")),
        "external link": lambda group: group.__setitem__("x", h5py.ExternalLink("/etc/evil.h5", "/x")),
        "external data": lambda group: group.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)]),
        "virtual data": lambda group: group.create_virtual_dataset("x", layout),
        "loop": loop,
        "depth": deep,
        "array of 10**12": lambda group: group.create_dataset("x", (10**12,), "f4", chunks=(1024,)),
        "bomb": lambda group: group.create_dataset("x", (1 << 40,), "u1", chunks=(1 << 20,), compression="gzip"),
        "text": lambda group: group.create_dataset("x", data=["a", "b"]),
        "records": lambda group: group.create_dataset("x", (2,), [("a", "f4")]),
        "references": lambda group: group.create_dataset("x", (2,), h5py.ref_dtype),
        "no shape": lambda group: group.create_dataset("x", data=h5py.Empty("f4")),
        "named type": lambda group: group.__setitem__("x", np.dtype("f4")),
        "dots": lambda group: group.create_dataset("../x", data=np.zeros(2)),
    }
    for name, extra in extras.items():
        add(f".h5 {name}", ".h5", keras_h5(extra=extra))
    add(
        ".h5 without weights", ".h5", hdf5(lambda file: file.attrs.update({"model_config": json.dumps(model_config())}))
    )


@at_once
def hostile_configurations():
    texts = {
        "no JSON": "{not json",
        "deep nesting": "[" * 100_000,
        "huge number": json.dumps(model_config(filters=10)).replace("10", "1" * 10_000),
    }
    texts |= {name: json.dumps(config) for name, config in WRONG["configurations of a Keras model"].items()}
    for name, change in WRONG["settings of the layer of a Keras model"].items():
        texts[name] = json.dumps(model_config(**change))
    for name, text in texts.items():
        add(f".h5 configuration {name}", ".h5", keras_h5(text))
        if name != "another name":  # there, places follow the class, not the name
            add(f".keras configuration {name}", ".keras", keras_zip(config=text))
    for name, kernel in (("short", KERNEL[:-1]), ("long", np.append(KERNEL, KERNEL)), ("flat", KERNEL[:, None])):
        add(f".h5 kernel {name}", ".h5", keras_h5(kernel=kernel))


@at_once
def hostile_archives():
    for trick in (*TRICKS, "./config.json"):
        add(f".keras member {trick!r}", ".keras", keras_zip([(trick, b"x")]))
    add(
        ".keras bomb",
        ".keras",
        archive([("config.json", bytes(1 << 27)), ("model.weights.h5", b"")], zipfile.ZIP_DEFLATED),
    )
    add(".keras without weights", ".keras", archive([("config.json", json.dumps(model_config()))]))
    add(".keras without configuration", ".keras", archive([("model.weights.h5", hdf5(keras_weights))]))
    add(".keras with an archive as weights", ".keras", keras_zip(weights=keras_zip()))
    add(".keras with cut weights", ".keras", keras_zip(weights=hdf5(keras_weights)[:-200]))
    with pytest.warns(UserWarning, match="Duplicate"):
        add(".keras with two configurations", ".keras", keras_zip([("config.json", b"{}")]))


@at_once
def hostile_descriptions():
    beside = WRONG["descriptions"] | {"a layer twice": document() | {"layers": document()["layers"] * 2}}
    for name, change in WRONG["entries of the layer in a description"].items():
        beside[name] = document(**change)
    for name, change in WRONG["entries of its specification"].items():
        beside[name] = document(spec=SPEC.to_dict() | change)
    beside["spec huge"]["layers"][0]["layout"] = KERAS
    for name, values in beside.items():
        add(f"description {name}", ".npz", npz(), values)


def put(folder, suffix, data, beside):
    path = folder / f"model{suffix}" if suffix.startswith(".") else folder / suffix
    path.write_bytes(data)
    if beside is not None:
        specs.beside(path).write_text(json.dumps(beside))
    return path


@pytest.mark.parametrize("suffix", GOOD)
def test_the_undamaged_file_converts(suffix, tmp_path):
    data, beside = GOOD[suffix]
    report = convert_file(
        put(tmp_path, suffix, data, beside), tmp_path / "out.npz", source="stored", target="canonical"
    )
    assert [layer.name for layer in report.layers] == ["local"]


def test_there_are_more_than_two_hundred():
    assert len(DAMAGED) > 200


@pytest.mark.parametrize("name", quick(DAMAGED, every=5))
def test_damaged_file_is_refused_in_words_and_nothing_is_written(name, tmp_path):
    suffix, data, beside = DAMAGED[name]
    path = put(tmp_path, suffix, data, beside)
    before = sorted(tmp_path.iterdir())
    words = [str(path), str(tmp_path / "out.npz"), "--from", "stored", "--to", "canonical"]
    result = CliRunner().invoke(convert, words)
    assert isinstance(result.exception, lcl.LclError), result.exception or result.output
    text = str(result.exception)
    assert ": got " in text
    assert len(text) < 1500
    assert "\x1b" not in text
    assert "\0" not in text
    assert sorted(tmp_path.iterdir()) == before


def test_a_reader_that_dies_is_an_error_and_not_the_end(tmp_path):
    path = put(tmp_path, "plain.h5", *GOOD["plain.h5"])
    file = Hdf5(path)
    tensor, _ = file.datasets["local.weight"]
    file._process.kill()
    file._process.wait()
    with pytest.raises(lcl.FileError, match=r"plain\.h5: got .*dataset 'local.weight', whole and undamaged"):
        tensor.read()
    file.close()


def test_no_reader_is_left_behind(tmp_path):
    with open_weights(put(tmp_path, ".h5", *GOOD[".h5"])) as file:
        process = file.handle._process
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.parametrize("suffix", quick(GOOD, every=2))
def test_random_damage_is_refused_or_harmless(suffix, tmp_path):
    """Bytes anywhere: what still converts holds arrays of the same shapes, and nothing else happens."""
    data, beside = GOOD[suffix]
    draw = np.random.default_rng(zlib.crc32(suffix.encode()))
    for _ in range(12):
        damaged = bytearray(data)
        for place in draw.integers(0, len(data), draw.integers(1, 12)):
            damaged[place] ^= int(draw.integers(1, 256))
        path = put(tmp_path, suffix, bytes(damaged), beside)
        try:
            report = convert_file(path, tmp_path / "out.npz", source="stored", target="canonical")
        except lcl.LclError:
            assert not (tmp_path / "out.npz").exists()
            continue
        assert report.layers[0].spec.weight_shape == (SQUARE if suffix == ".weights" else SPEC).weight_shape
        (tmp_path / "out.npz").unlink()
