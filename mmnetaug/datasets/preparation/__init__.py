"""What makes data sets, and what checks them before training."""
