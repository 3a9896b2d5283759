"""Serves a model with llama.cpp's own server, from the package xllamacpp, until its standard input is closed.

    serve.py MODEL

Says on standard output where it listens: `listening http://127.0.0.1:PORT/v1`.
"""

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = 2048
params.n_parallel = 1
params.warmup = False
params.hostnames = ["127.0.0.1"] if hasattr(params, "hostnames") else []
params.port = 0
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print("listening " + server.listening_address.rstrip("/") + "/v1", flush=True)
sys.stdin.read()
