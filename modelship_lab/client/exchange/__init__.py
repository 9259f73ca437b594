"""Runs in and out of the lab: MLflow, TensorBoard, CSV and Parquet."""
