"""What only a GPU can show: `make gpu-check` (`python -m tests.gpu`), and the tests marked `gpu`.

Needs torch with CUDA, a source tree, and no network: weights are drawn by seed, corpora made. `--tiny` runs every
check on any machine, to show that the checks themselves work; its times mean nothing.
"""
