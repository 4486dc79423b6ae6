"""The runs behind a figure as a graph for Snakemake, and the figure that they lead to."""
