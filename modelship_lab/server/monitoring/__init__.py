"""What deployments do: requests, errors and latencies, second by second."""
