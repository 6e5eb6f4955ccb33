"""The lanes engine: grids of hyperparameters, chunks of lanes, checkpoints, stores."""
