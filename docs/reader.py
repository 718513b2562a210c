#!/usr/bin/env python3
"""An independent reader of .tern artifacts: Python 3, standard library only.

    python3 docs/reader.py FILE...      prints a line of JSON a file: what it holds, and whether the
                                        weights that it rebuilds have the hash that it promises
    python3 docs/reader.py --weights FILE   the same with all weights
    python3 docs/reader.py --inputs=0,7.5 FILE  the same with what these raw values are to the model

The base of a delta is looked for, by the hash of its weights, among the files before it.

It was written from docs/format.md and docs/arithmetic.md, favours being read over being fast, and reads
versions 1 and 2: logs, pools and packed weights of any precision. It checks what it needs to stay safe
(lengths, ranges, checksums); the JavaScript reader is stricter about what a writer would not have written.
"""

import hashlib
import json
import math
import re
import sys
import zlib

MASK = 0xFFFFFFFF
LOG2E = 1.4426950408889634


class Fault(Exception):
    """The bytes are not an artifact, or damaged."""


def check(holds, what):
    if not holds:
        raise Fault(what)


# ---------------------------------------------------------------- primitives and container


class Bytes:
    """A cursor over bytes that may lie."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, length):
        check(0 <= length <= self.left(), f"expected {length} bytes, got {self.left()}")
        self.at += length
        return self.data[self.at - length : self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return int.from_bytes(self.take(4), "little")

    def integer(self, maximum=MASK):
        """LEB128 in its shortest form."""
        value = 0
        for place in range(5):
            byte = self.u8()
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                check(byte > 0 or place == 0, "expected the shortest form of an integer")
                check(value <= maximum, f"expected an integer up to {maximum}, got {value}")
                return value
        raise Fault("expected an integer of at most 5 bytes")


def read_sections(data):
    """(version, [(type, payload)]), with every checksum verified."""
    reader = Bytes(data)
    check(reader.take(4) == b"TERN", "not a ternseed artifact")
    version = reader.u8()
    check(version in (1, 2), f"expected version 1 or 2, got {version}")
    sections = []
    while reader.left():
        check(len(sections) < 2**16, "expected at most 65536 sections")
        start = reader.at
        kind = chr(reader.u8())
        check(kind in "HCLTSE", f"expected a known section, got {kind!r}")
        payload = reader.take(reader.integer(2**28))
        crc = zlib.crc32(data[start : reader.at])
        check(reader.u32() == crc, f"section {kind} at byte {start} is damaged")
        sections.append((kind, payload))
    return version, sections


# ---------------------------------------------------------------- header

DICTIONARY_V1 = (
    '{"kind":"log","kind":"packed","kind":"pool","model":"784-256-256-10","model":"784-128-64-10",'
    '"model":"784-256-128-10","centred":true,"gain":40,"logitScale":250,"key":"","cut":0,"directions":[128],'
    '"config":{"model":"784-256-128-10","centred":true,"gain":25,"logitScale":900,"perturb":"weights",'
    '"artifact":"log","perturb":"nodes","artifact":"pool","train":"head","train":"all","seed":"1",'
    '"steps":3000,"holdout":0,"batch":1024,"shift":0,"cut":0,"directions":128,"nonzeros":[16,4,1],"nonzerosBelow":[2,1],'
    '"keep":0.5,"pool":57344,"learningRate":0.15,"hold":0,"beta1":0.9,"beta2":0.99,"probes":8,"sigma":51,'
    '"rewardShift":5},"data":{"name":"mnist",'
    '"hash":"b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"}}'
)
DICTIONARY_V2 = (
    '"precision":["int4","int8","int4-row","int8-row","ternary-row","ternary"],'
    '"config":{"method":"ste","model":"784-256-256-256-10","centred":true,"gain":25,"logitScale":900,'
    '"artifact":"packed","artifact":"pool","quantizer":["twn"],"quantizer":["sparse"],"threshold":[0.8],"cut":0,'
    '"pool":57344,"seed":"1","steps":4000,"holdout":0,"batch":512,"shift":1,"optimizer":"muon","optimizer":"adamw",'
    '"learningRate":0.004,"schedule":"constant","schedule":"one-cycle","schedule":"cosine","warmup":0.02,'
    '"weightDecay":0,"clipNorm":0,"beta1":0.9,"beta2":0.99,"momentum":0.95},"data":'
    '"directions":[81781,46731,2560],"directions":[5998,1715,479],"directions":[39930,16134,1280],"config":{'
    '"probes":16,"shift":1,"steps":6000,"pool":131072,"learningRate":0.1,"gain":40,"logitScale":250,"steps":1550,'
    '"model":"784-128-64-10","steps":4000,"pool":8192,' + DICTIONARY_V1
)
DICTIONARIES = {1: DICTIONARY_V1.encode(), 2: DICTIONARY_V2.encode()}

RANGES = {"trit": (-1, 1), "int4": (-7, 7), "int8": (-127, 127), "scale": (1, 127)}
PRECISIONS = {"ternary": "trit", "int4": "int4", "int8": "int8"}


def read_header(payload, version):
    reader = Bytes(payload)
    length = reader.integer(65536)
    inflater = zlib.decompressobj(wbits=-15, zdict=DICTIONARIES[version])
    try:
        text = inflater.decompress(reader.take(reader.left()), length + 1)
    except zlib.error as error:
        raise Fault(f"expected a deflated header: {error}") from error
    check(len(text) == length, "expected a header of the length that it says")
    try:
        header = json.loads(text)
    except ValueError as error:
        raise Fault(f"expected a header of JSON: {error}") from error
    check(isinstance(header, dict), "expected a JSON object")
    if "arithmetic" in header:
        number = header["arithmetic"]
        check(type(number) is int and number > 1, "expected an arithmetic above 1, or none")
        raise Fault(f"expected arithmetic 1, got {number}: written by a newer version of ternseed")
    for key, kind in (("kind", str), ("model", (str, dict)), ("key", str), ("cut", int), ("directions", list)):
        check(isinstance(header.get(key), kind), f"expected a header with {key!r}")
    check(re.fullmatch("[0-9a-f]{16}", header["key"]), "expected a key of 16 hex digits")
    if isinstance(header["model"], dict):
        seeded = header["kind"] in ("log", "pool")
        check(not (seeded and header["model"].get("tied")), "expected packed weights: the head is the embedding")
    else:
        check(re.fullmatch("[1-9][0-9]*(-[1-9][0-9]*)+", header["model"]), "expected layer widths")
    check(0 <= header["cut"] <= 42, "expected a cut in 0…42")
    check(all(isinstance(count, int) for count in header["directions"]), "expected counts of directions")
    check(isinstance(header.get("inputs", {}), dict), "expected inputs to be an object")
    return header


def scale_inputs(values, header):
    """Raw values as the inputs of the model, 0…127."""
    inputs = header.get("inputs", {})
    low, high = float(inputs.get("low", 0)), float(inputs.get("high", 255))
    check(low < high, "expected low to be less than high")
    scaled = [max(0, min(127, math.floor((value - low) / (high - low) * 128))) for value in values]
    return [127 - value for value in scaled] if inputs.get("inverted") else scaled


class Tensor:
    def __init__(self, name, values, rows, columns, offset):
        self.name, self.values, self.rows, self.columns, self.offset = name, values, rows, columns, offset
        self.size = rows * columns


def transformer_tensors(shape):
    """All tensors of a transformer in model order: embedding, blocks, head unless tied, scales."""
    numbers = ("blocks", "width", "heads", "keyHeads", "hidden", "context", "loopFrom", "loopTo", "loops")
    check(set(shape) == {*numbers, "tied", "embedding"}, "expected the shape of a transformer")
    check(all(type(shape[name]) is int for name in numbers), "expected integers in the shape of a transformer")
    blocks, width, heads, key_heads, hidden = (shape[name] for name in numbers[:5])
    check(1 <= blocks <= 64 and 8 <= width <= 4096 and 8 <= hidden <= 16384, "expected blocks, width and hidden in range")
    check(1 <= key_heads <= heads <= 64 and heads % key_heads == 0 and width % (2 * heads) == 0, "expected heads that fit")
    check(shape["embedding"] in ("int8", "ternary") and type(shape["tied"]) is bool, "expected embedding and tied")
    embedded = "int8" if shape["embedding"] == "int8" else "trit"
    keys = key_heads * (width // heads)
    shapes = [("embedding", embedded, 256, width)]
    for block in range(blocks):
        for name, rows, columns in (
            *(("query", width, width), ("key", keys, width), ("value", keys, width), ("output", width, width)),
            *(("gate", hidden, width), ("up", hidden, width), ("down", width, hidden)),
        ):
            shapes.append((f"block{block}.{name}", "trit", rows, columns))
    scales = len(shapes) + 1
    if not shape["tied"]:
        shapes.append(("head", embedded, 256, width))
    tensors, offset = [], 0
    for name, values, rows, columns in [*((f"{name}.weight", *rest) for name, *rest in shapes), ("scales", "scale", scales, 2)]:
        tensors.append(Tensor(name, values, rows, columns, offset))
        offset += rows * columns
    check(offset <= 2**27, "expected at most 2^27 weights")
    return tensors


def tensors_of(header):
    """All tensors in model order: the matrices, then the scales of rows."""
    if isinstance(header["model"], dict):
        return transformer_tensors(header["model"])
    widths = [int(width) for width in header["model"].split("-")]
    check(2 <= len(widths) <= 65 and max(widths) <= 65535, "expected at most 64 layers of at most 65,535")
    precision = header.get("precision") or ["ternary"] * (len(widths) - 1)
    known = [*PRECISIONS, *(f"{name}-row" for name in PRECISIONS)]
    check(len(precision) == len(widths) - 1, "expected a precision a layer")
    check(all(one in known for one in precision), f"expected precisions out of {known}")
    tensors, offset = [], 0
    for layer, (columns, rows) in enumerate(zip(widths, widths[1:])):
        values = PRECISIONS[precision[layer].removesuffix("-row")]
        tensors.append(Tensor(f"layer{layer}.weight", values, rows, columns, offset))
        offset += rows * columns
    for layer, rows in enumerate(widths[1:]):
        if precision[layer].endswith("-row"):
            tensors.append(Tensor(f"layer{layer}.scale", "scale", rows, 1, offset))
            offset += rows
    check(offset <= 2**27, "expected at most 2^27 weights")
    return tensors


# ---------------------------------------------------------------- range coder

ONE = 1 << 28


class BitModel:
    """How probable a 1 is, in 2^-28."""

    __slots__ = ("one", "seen")

    def __init__(self):
        self.one, self.seen = ONE // 2, 0

    def learn(self, bit):
        # One rounded f64 product, cut off towards zero.
        self.one += int(((ONE if bit else 0) - self.one) * (1 / (self.seen + 2)))
        if self.seen < 1022:
            self.seen += 1


def models(count):
    return [BitModel() for _ in range(count)]


class RangeDecoder:
    def __init__(self, data):
        self.data, self.at = data, 4
        self.range = MASK
        self.code = int.from_bytes((data + bytes(4))[:4], "big")
        check(self.code < self.range, "expected four bytes below ffffffff")

    def normalize(self):
        while self.range < 1 << 24:
            check(self.at < len(self.data) + 4, "expected more bytes, got the end")
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.code = (self.code << 8 | byte) & MASK
            self.range = self.range << 8 & MASK
            self.at += 1

    def bit(self, model):
        lower = self.range * (model.one >> 12 | 1) >> 16
        bit = 1 if self.code < lower else 0
        if bit:
            self.range = lower
        else:
            self.code -= lower
            self.range -= lower
        model.learn(bit)
        self.normalize()
        return bit

    def direct(self, bits):
        value, left = 0, bits
        while left:
            taken = min(left, 8)
            left -= taken
            self.range >>= taken
            part = self.code // self.range
            check(part < 1 << taken, "expected bytes that an encoder writes")
            self.code -= part * self.range
            value |= part << left
            self.normalize()
        return value

    def end(self):
        """The bytes must be exactly those that an encoder writes: its value with the fewest bytes."""
        written = self.at - 4
        window = int.from_bytes((self.data[written:] + bytes(4))[:4], "big")
        low = (window - self.code) & MASK
        last = 0
        if low != 0 and low + self.range <= 1 << 32:
            last = (low + 0xFFFFFF) & 0xFF000000
        check(len(self.data) == written + (last != 0) and window == last, "expected another end")


# ---------------------------------------------------------------- coders of integers and trits


class Magnitude:
    def __init__(self):
        self.larger, self.longer, self.mantissa = models(15), models(20), models(160)

    def decode(self, decoder):
        m = 1
        while m <= 14 and decoder.bit(self.larger[m]):
            m += 1
        if m <= 14:
            return m
        exponent = 0
        while exponent < 19 and decoder.bit(self.longer[exponent]):
            exponent += 1
        plain, leading = max(0, exponent - 3), 1
        for _ in range(exponent - plain):
            leading = leading << 1 | decoder.bit(self.mantissa[exponent << 3 | leading])
        m = 14 + (leading << plain | decoder.direct(plain))
        check(m <= 1 << 20, f"expected a magnitude up to 2^20, got {m}")
        return m


class Signed:
    def __init__(self):
        self.nonzero, self.negative, self.magnitude = BitModel(), BitModel(), Magnitude()

    def decode(self, decoder):
        if not decoder.bit(self.nonzero):
            return 0
        negative = decoder.bit(self.negative)
        magnitude = self.magnitude.decode(decoder)
        return -magnitude if negative else magnitude


class Predicted:
    def __init__(self, levels):
        self.nonzero, self.opposite = models(levels), models(levels)
        self.magnitude = [Magnitude() for _ in range(2 * levels)]

    def decode(self, decoder, level, negative):
        if not decoder.bit(self.nonzero[level]):
            return 0
        opposite = decoder.bit(self.opposite[level])
        magnitude = self.magnitude[2 * level + opposite].decode(decoder)
        return -magnitude if negative == (opposite == 0) else magnitude


class Trits:
    def __init__(self):
        self.nonzero, self.negative, self.context = models(4), BitModel(), 0

    def decode(self, decoder):
        nonzero = decoder.bit(self.nonzero[self.context])
        self.context = (self.context << 1 | nonzero) & 3
        if not nonzero:
            return 0
        return -1 if decoder.bit(self.negative) else 1


class Predictor:
    """Normalized least mean squares, in f64, sums from the first input on."""

    def __init__(self, size, rate):
        self.inputs, self.weights, self.rate, self.predicted = [0.0] * size, [0.0] * size, rate, 0.0

    def predict(self):
        total = 0.0
        for weight, value in zip(self.weights, self.inputs):
            total += weight * value
        self.predicted = total
        return total

    def learn(self, target):
        power = 0.5
        for value in self.inputs:
            power += value * value
        step = (self.rate * (target - self.predicted)) / power
        for i, value in enumerate(self.inputs):
            self.weights[i] += step * value


def level_of(prediction, scale, largest):
    return max(0, min(largest, math.floor(prediction * scale + 0.5)))


# ---------------------------------------------------------------- randomness


def philox(key, block, index, step, stream):
    """Philox4x32-10; the key is (low, high)."""
    c0, c1, c2, c3 = block, index, step, stream
    k0, k1 = key
    for _ in range(10):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b & MASK, a >> 32 ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def feistel(half, key, count):
    h = (half ^ key) * 0x9E3779B1 & MASK
    h = (h ^ h >> 15) * 0x85EBCA77 & MASK
    return (h >> 16) * count >> 16


class Directions:
    """K disjoint directions over the weights offset…offset + size − 1."""

    def __init__(self, key, step, group, offset, size, count, touched):
        self.key, self.step, self.group, self.offset = key, step, group, offset
        self.size, self.count, self.touched = size, count, touched
        stream = 2 + 256 * group
        self.keys = (philox(key, 0, 0, step, stream) + philox(key, 1, 0, step, stream))[:6]
        self.highs = math.isqrt(size)
        self.highs += self.highs * self.highs < size
        self.lows = -(-size // self.highs)
        self.block, self.words = -1, ()

    def point(self, position):
        while True:
            high, low = divmod(position, self.lows)
            for r in range(0, 6, 2):
                high = (high + feistel(low, self.keys[r], self.highs)) % self.highs
                low = (low + feistel(high, self.keys[r + 1], self.lows)) % self.lows
            position = high * self.lows + low
            if position < self.size:
                return position

    def weights(self, k, most=None):
        """Where direction k is not zero, within the group; the first `most` of them."""
        end = self.touched if most is None else min(self.touched, k + most * self.count)
        return [self.point(position) for position in range(k, end, self.count)]

    def sign(self, index):
        if index >> 7 != self.block:
            self.block = index >> 7
            self.words = philox(self.key, self.block, 0, self.step, 3 + 256 * self.group)
        return -1 if self.words[index >> 5 & 3] >> (index & 31) & 1 else 1


def sets_of(header, tensors, step, nonzeros):
    """The sets of a log's step, or of a pool (step 0, nonzeros None: all weights)."""
    high, low = int(header["key"][:8], 16), int(header["key"][8:], 16)
    counts = header["directions"]
    if len(counts) < len(tensors):
        groups = [(len(tensors), 0, sum(tensor.size for tensor in tensors))]
    else:
        groups = [(i, tensor.offset, tensor.size) for i, tensor in enumerate(tensors)]
    sets = []
    for (group, offset, size), count in zip(groups, counts):
        check(0 <= count <= size, "expected directions that fit the tensors")
        touched = size if nonzeros is None else min(size, count * nonzeros)
        if count:
            sets.append(Directions((low, high), step, group, offset, size, count, touched))
    return sets


