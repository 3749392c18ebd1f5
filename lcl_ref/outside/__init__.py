"""What comes from outside and what goes there: text, JSON, files, and processes that end with this one."""
