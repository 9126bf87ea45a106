"""One file per question asked about speed; `results/` holds what was measured, on which device,
when.
"""
