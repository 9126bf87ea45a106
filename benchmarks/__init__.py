"""One file per question about speed; `results/` holds the figures, with device and date."""
