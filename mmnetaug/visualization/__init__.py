"""Pictures of results."""

from mmnetaug.visualization.plots import plot_ap_against_macs, plot_curves, read_history

__all__ = ['plot_ap_against_macs', 'plot_curves', 'read_history']
