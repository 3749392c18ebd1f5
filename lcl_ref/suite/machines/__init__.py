"""A run on other machines, by Dask distributed, which nothing imports before it is asked for."""
