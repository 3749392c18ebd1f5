"""Tools of the repository: pages generated from data. Not part of the package."""
