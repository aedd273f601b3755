"""Training: the network, the linear model and the baselines, and the checkpoint files of fitted ensembles."""
