"""Training: the network, the linear model and the baselines, and the files of fitted ensembles."""
