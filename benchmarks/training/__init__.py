"""The same trainings at many strengths, by this library, plain JAX and PyTorch."""
