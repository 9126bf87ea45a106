"""The files of the original PyTorch system: checkpoints both ways, example batches as games. Needs
no torch.
"""
