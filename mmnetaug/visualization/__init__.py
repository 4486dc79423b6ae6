"""Pictures of results."""

from mmnetaug.visualization.plots import (
    plot_ap_against_macs,
    plot_curves,
    plot_learning,
    plot_methods,
    plot_rates,
    plot_tradeoff,
)

__all__ = ['plot_ap_against_macs', 'plot_curves', 'plot_learning', 'plot_methods', 'plot_rates', 'plot_tradeoff']