def latent_limit(header, tensor):
    """The largest latent: a trit's by the cut; another value is its own latent."""
    return 3 * header["cut"] + 1 if tensor.values == "trit" else RANGES[tensor.values][1]


def values_of(header, tensors, latents):
    """The values that latents stand for."""
    cut = header["cut"]
    values = []
    for tensor in tensors:
        least, largest = RANGES[tensor.values]
        for latent in latents[tensor.offset : tensor.offset + tensor.size]:
            trit = (latent > cut) - (latent < -cut)
            values.append(trit if tensor.values == "trit" else max(least, min(largest, latent)))
    return values


def scale_of_real(scale):
    mantissa, exponent = scale, 0
    while mantissa < 63.5 and exponent < 127:
        mantissa, exponent = mantissa * 2, exponent + 1
    while exponent < 1:
        mantissa, exponent = mantissa / 2, exponent + 1
    return [max(1, min(127, math.floor(mantissa + 0.5))), exponent]


def first_scales(shape):
    """Scales of a transformer that a seed trains: they keep the activations' mean squares."""
    width, hidden, blocks = shape["width"], shape["hidden"], shape["blocks"]
    applications = blocks + (shape["loops"] - 1) * (shape["loopTo"] - shape["loopFrom"])
    branch = 1 / math.sqrt(2 * applications)
    ternary = shape["embedding"] == "ternary"
    head_shift = max(0, (width - 1).bit_length() - 9)
    scales = scale_of_real(0.8 / (math.sqrt(2 / 3) if ternary else 127 / math.sqrt(3)) * 2**4)
    for _ in range(blocks):
        for _ in range(3):
            scales += scale_of_real(math.sqrt(1.5 / width) * 2**6)
        scales += scale_of_real(math.sqrt(1.5 / width) * branch * 2**7)
        for _ in range(2):
            scales += scale_of_real(math.sqrt(1.5 / width) * 2**-1)
        scales += scale_of_real(math.sqrt(1.5 / hidden) * branch * 1.5 * 2**8)
    unit = LOG2E * 2 ** (10 + head_shift - 5)
    return scales + scale_of_real(8 / ((1 if ternary else 127) * math.sqrt(width)) * unit)


