"""Files of weights, read without anything of this project: what each array holds, to hold the answers against."""

import hashlib
import io
import json
import struct
import zipfile

import h5py
import ml_dtypes
import numpy as np

DTYPES = {"BOOL": "?", "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}
DTYPES |= {"C64": "c8", "F16": "f2", "F32": "f4", "F64": "f8"}
DTYPES |= {f"{kind}{bits}": f"{kind.lower()}{bits // 8}" for kind in "IU" for bits in (8, 16, 32, 64)}


def digest(array):
    """Return what tells an array from another: its shape, its dtype and its numbers."""
    array = np.asarray(array)
    native = array.astype(array.dtype.newbyteorder("="))
    return f"{native.dtype} {native.shape} {hashlib.sha256(native.tobytes()).hexdigest()}"


def arrays(path, suffix):
    """Return name -> digest of a file's arrays."""
    return {name: digest(array) for name, array in READERS[suffix](path.read_bytes()).items()}


def _npz(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def _safetensors(data):
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, facts in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            start, end = facts["data_offsets"]
            part = data[8 + size + start : 8 + size + end]
            found[name] = np.frombuffer(part, DTYPES[facts["dtype"]]).reshape(facts["shape"])
    return found


def _hdf5(data):
    """Return the arrays; those of a whole model also without its group, which a file of damaged configuration keeps."""
    found = {}

    def visit(prefix, group):
        for name, node in group.items():  # not `visititems`, which comes to each object once, at one of its places
            if isinstance(node, h5py.Dataset):
                found[f"{prefix}{name}"] = found[f"{prefix}{name}".removeprefix("model_weights/")] = node[()]
            else:
                visit(f"{prefix}{name}/", node)

    with h5py.File(io.BytesIO(data), "r") as file:
        visit("", file)
    return found


def _keras(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _hdf5(archive.read("model.weights.h5"))


def _darknet(data):
    major, minor = struct.unpack("<ii", data[:8])
    return {"": np.frombuffer(data[20 if major * 10 + minor >= 2 else 16 :], "<f4")}


READERS = {".npz": _npz, ".safetensors": _safetensors, ".h5": _hdf5, ".keras": _keras, ".weights": _darknet}
