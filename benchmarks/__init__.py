"""One file for each question about speed; `results/` holds the figures, with device and date."""
