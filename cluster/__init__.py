"""Runs dalr on Ray: training on many workers, jobs, and the manifests of clusters."""
