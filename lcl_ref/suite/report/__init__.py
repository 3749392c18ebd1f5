"""The report of a run: its document, its page, merging, and a case in words."""
