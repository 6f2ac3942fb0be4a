"""The long tests: minutes of mixed traffic with faults, and a great many fuzzed requests.

`python -m Tests.soak` runs both and ends by itself; `--minutes` and `--inputs` say how much of each.
"""
