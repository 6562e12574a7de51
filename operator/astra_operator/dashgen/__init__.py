"""The Grafana dashboard of the operator and its sandbox pools, from one small description."""
