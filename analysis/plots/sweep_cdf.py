"""Distribution of job completion times, one panel a workload and one line a policy, over all seeds of a sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.plots import style
from analysis.plots.sweep_lines import add_legend, panels_of, policy_colours
from analysis.statistics.replication import QUANTILES


def jct_distributions(runs: pd.DataFrame, titles: dict[str, str], *, oracle: str, caption: str = "") -> Figure:
    """Cumulative distributions of the completion times of applications.

    Parameters
    ----------
    runs : pandas.DataFrame
        Rows of a sweep's table: `workload`, `policy`, `jct_quantiles`.
    titles : dict of workload to str
        Panels, in order, with their titles.
    oracle : str
        Policy that is drawn in black.
    caption : str
        See `analysis.plots.style.add_caption`.

    Notes
    -----
    Lines are quantiles averaged over the seeds, which keeps the shape that a single run has.
    """
    policies = list(runs["policy"].unique())
    colours = policy_colours(policies, oracle)
    with rc_context(style.SETTINGS):
        figure, panels = panels_of(len(titles))
        for ax, (workload, title) in zip(panels, titles.items(), strict=True):
            own = runs[runs["workload"] == workload]
            for index, policy in enumerate(policies):
                seconds = np.mean(own.loc[own["policy"] == policy, "jct_quantiles"].tolist(), axis=0)
                look = {"color": colours[policy], "linestyle": style.dashes(index), "label": policy}
                ax.plot(seconds, QUANTILES, linewidth=1.5, **look)
            ax.set_title(title, loc="left", fontweight="bold")
            ax.set_xlabel("JCT (s)")
            ax.set_ylim(0, 1.02)
            ax.set_xlim(left=0)
        panels[0].set_ylabel("share of applications")
        add_legend(figure, panels[0].get_lines())
        style.add_caption(figure, caption)
    return figure
