"""How the drop-in layers compute: one tiling of the positions, and one engine per framework."""
