"""Files of the original PyTorch system: read and write checkpoints, read example batches.

Torch is not needed, and nothing in a file is executed.
"""