def initial_latents(header, tensors, base):
    if base is not None:
        step = 2 * header["cut"] + 1
        return [base[t.offset + i] * (step if t.values == "trit" else 1) for t in tensors for i in range(t.size)]
    high, low = int(header["key"][:8], 16), int(header["key"][8:], 16)
    latents = []
    for t, tensor in enumerate(tensors):
        if tensor.values == "scale":
            latents += first_scales(header["model"])
            continue
        if tensor.name == "head.weight":
            latents += [0] * tensor.size
            continue
        limit = latent_limit(header, tensor)
        for i in range(tensor.size):
            if i % 8 == 0:
                words = philox((low, high), i // 8, 0, 0, 1 + 256 * t)
            half = words[i // 2 % 4] >> 16 * (i % 2) & 0xFFFF
            latents.append((half * (2 * limit + 1) >> 16) - limit)
    return latents


# ---------------------------------------------------------------- seed log


class Work:
    """What the steps of a log cost, bounded by the bytes of the file."""

    def __init__(self, header, tensors, length):
        counts = header["directions"]
        sizes = [tensor.size for tensor in tensors] if len(counts) == len(tensors) else [sum(t.size for t in tensors)]
        self.sets = [(count, size) for count, size in zip(counts, sizes) if count]
        self.most, self.done = min(2**36, 2**22 + 2**16 * length), 0
        self.least = self.before(1)

    def before(self, nonzeros):
        return 64 + sum(64 + count * min(16, self.each(count, size, nonzeros)) for count, size in self.sets)

    def each(self, count, size, nonzeros):
        return -(-min(size, count * nonzeros) // count)

    def moves(self, nonzeros, coefficients):
        work = at = 0
        for count, size in self.sets:
            work += sum(map(abs, coefficients[at : at + count])) * self.each(count, size, nonzeros)
            at += count
        return work

    def add(self, work):
        self.done += work
        check(self.done <= self.most, f"expected at most {self.most} units of work, got more")


def read_log(header, tensors, payloads, version, work):
    """Every step as (seed step, nonzeros, loss, coefficients)."""
    size = sum(header["directions"])
    steps = []
    for payload in payloads:
        reader = Bytes(payload)
        first, count = reader.integer(10**7), reader.integer(10**7)
        seed_step = reader.integer(10**7) if version > 1 else first
        check(first == len(steps) + 1 and count >= 1 and seed_step >= 1, "expected the next steps")
        decoder = RangeDecoder(reader.take(reader.left()))
        change, losses, trits = BitModel(), Signed(), Trits()
        columns = Columns(tensors)
        nonzeros = loss = 0
        for step in range(seed_step, seed_step + count):
            if decoder.bit(change):
                nonzeros = decoder.direct(21)
            check(1 <= nonzeros <= 2**20, f"expected 1…2^20 nonzeros, got {nonzeros}")
            work.add(work.before(nonzeros))
            loss += losses.decode(decoder)
            if version == 1:
                coefficients = [trits.decode(decoder) for _ in range(size)]
            else:
                sets = sets_of(header, tensors, step, nonzeros)
                coefficients = [columns.decode(decoder, one, k) for one in sets for k in range(one.count)]
            work.add(work.moves(nonzeros, coefficients))
            steps.append((step, nonzeros, loss, coefficients))
        decoder.end()
    return steps


class Columns:
    """What became of the directions that touched each column of each tensor."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.count = [[0] * tensor.columns for tensor in tensors]
        self.kept = [[0] * tensor.columns for tensor in tensors]
        self.total, self.total_kept = [0] * len(tensors), [0] * len(tensors)
        self.nonzero = [models(21) for _ in tensors]
        self.negative = BitModel()

    def decode(self, decoder, directions, k):
        places, score = [], 0.0
        for index in directions.weights(k, 16):
            index += directions.offset
            t = max(i for i, tensor in enumerate(self.tensors) if tensor.offset <= index)
            column = (index - self.tensors[t].offset) % self.tensors[t].columns
            mean = (self.total_kept[t] + 0.5) / (self.total[t] + 1)
            score += (self.kept[t][column] + 3 * mean) / (self.count[t][column] + 3)
            places.append((t, column))
        highest = max(t for t, _ in places)
        nonzero = decoder.bit(self.nonzero[highest][level_of(score / len(places), 20, 20)])
        for t, column in places:
            self.count[t][column] += 1
            self.total[t] += 1
            self.kept[t][column] += nonzero
            self.total_kept[t] += nonzero
        if not nonzero:
            return 0
        return -1 if decoder.bit(self.negative) else 1


def replay(header, tensors, steps, base):
    latents = initial_latents(header, tensors, base)
    limits = [latent_limit(header, tensor) for tensor in tensors for _ in range(tensor.size)]
    for step, nonzeros, _, coefficients in steps:
        at = 0
        for directions in sets_of(header, tensors, step, nonzeros):
            for k in range(directions.count):
                coefficient = coefficients[at]
                at += 1
                for index in directions.weights(k) if coefficient else ():
                    i = directions.offset + index
                    moved = latents[i] - coefficient * directions.sign(index)
                    latents[i] = max(-limits[i], min(limits[i], moved))
    return values_of(header, tensors, latents)


# ---------------------------------------------------------------- seed pool


def read_pool(header, tensors, payload, version):
    limit = 4 * header["cut"] + 2
    reader = Bytes(payload)
    coefficients = []
    decoder = RangeDecoder(payload) if version == 1 else None
    for directions in sets_of(header, tensors, 0, None):
        coding = 0
        if version > 1:
            length = reader.integer()
            part = Bytes(reader.take(length))
            coding = part.u8()
            check(coding in (0, 1), f"expected coding 0 or 1, got {coding}")
            predictable = min(2**20, 2**16 + 1024 * length)
            check(coding == 0 or tensors[directions.group].size <= predictable, "expected coding 0 of so many weights")
            stride = part.integer(tensors[directions.group].columns) if coding == 1 else 0
            decoder = RangeDecoder(part.take(part.left()))
        if coding == 0:
            coder = Signed()
            values = [coder.decode(decoder) for _ in range(directions.count)]
        else:
            values = read_moves(decoder, directions, tensors[directions.group], stride, limit)
        check(all(abs(value) <= limit for value in values), f"expected coefficients within ±{limit}")
        coefficients += values
        if version > 1:
            decoder.end()
    if version == 1:
        decoder.end()
    else:
        check(reader.left() == 0, "expected the end of the coefficients")
    return coefficients


RINGS = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (2, 2)]


def ring_offsets(ring, stride):
    a, b = ring
    images = {(x, y) for p, q in ((a, b), (b, a)) for x in (p, -p) for y in (q, -q)}
    return [x + y * stride for x, y in images if stride > 0 or y == 0]


def read_moves(decoder, directions, tensor, stride, limit):
    columns = tensor.columns
    predictor, coder = Predictor(8, 0.004), Predicted(13)
    rings = [ring_offsets(ring, stride) for ring in RINGS]
    moves = [0] * tensor.size
    column_sum, column_count = [0] * columns, [0] * columns
    row_sum, row_count = [0] * tensor.rows, [0] * tensor.rows
    values = []
    for k in range(directions.count):
        weights = [(index, directions.sign(index)) for index in directions.weights(k)]
        inputs = [0.0] * 8
        for index, sign in weights:
            row, column = divmod(index, columns)
            inputs[0] += (sign * 4 * column_sum[column]) / (column_count[column] + 1.5)
            inputs[1] += (sign * 4 * row_sum[row]) / (row_count[row] + 1.5)
            for i, ring in enumerate(rings):
                near = sum(moves[index + offset] for offset in ring if 0 <= column + offset < columns)
                inputs[2 + i] += sign * near
        predictor.inputs = inputs
        y = predictor.predict()
        value = coder.decode(decoder, level_of(abs(y), 12 / limit, 12), y < 0)
        check(abs(value) <= limit, f"expected a coefficient within ±{limit}, got {value}")
        predictor.learn(value)
        for index, sign in weights:
            row, column = divmod(index, columns)
            moves[index] = value * sign
            column_sum[column] += value * sign
            column_count[column] += 1
            row_sum[row] += value * sign
            row_count[row] += 1
        values.append(value)
    return values


def apply_pool(header, tensors, coefficients, base):
    latents = initial_latents(header, tensors, base)
    at = 0
    for directions in sets_of(header, tensors, 0, None):
        for k in range(directions.count):
            for index in directions.weights(k):
                latents[directions.offset + index] += coefficients[at] * directions.sign(index)
            at += 1
    return values_of(header, tensors, latents)


# ---------------------------------------------------------------- packed weights


def read_packed(tensors, payloads, version):
    weights = []
    if version == 1:
        check(len(payloads) == 1, "expected one section of trits")
        decoder = RangeDecoder(payloads[0])
        for tensor in tensors:
            weights += read_plain(decoder, tensor)
        decoder.end()
        return weights
    check(len(payloads) == len(tensors), "expected a section of trits a tensor")
    for tensor, payload in zip(tensors, payloads):
        reader = Bytes(payload)
        coding = reader.u8()
        check(coding == 0 or (coding in (1, 2) and tensor.values == "trit"), f"unexpected coding {coding}")
        if coding == 2:
            weights += read_interleaved(reader, tensor)
            continue
        stride = reader.integer(tensor.columns) if coding == 1 else 0
        check(stride == 0 or stride >= 4, f"expected a stride of 0 or above 3, got {stride}")
        decoder = RangeDecoder(reader.take(reader.left()))
        weights += read_neighbours(decoder, tensor, stride) if coding == 1 else read_plain(decoder, tensor)
        decoder.end()
    return weights


def with_differences(tensors, base, changes):
    """Base and differences to weights: sums that wrap around the range of the tensor's values."""
    weights = []
    for tensor in tensors:
        least, largest = RANGES[tensor.values]
        for i in range(tensor.offset, tensor.offset + tensor.size):
            total = base[i] + changes[i] - max(0, least)
            weights.append(least + (total - least) % (largest - least + 1))
    return weights


def read_plain(decoder, tensor):
    coder = Trits() if tensor.values == "trit" else Signed()
    least, largest = RANGES[tensor.values]
    values = [coder.decode(decoder) for _ in range(tensor.size)]
    check(all(least <= value <= largest for value in values), f"expected values in {least}…{largest}")
    return values


NEIGHBOURS = [(-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2), (2, -1), (-2, -1)]


def read_neighbours(decoder, tensor, stride):
    columns = tensor.columns
    by_value, by_share = Predictor(11, 0.004), Predictor(15, 0.003)
    zero_models, sign_models = models(21 * 5), models(11)
    offsets = [right + down * stride if stride or not down else -columns for right, down in NEIGHBOURS]
    trits = []
    column_sum, column_nonzeros = [0] * columns, [0] * columns
    for row in range(tensor.rows):
        row_sum = row_nonzeros = 0
        for column in range(columns):
            index = row * columns + column
            values = [trits[index + o] if 0 <= column + o < columns else 0 for o in offsets]
            values.append(trits[index - columns] if row else 0)
            values.append(column_sum[column] / (row + 2))
            values.append(row_sum / (column + 8))
            beside = (column_nonzeros[column + 1] + 0.5) / (row + 1) if column + 1 < columns else 0
            shares = [abs(value) for value in values] + [1, (column_nonzeros[column] + 0.5) / (row + 1)]
            by_value.inputs, by_share.inputs = values, shares + [beside, (row_nonzeros + 2) / (column + 4)]
            y = by_value.predict()
            level = level_of(abs(y), 8, 10)
            trit = 0
            if decoder.bit(zero_models[level_of(by_share.predict(), 20, 20) * 5 + min(4, level)]):
                trit = -1 if (decoder.bit(sign_models[level]) == 0) == (y < 0) else 1
            by_value.learn(trit)
            by_share.learn(abs(trit))
            trits.append(trit)
            column_sum[column] += trit
            column_nonzeros[column] += abs(trit)
            row_sum += trit
            row_nonzeros += abs(trit)
    return trits


def read_interleaved(reader, tensor):
    count = reader.u8()
    check(1 <= count <= 16, f"expected 1…16 classes, got {count}")
    shares = []
    for _ in range(count):
        zero = reader.integer(2**14 - 2)
        positive = reader.integer(2**14 - 1 - zero)
        check(zero >= 1 and positive >= 1, "expected frequencies of at least 1")
        shares.append((0, zero, zero + positive, 2**14))
    classes = [0] * tensor.columns
    if count > 1:
        nibbles = reader.take((tensor.columns + 1) // 2)
        classes = [nibbles[i // 2] >> 4 * (i % 2) & 15 for i in range(tensor.columns)]
        check(max(classes) < count, "expected classes of columns that there are")
    states = [reader.u32() for _ in range(16)]
    check(min(states) >= 2**16, "expected states of at least 2^16")
    trits = []
    for i in range(-(-tensor.size // 16) * 16):
        state = states[i % 16]
        bounds = shares[classes[i % tensor.columns]]
        slot = state & 2**14 - 1
        symbol = (slot >= bounds[1]) + (slot >= bounds[2])
        state = (bounds[symbol + 1] - bounds[symbol]) * (state >> 14) + slot - bounds[symbol]
        if state < 2**16:
            state = state << 16 | int.from_bytes(reader.take(2), "little")
        states[i % 16] = state
        trits.append((0, 1, -1)[symbol])
    check(all(state == 2**16 for state in states) and reader.left() == 0, "expected another end")
    check(not any(trits[tensor.size :]), "expected zeros after the last trit")
    return trits[: tensor.size]


# ---------------------------------------------------------------- artifacts


def weights_hash(weights, tensors):
    trits, others = [], bytearray()
    for tensor in tensors:
        values = weights[tensor.offset : tensor.offset + tensor.size]
        if tensor.values == "trit":
            trits += values
        else:
            others += bytes(value & 255 for value in values)
    trits += [0] * (-len(trits) % 5)
    five = bytes(sum((trits[i + k] + 1) * 3**k for k in range(5)) for i in range(0, len(trits), 5))
    return hashlib.sha256(five + others).hexdigest()


def read_artifact(data, bases, raw=()):
    """Opens and rebuilds an artifact, a delta on one of `bases` (weights by hash); raises Fault where it cannot."""
    version, sections = read_sections(data)
    check(len(sections) >= 2 and sections[0][0] == "H", "expected a header section first")
    check(sections[-1][0] == "E", "expected an end section last: the file is cut short")
    header = read_header(sections[0][1], version)
    tensors = tensors_of(header)
    end = Bytes(sections[-1][1])
    steps, promised = end.integer(10**7), end.take(32).hex()
    check(end.left() == 0, "expected the end of the end section")
    kind = header["kind"]
    base = None
    if "base" in header:
        wanted = header["base"].get("hash") if isinstance(header["base"], dict) else None
        check(wanted in bases, f"expected a base whose weights have the hash {wanted} among the files before")
        base = bases[wanted]
        check(len(base) == sum(tensor.size for tensor in tensors), "expected a base of the same model")
    body = sections[1:-1]
    letter = {"log": "L", "pool": "C", "packed": "T"}.get(kind)
    check(letter, f"expected a log, a pool or packed weights, got {kind!r}")
    check(all(one == letter for one, _ in body), f"expected only sections {letter}")
    payloads = [payload for _, payload in body]
    values = sum(tensor.size for tensor in tensors) if kind == "packed" else sum(header["directions"])
    values *= steps if kind == "log" else 1
    check(values <= 2**22 + 2**12 * len(data), f"expected fewer than {values} values in {len(data)} bytes")
    result = {"version": version, "kind": kind, "model": header["model"], "steps": steps}
    if raw:
        result["inputs"] = scale_inputs(raw, header)
    if kind == "log":
        work = Work(header, tensors, len(data))
        check(steps * work.least <= work.most, f"expected at most {work.most} units of work, got more")
        log = read_log(header, tensors, payloads, version, work)
        check(len(log) == steps, f"expected {steps} steps, got {len(log)}")
        weights = replay(header, tensors, log, base)
    elif kind == "pool":
        check(len(payloads) == 1, "expected one section of coefficients")
        result["coefficients"] = read_pool(header, tensors, payloads[0], version)
        weights = apply_pool(header, tensors, result["coefficients"], base)
    else:
        weights = read_packed(tensors, payloads, version)
        if base is not None:
            weights = with_differences(tensors, base, weights)
    found = weights_hash(weights, tensors)
    check(found == promised, f"expected weights with hash {promised}, got {found}")
    return {**result, "weightsHash": found, "weights": weights}


def main(arguments):
    whole = "--weights" in arguments
    texts = [argument[len("--inputs=") :] for argument in arguments if argument.startswith("--inputs=")]
    raw = [float(number) for text in texts for number in text.split(",")]
    status = 0
    bases = {}
    for path in (argument for argument in arguments if not argument.startswith("--")):
        try:
            with open(path, "rb") as file:
                result = read_artifact(file.read(), bases, raw)
            bases[result["weightsHash"]] = result["weights"]
        except (Fault, OSError) as error:
            result, status = {"fault": str(error)}, 3
        if not whole:
            result.pop("weights", None)
            result.pop("coefficients", None)
        print(json.dumps({"file": path, **result}, separators=(",", ":")))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
