"""Scripts that fit the shipped step-cost profiles to measured tables; each is run as `python -m sim.fitting.<name>`.

They read the data collection named with `--data`, print residuals on fitted and on held-out points, and write the JSON.
Nothing here is needed to simulate.
"""
