"""Arrays without a description: what they could be, and what proves which of it they are."""
