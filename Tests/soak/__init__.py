"""The long tests: minutes of mixed traffic with faults, and many fuzzed requests.

`python -m Tests.soak` runs both and ends by itself; `--minutes` and `--inputs` set the amounts.
"""
