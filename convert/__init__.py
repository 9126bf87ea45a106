"""The command over `zebjax.torch_weights`: the original's torch checkpoints to ours, and back."""
