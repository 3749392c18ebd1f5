"""Asking a layer one question and judging the answer by a proved limit."""
