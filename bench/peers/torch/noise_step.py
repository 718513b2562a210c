#!/usr/bin/python3
"""Time of one step of noise-step's two estimators in PyTorch, on float tensors that hold the integers of
docs/arithmetic.md, and forward passes. Prints one line of JSON. Called by bench/speed.mjs.

    /usr/bin/python3 noise_step.py '{"estimator":"weights","folder":"DIR","seconds":5,"threads":2, …}'

DIR has a batch (inputs.bin u8 [B, N], labels.bin u8 [B]) and the trits of a network (weights.bin i8) as
bench/speed/steps.mjs writes them; the loss of that batch is printed, to compare. Directions, probes and signs are
drawn by PyTorch once, before the clock starts: ternseed draws them anew from its seed in every step.

- weights: loss(theta + nu) - loss(theta - nu) for K sparse directions, a chunk of them at a time as one batched
  matrix product.
- nodes: R antithetic probes on the active units of each hidden layer, all at once along the batch; then the
  alignment of every direction of a pool from one matrix product of errors and inputs.

Needs Debian's python3-torch; ends with 3 where it is missing.
"""

import json
import math
import os
import statistics
import sys
import time

import openblas  # settles its threads

options = json.loads(sys.argv[1])
try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"PyTorch expected in {sys.executable}, got: {error}; apt-get install python3-torch libopenblas0-pthread", file=sys.stderr)
    sys.exit(3)

torch.manual_seed(1)
torch.set_num_threads(options["threads"])
torch.set_grad_enabled(False)
widths, gain, logit_scale = options["widths"], options["gain"], options["logitScale"]


def read(name, dtype):
    with open(os.path.join(options["folder"], name), "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=dtype)


labels = read("labels.bin", torch.uint8).long()
inputs = read("inputs.bin", torch.uint8).float().reshape(len(labels), widths[0])
trits = read("weights.bin", torch.int8).float()
weights = []  # [M, N] each
for columns, rows in zip(widths, widths[1:]):
    weights.append(trits[: rows * columns].reshape(rows, columns).contiguous())
    trits = trits[rows * columns :]


def normalize(z):
    """[..., M] pre-activations to activations, centred, of L1 norm."""
    z = z - z.mean(-1, keepdim=True).round_()
    size = z.abs().mean(-1, keepdim=True).round_().clamp_(min=1)
    return z.mul_(gain / size).round_().clamp_(0, 127)


def losses(logits):
    """[..., B, C] to [..., B] nats."""
    flat = (logits * (logit_scale / 65_536 * math.log(2))).reshape(-1, widths[-1])
    repeated = labels.repeat(flat.shape[0] // len(labels))
    return F.cross_entropy(flat, repeated, reduction="none").reshape(logits.shape[:-1])


def forward(x, first=0):
    for weight in weights[first:-1]:
        x = normalize(F.linear(x, weight))
    return F.linear(x, weights[-1])


def weights_step():
    """[K] alignments."""
    alignments = []
    for chunk in range(0, options["directions"], options["chunk"]):
        count = min(options["chunk"], options["directions"] - chunk)
        x = inputs.expand(2 * count, *inputs.shape)
        for layer, weight in enumerate(weights):
            moved = weight.repeat(2 * count, 1, 1)
            which, where, sign = entries[chunk // options["chunk"]][layer]
            flat = moved.view(2 * count, -1)
            flat.index_put_((which, where), sign, accumulate=True)
            flat.index_put_((which + count, where), -sign, accumulate=True)
            z = torch.bmm(x, moved.transpose(1, 2))
            x = z if layer == len(weights) - 1 else normalize(z)
        sums = losses(x).sum(-1)
        alignments.append(sums[:count] - sums[count:])
    return torch.cat(alignments)


def draw_entries():
    """Nonzeros of each chunk's directions: for each layer the direction's place in its chunk, the weight and the sign."""
    sizes = [weight.numel() for weight in weights]
    total, each = sum(sizes), options["nonzeros"]
    places = torch.randperm(total)[: options["directions"] * each].reshape(-1, each)
    chunks = []
    for chunk in range(0, options["directions"], options["chunk"]):
        here = places[chunk : chunk + options["chunk"]]
        which = torch.arange(len(here)).unsqueeze(1).expand_as(here).reshape(-1)
        flat = here.reshape(-1)
        signs = torch.randint(0, 2, flat.shape).float() * 2 - 1
        layers, offset = [], 0
        for size in sizes:
            mine = (flat >= offset) & (flat < offset + size)
            layers.append((which[mine], flat[mine] - offset, signs[mine]))
            offset += size
        chunks.append(layers)
    return chunks


def nodes_step():
    """[pool] alignments of a layer's directions, for each layer."""
    alignments = []
    probes = options["probes"]
    x, activations, sums = inputs, [inputs], []
    for weight in weights:
        z = F.linear(x, weight)
        sums.append(z)
        if len(sums) < len(weights):
            x = normalize(z.clone())
            activations.append(x)
    for layer, z in enumerate(sums):
        if layer == len(weights) - 1:
            scaled = z * (logit_scale / 65_536 * math.log(2))
            errors = F.softmax(scaled, -1) - F.one_hot(labels, widths[-1])
        else:
            size = (z - z.mean(-1, keepdim=True)).abs().mean(-1, keepdim=True) * (options["sigma"] / 256)
            moves = signs[layer] * (activations[layer + 1] > 0)  # [R, B, M]
            noise = moves * size
            disturbed = normalize(torch.cat([z + noise, z - noise]))
            values = losses(forward(disturbed, layer + 1))
            rewards = values[:probes] - values[probes:]  # [R, B]
            errors = torch.einsum("rb,rbm->bm", rewards, moves)
        products = errors.t() @ activations[layer]  # [M, N]
        into = torch.zeros(options["pool"][layer])
        alignments.append(into.index_add_(0, directions[layer], (products * weight_signs[layer]).reshape(-1)))
    return alignments


if options["estimator"] == "weights":
    entries = draw_entries()
    step = weights_step
elif options["estimator"] == "nodes":
    signs = [
        torch.randint(0, 2, (options["probes"], len(labels), weight.shape[0])).float() * 2 - 1 for weight in weights[:-1]
    ]
    directions = [torch.randperm(weight.numel()) % count for weight, count in zip(weights, options["pool"])]
    weight_signs = [torch.randint(0, 2, weight.shape).float() * 2 - 1 for weight in weights]
    step = nodes_step
else:
    step = lambda: forward(inputs)

loss = losses(forward(inputs)).mean().item()
step()
step()
times_ms = []
ends = time.perf_counter() + options["seconds"]
while time.perf_counter() < ends or len(times_ms) < 2:
    started = time.perf_counter()
    step()
    times_ms.append((time.perf_counter() - started) * 1000)
print(
    json.dumps(
        {"name": f"PyTorch {torch.__version__}", "threads": torch.get_num_threads(), "loss": loss, "stepMs": statistics.median(times_ms)}
    )
)
