"""OpenBLAS as it is at its best: imported before numpy and PyTorch, which load it. Takes the number of threads from
the options that a script gets as JSON, and says which kernels were taken.

OpenBLAS takes the SSE3 kernels of "Prescott", five times slower, on processors that are younger than itself; on an
Intel processor with AVX-512 it is told to take those.
"""

import ctypes
import json
import os
import sys

threads = str(json.loads(sys.argv[1])["threads"])
# OpenBLAS and OpenMP each have a pool of threads, set up when they are loaded. OpenMP's idle
# threads spin by default and keep OpenBLAS's off two busy cores: 24 to 500 ms a step instead of 6.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = threads
os.environ["OMP_WAIT_POLICY"] = "passive"
with open("/proc/cpuinfo", encoding="utf8") as processors:
    processor = processors.read()
if "GenuineIntel" in processor and " avx512vl " in processor:
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def name():
    """The library that the BLAS symbols come from, asked of the loaded library itself."""
    blas = ctypes.CDLL("libblas.so.3")
    address = ctypes.cast(blas.sgemm_, ctypes.c_void_p).value
    with open("/proc/self/maps", encoding="utf8") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= address < end:
                path = line.split()[-1]
    if "openblas" not in path:
        return path
    library = ctypes.CDLL("libopenblas.so.0")
    library.openblas_get_config.restype = ctypes.c_char_p
    library.openblas_get_corename.restype = ctypes.c_char_p
    version = library.openblas_get_config().decode().split()[1]
    return f"OpenBLAS {version} ({library.openblas_get_corename().decode()} kernels)"
