"""The files of the original PyTorch system: checkpoints both ways, example batches as games. Torch
is not needed, and nothing in a file is executed.
"""
