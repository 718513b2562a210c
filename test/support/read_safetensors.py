"""A reader of ternseed's safetensors exports written from docs/exchange.md alone, in Python's standard
library: prints the metadata, the integers of every tensor, and the SHA-256 that weightsHash is defined as."""

import hashlib
import json
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length].decode("utf-8"))
    metadata = header.pop("__metadata__", {})
    body = data[8 + length :]
    tensors = {}
    covered = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert begin == covered, f"{name} begins at {begin}, not {covered}"
        covered = end
        tensors[name] = (entry["dtype"], entry["shape"], body[begin:end])
    assert covered == len(body)
    return metadata, tensors


def trits(packed, size):
    values = [byte // 3**place % 3 - 1 for byte in packed for place in range(5)]
    assert not any(values[size:])
    return values[:size]


def nibbles(packed, size):
    halves = [half for byte in packed for half in (byte & 15, byte >> 4)]
    assert not any(halves[size:])
    return [half - 16 if half > 7 else half for half in halves[:size]]


def signed(data):
    return [byte - 256 if byte > 127 else byte for byte in data]


def integers(metadata, tensors):
    """(name, is ternary, integers) of all tensors in model order: the matrices, then the scales."""
    widths = [int(width) for width in metadata["model"].split("-")]
    precisions = metadata["precision"].split(",")
    matrices, scales = [], []
    for layer, precision in enumerate(precisions):
        columns, rows = widths[layer], widths[layer + 1]
        kind, by_row = precision.removesuffix("-row"), precision.endswith("-row")
        if by_row:
            dtype, shape, data = tensors[f"layer{layer}.scale"]
            assert (dtype, shape) == ("U8", [rows])
            scales.append((f"layer{layer}.scale", False, list(data)))
        dtype, shape, data = tensors[f"layer{layer}.weight"]
        if metadata["form"] == "ternseed-f32":
            assert (dtype, shape) == ("F32", [rows, columns])
            shift = {"ternary": 0, "int4": 3, "int8": 7}[kind]
            row_scales = scales[-1][2] if by_row else [128] * rows
            reals = struct.unpack(f"<{rows * columns}f", data)
            values = [real * 2**shift * 128 / row_scales[i // columns] for i, real in enumerate(reals)]
            assert all(value == int(value) for value in values)
            values = [int(value) for value in values]
        elif kind == "ternary":
            assert dtype == "U8"
            values = trits(data, rows * columns)
        elif kind == "int4":
            assert dtype == "U8"
            values = nibbles(data, rows * columns)
        else:
            assert (dtype, shape) == ("I8", [rows, columns])
            values = signed(data)
        matrices.append((f"layer{layer}.weight", kind == "ternary", values))
    return matrices + scales


def weights_hash(parts):
    ternary = [value for _, is_ternary, values in parts if is_ternary for value in values]
    ternary += [0] * (-len(ternary) % 5)
    packed = bytes(
        sum((ternary[i + place] + 1) * 3**place for place in range(5)) for i in range(0, len(ternary), 5)
    )
    others = bytes(value & 255 for _, is_ternary, values in parts if not is_ternary for value in values)
    return hashlib.sha256(packed + others).hexdigest()


if __name__ == "__main__":
    metadata, tensors = read(sys.argv[1])
    parts = integers(metadata, tensors)
    json.dump(
        {
            "metadata": metadata,
            "dtypes": {name: dtype for name, (dtype, _, _) in tensors.items()},
            "weights": {name: values for name, _, values in parts},
            "weightsHash": weights_hash(parts),
        },
        sys.stdout,
    )
