"""The benchmark: ours, the peer pattern and a bare pywsgi under the same load.

`python -m Tests.benchmark` runs it.
"""
