"""Pictures of results."""

from mmnetaug.visualization.panels import plot_learning, plot_methods, plot_rates, plot_tradeoff
from mmnetaug.visualization.plots import plot_ap_against_macs, plot_curves

__all__ = ['plot_ap_against_macs', 'plot_curves', 'plot_learning', 'plot_methods', 'plot_rates', 'plot_tradeoff']
