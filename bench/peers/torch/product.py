#!/usr/bin/python3
"""Matrix products by OpenBLAS's sgemm, through numpy. Prints one line of JSON: operations a second.

    /usr/bin/python3 product.py '{"shapes":[[1024,784,256]],"seconds":1,"threads":1}'

Needs Debian's python3-numpy and libopenblas0-pthread; ends with 3 where numpy is missing.
"""

import json
import sys
import time

import openblas

options = json.loads(sys.argv[1])
try:
    import numpy
except ImportError as error:
    print(f"numpy expected in {sys.executable}, got: {error}; apt-get install python3-numpy libopenblas0-pthread", file=sys.stderr)
    sys.exit(3)


def rate(work, seconds):
    """Repetitions a second, the best of 25 rounds: others on the machine only slow it down."""
    work()
    best = 0.0
    for _ in range(25):
        begun = time.perf_counter()
        runs = 0
        while time.perf_counter() - begun < seconds / 25:
            work()
            runs += 1
        best = max(best, runs / (time.perf_counter() - begun))
    return best


rates = []
for batch, inputs, units in options["shapes"]:
    x = numpy.random.rand(batch, inputs).astype(numpy.float32)
    w = numpy.random.rand(inputs, units).astype(numpy.float32)
    z = numpy.empty((batch, units), numpy.float32)
    rates.append(2 * batch * inputs * units * rate(lambda: numpy.matmul(x, w, out=z), options["seconds"]))
print(json.dumps({"name": f"numpy {numpy.__version__}, {openblas.name()}", "rates": rates}))
