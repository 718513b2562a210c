#!/usr/bin/python3
"""Time of one training step of a ternary multilayer perceptron in PyTorch: the network of
docs/arithmetic.md on float tensors that hold integers, trained by backprop through a
straight-through estimator. Prints one line of JSON. Called by bench/ste.mjs.

Not part of the package. Needs Debian's python3-torch (its 1.13.1 calls itself 1.13.0a0) and
libopenblas0-pthread, and /usr/bin/python3, which alone sees them; ends with 3 where PyTorch is
missing.

    /usr/bin/python3 step.py '{"widths":[784,256,256,256,10],"batch":128,"seconds":3,"threads":2}'
    /usr/bin/python3 step.py '{...}' --check    # first and last loss of 50 steps on one batch
"""

import json
import math
import statistics
import sys
import time

import openblas

options = json.loads(sys.argv[1])
try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(
        f"PyTorch expected in {sys.executable}, got: {error}; "
        "apt-get install python3-torch libopenblas0-pthread, then run /usr/bin/python3",
        file=sys.stderr,
    )
    sys.exit(3)

ACTIVATION_MAX = 127
GAIN = 25
LOGIT_SCALE = 900
WARM_UP_STEPS = 20
CHECK_STEPS = 50


class Ternary(torch.autograd.Function):
    """absmean: round(w / mean|w|) clamped to -1..1; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx, weight):
        return (weight / weight.abs().mean()).round_().clamp_(-1, 1)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Round(torch.autograd.Function):
    """Rounds; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx, value):
        return value.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Network(torch.nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(inputs, outputs, bias=False) for inputs, outputs in zip(widths, widths[1:])
        )

    def forward(self, x):
        # x is [B, N], each weight [M, N], z is [B, M]
        for layer in self.layers[:-1]:
            z = F.linear(x, Ternary.apply(layer.weight))
            z = z - Round.apply(z.mean(1, keepdim=True))
            size = Round.apply(z.abs().mean(1, keepdim=True)).clamp(min=1)
            x = Round.apply((z * (GAIN / size)).clamp(0, ACTIVATION_MAX))  # ReLU and upper limit
        logits = F.linear(x, Ternary.apply(self.layers[-1].weight))
        return logits * (LOGIT_SCALE / 65_536 * math.log(2))


torch.manual_seed(1)
torch.set_num_threads(options["threads"])
widths, batch = options["widths"], options["batch"]
network = Network(widths)
# foreach=True is no faster for four tensors: on one thread 5.8 to 6.1 ms a step instead of 5.4 to 5.7.
optimizer = torch.optim.AdamW(
    network.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, foreach=False
)
inputs = torch.randint(0, ACTIVATION_MAX + 1, (batch, widths[0])).float()
labels = torch.randint(0, widths[-1], (batch,))


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(network(inputs), labels)
    loss.backward()
    optimizer.step()
    return loss


if "--check" in sys.argv[2:]:
    losses = [step().item() for _ in range(CHECK_STEPS)]
    print(json.dumps({"steps": CHECK_STEPS, "firstLoss": losses[0], "lastLoss": losses[-1]}))
    sys.exit()

for _ in range(WARM_UP_STEPS):
    step()
times_ms = []
ends = time.perf_counter() + options["seconds"]
while time.perf_counter() < ends:
    started = time.perf_counter()
    step()
    times_ms.append((time.perf_counter() - started) * 1000)
print(
    json.dumps(
        {
            "name": f"PyTorch {torch.__version__}, {openblas.name()}",
            "threads": torch.get_num_threads(),
            "batch": batch,
            "stepMs": statistics.median(times_ms),
            "minMs": min(times_ms),
            "steps": len(times_ms),
        }
    )
)
