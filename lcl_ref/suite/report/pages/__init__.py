"""The pages that people read in a browser: each one file, of the templates, the style and the scripts in ``files/``."""
