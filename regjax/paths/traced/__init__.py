"""Paths and cross-validation inside `jit` and `vmap`, and on accelerators: JAX programs."""
