"""A run on other machines, by Dask distributed; only `asking`, `answering` and `serving` import it, when asked to."""
